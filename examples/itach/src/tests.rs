//! The driver with a unit of paper, and with its emulator.

use drivers_sdk::testing::*;

use crate::Unit;
use crate::emulator::Emulator;

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
    unit.reply("710-1005-05\r").await;
    unit.push("statechange,1:3,1\r").await;
    unit.status("closed", json!({"1:3": true})).await;

    let call = unit.call("send_ir", ("1:1", "38000,1,1,342,171"));
    unit.expect("sendir,1:1,0,38000,1,1,342,171\r").await;
    unit.push("statechange,1:3,0\r").await;
    unit.reply("completeir,1:1,0\r").await;
    call.await.unwrap();
    unit.status("closed", json!({"1:3": false})).await;
}
