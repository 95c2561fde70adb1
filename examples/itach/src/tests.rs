//! The driver with a unit of paper, and with its emulator.

use drivers_sdk::testing::*;

use crate::emulator::Emulator;
use crate::{Unit, infrared};

drivers_sdk::testing::standard_suite!(Unit, emulator = Emulator);

#[tokio::test]
async fn relays_are_closed_and_polled() {
    let unit = Harness::<Unit>::emulated::<Emulator>(json!({})).await;
    unit.status("closed", json!({"1:1": false, "1:2": false, "1:3": false})).await;
    assert_eq!(unit.call("relay", ("1:2", true)).await, Ok(json!(true)));
    unit.status("closed", json!({"1:1": false, "1:2": true, "1:3": false})).await;
    let refused = unit.call("relay", ("1:9", true)).await.unwrap_err();
    assert!(refused.message().contains("no such connector"), "{refused}");
}

#[tokio::test]
async fn an_input_tells_by_itself_and_infrared_waits_until_it_is_sent() {
    let unit = Harness::<Unit>::new().await;
    unit.connect().await;
    unit.expect("getdevices\r").await;
    unit.reply("device,0,0 ETHERNET\rdevice,1,3 IR\rendlistdevices\r").await;
    unit.expect("getversion\r").await;
    unit.push("statechange,1:2,1\r").await;
    unit.reply("710-1005-05\r").await;
    unit.status("version", "710-1005-05").await;
    unit.push("statechange,1:3,1\r").await;
    unit.status("closed", json!({"1:2": true, "1:3": true})).await;

    let call = unit.call("send_ir", ("1:1", "38000,1,1,342,171"));
    unit.expect("sendir,1:1,0,38000,1,1,342,171\r").await;
    unit.push("statechange,1:3,0\r").await;
    unit.reply("completeir,1:1,0\r").await;
    call.await.unwrap();
    unit.status("closed", json!({"1:2": true, "1:3": false})).await;

    let call = unit.call("send_ir", ("1:1", "38000,1,1,342,171"));
    unit.expect("sendir,1:1,1,38000,1,1,342,171\r").await;
    unit.reply("busyIR,1:1,1\r").await;
    assert!(call.await.unwrap_err().message().contains("somebody else"));
    let call = unit.call("stop_ir", ("1:1",));
    unit.expect("stopir,1:1\r").await;
    unit.reply("unknowncommand,14\r").await;
    assert!(call.await.unwrap_err().message().contains("does not know"));
}

#[test]
fn both_forms_are_read() {
    assert_eq!(infrared("38000, 2,3, 342,171,21,64", None).unwrap(), "38000,2,3,342,171,21,64");
    assert_eq!(infrared("38000,2,3,342,171,21,64", Some(9)).unwrap(), "38000,9,3,342,171,21,64");
    let code = infrared("0000 006D 0001 0002 0156 00AB 0015 0040 0015 05F7", None).unwrap();
    assert_eq!(code, "38029,1,3,342,171,21,64,21,1527");
    // Nothing is sent again: the whole is.
    let code = infrared("0000 006D 0002 0000 0156 00AB 0015 0040", Some(99)).unwrap();
    assert_eq!(code, "38029,50,1,342,171,21,64");
}

#[test]
fn mistakes_are_named() {
    for (text, why) in [
        ("", "no infrared code"),
        ("volume up", "no infrared code"),
        ("38000,1", "no infrared code"),
        ("0100 006D 0000 0001 0015 0040", "no infrared code"),
        ("0000 006D 0000 0002 0015 0040", "no infrared code"),
        ("0000 0000 0000 0001 0015 0040", "no infrared code"),
        ("0000 006D FFFFFFFF 0001 0015 0040", "no infrared code"),
        ("38000,1,1", "its pulses"),
        ("38000,1,1,21,64,21", "its pulses"),
        ("380,1,1,21,64", "its frequency"),
        ("38000,0,1,21,64", "repeated"),
        ("38000,1,2,21,64", "its offset"),
        ("38000,1,3,21,64", "its offset"),
        ("38000,1,1,0,64", "a pulse"),
    ] {
        let error = infrared(text, None).expect_err(text);
        assert!(error.message().contains(why), "{text}: {error}");
    }
}
