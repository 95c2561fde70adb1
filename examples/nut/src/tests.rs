//! The driver with its emulator, and a connection that is made when it is needed.

use drivers_sdk::testing::*;

use crate::Ups;
use crate::emulator::Emulator;

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
