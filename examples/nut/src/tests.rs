//! The driver with its emulator, and a connection that is made when it is needed.

use drivers_sdk::testing::*;

use crate::emulator::Emulator;
use crate::{Ups, unquoted, why};

drivers_sdk::testing::standard_suite!(Ups, emulator = Emulator);

#[tokio::test]
async fn a_battery_test_goes_on_battery_for_a_while() {
    let settings = json!({"ups": "rack", "username": "admin", "password": "secret"});
    let ups = Harness::<Ups>::emulated::<Emulator>(settings).await;
    ups.status("on_battery", false).await;
    ups.call("command", ("test.battery.start",)).await.unwrap();
    ups.status("on_battery", true).await;
    ups.advance(secs(30)).await;
    ups.status("on_battery", false).await;
}

#[tokio::test]
async fn each_connection_is_signed_in_to_once() {
    let ups = Harness::<Ups>::with(json!({"username": "admin", "password": "secret"})).await;
    ups.connect().await;
    for _ in 0..2 {
        ups.expect("USERNAME admin\n").await;
        ups.reply("OK\n").await;
        ups.expect("PASSWORD secret\n").await;
        ups.reply("OK\n").await;
        ups.expect("LIST VAR ups\n").await;
        ups.reply("BEGIN LIST VAR ups\nVAR ups ups.status \"OFFLB\"\nEND LIST VAR ups\n").await;
        ups.status("low_battery", false).await; // Whole words only.
        let call = ups.call("command", ("beeper.disable",));
        ups.expect("INSTCMD ups beeper.disable\n").await;
        ups.reply("ERR ACCESS-DENIED\n").await;
        assert!(call.await.unwrap_err().message().contains("user name or password"));
        ups.disconnect("it is idle").await;
        ups.advance(secs(15)).await;
    }
    ups.ignore_sent();
    ups.unreachable("it is over").await;
}

#[tokio::test]
async fn a_variable_is_that_of_this_ups_and_of_its_name() {
    let ups = Harness::<Ups>::new().await;
    ups.connect().await;
    ups.expect("LIST VAR ups\n").await;
    ups.reply("VAR upsy ups.load \"99\"\nVAR ups ups.load \"7\"\nEND LIST VAR ups\n").await;
    ups.status("load", 7.0).await;
    let call = ups.call("variable", ("ups.id",));
    ups.expect("GET VAR ups ups.id\n").await;
    ups.reply("VAR ups ups.idle \"a\"\nVAR ups ups.id \"b \\\"c\\\" \\\\\"\n").await;
    assert_eq!(call.await, Ok(json!(r#"b "c" \"#)));
    // No request hides in a name.
    let call = ups.call("variable", ("a \"b\" #1\\",));
    ups.expect("GET VAR ups \"a \\\"b\\\" \\#1\\\\\"\n").await;
    ups.reply("ERR VAR-NOT-SUPPORTED\n").await;
    assert_eq!(call.await.unwrap_err().message(), "the UPS has no such variable");
    let call = ups.call("variable", ("a\nINSTCMD ups load.off",));
    assert_eq!(call.await.unwrap_err().code(), "bad_request");
}

#[test]
fn values_and_refusals() {
    assert_eq!(unquoted(r#""a \"b\" \# \\""#), r#"a "b" # \"#);
    assert!(why("ERR ACCESS-DENIED").unwrap().contains("refused"));
    assert_eq!(why("ERR NEW-TROUBLE some detail").unwrap(), "NEW-TROUBLE");
    assert_eq!(why("OK"), None);
}

#[tokio::test]
async fn a_refusal_leaves_nothing_that_may_be_wrong() {
    let ups = Harness::<Ups>::new().await;
    ups.connect().await;
    ups.expect("LIST VAR ups\n").await;
    ups.reply("BEGIN LIST VAR ups\nVAR ups ups.status \"OL CHRG\"\nEND LIST VAR ups\n").await;
    ups.status("charging", true).await;
    ups.advance(secs(15)).await;
    ups.expect("LIST VAR ups\n").await;
    ups.reply("ERR DATA-STALE\n").await;
    ups.status("charging", None::<bool>).await;
}
