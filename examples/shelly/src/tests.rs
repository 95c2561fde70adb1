//! The driver with a mock service, and with the emulator.

use drivers_sdk::testing::*;

use super::Shelly;
use super::emulator::Emulator;

#[tokio::test]
async fn it_switches_and_measures() {
    let shelly = Harness::<Shelly>::emulated::<Emulator>(json!({})).await;
    shelly.status("model", "SNSW-102P16EU").await;
    shelly.status("relays", json!({ "1": false, "2": false })).await;
    assert_eq!(shelly.call("relay", (2, true)).await, Ok(json!(null)));
    shelly.status("relays", json!({ "1": false, "2": true })).await;
    shelly.status("watts", json!({ "1": 0.0, "2": 40.0 })).await;
    shelly.status("inputs", json!({ "1": false, "2": true })).await;
    shelly.status("temperature", json!({ "1": 41.2, "2": 41.2 })).await;
    let refused = shelly.call("relay", (3, true)).await.unwrap_err();
    assert!(refused.message().contains("value 2 not found"), "{refused}");
    assert_eq!(shelly.call("relay", (0, true)).await.unwrap_err().code(), "bad_request");
}

#[tokio::test]
async fn the_device_itself_ends_a_pulse() {
    let shelly = Harness::<Shelly>::new().await;
    let http = shelly.http();
    shelly.connect().await;
    let info = json!({ "name": null, "model": "S4SW-001X16EU", "ver": "1.5.0" });
    http.expect("POST", "/rpc/Shelly.GetDeviceInfo").json(json!({})).reply(200, info).await;
    // A relay without a meter.
    let off = json!({ "switch:0": { "id": 0, "output": false }, "switch:x": {}, "sys": {} });
    http.expect("POST", "/rpc/Shelly.GetStatus").reply(200, off).await;
    shelly.status("relays", json!({ "1": false })).await;
    shelly.status("watts", json!({})).await;

    let call = shelly.call("pulse_relay", (1, 250));
    let set = json!({ "id": 0, "on": true, "toggle_after": 0.25 });
    http.expect("POST", "/rpc/Switch.Set").json(set).reply(200, json!({ "was_on": false })).await;
    let on = json!({ "switch:0": { "id": 0, "output": true } });
    http.expect("POST", "/rpc/Shelly.GetStatus").reply(200, on).await;
    assert_eq!(call.await, Ok(json!(null)));
    shelly.status("relays", json!({ "1": true })).await;

    let call = shelly.call("relay", (1, false));
    http.expect("POST", "/rpc/Switch.Set").fail("offline", "the relay is unplugged").await;
    assert_eq!(call.await.unwrap_err().code(), "offline");
}

standard_suite!(Shelly, emulator = Emulator);
