//! The driver against a script, and against the package's device.

use drivers_sdk::standard_suite;
use drivers_sdk::testing::*;

use crate::Modbus;
use crate::emulator::Emulator;

standard_suite!(
    Modbus,
    emulator = Emulator,
    settings = json!({ "points": { "input": { "table": "input_register", "address": 7, "type": "f32" }, "fan": { "table": "coil", "address": 0 } } })
);

#[tokio::test]
async fn points_are_polled_and_a_late_reply_is_not_taken_for_another() {
    let meter = Harness::<Modbus>::with(json!({
        "unit": 9, "points": { "power": { "address": 1 }, "load": { "address": 2, "scale": 0.1 } },
    }))
    .await;
    meter.connect().await;
    meter.expect(b"\x00\x00\x00\x00\x00\x06\x09\x03\x00\x01\x00\x02").await;
    meter.reply(b"\x00\x00\x00\x00\x00\x07\x09\x03\x04\x00\x2a\x00\x07").await;
    meter.status("power", 42).await;
    meter.status("load", 0.7).await;

    let call = meter.call("read", ("power",));
    meter.expect(b"\x00\x01\x00\x00\x00\x06\x09\x03\x00\x01\x00\x01").await;
    meter.reply(b"\x00\x00\x00\x00\x00\x05\x09\x03\x02\x00\x01").await;
    // Cut in the middle.
    meter.reply(b"\x00\x01\x00\x00\x00\x05\x09").await;
    meter.reply(b"\x03\x02\x00\x2b").await;
    assert_eq!(call.await, Ok(json!(43)));
    meter.status("power", 43).await;

    meter.advance(secs(10)).await;
    meter.expect(b"\x00\x02\x00\x00\x00\x06\x09\x03\x00\x01\x00\x02").await;
    meter.reply(b"\x00\x02\x00\x00\x00\x03\x09\x83\x02").await;
    meter.status("power", None::<u16>).await;
    meter.logged("load: the device refused: it has no such address (exception 2)").await;
}

#[tokio::test]
async fn rtu_ends_with_silence_and_what_is_damaged_is_asked_for_again() {
    let meter = Harness::<Modbus>::with(json!({ "mode": "rtu", "unit": 2 })).await;
    meter.connect().await;
    let call = meter.call("read_raw", ("holding_register", 0, 1));
    meter.expect(b"\x02\x03\x00\x00\x00\x01\x84\x39").await;
    meter.reply(b"\x02\x03\x02\x00\x2a\xff\xff").await;
    meter.advance(secs(2)).await;
    meter.expect(b"\x02\x03\x00\x00\x00\x01\x84\x39").await;
    meter.reply(b"\x02\x03\x02").await;
    meter.advance(millis(10)).await;
    meter.reply(b"\x00\x2a\x7d\x9b").await;
    assert_eq!(call.await, Ok(json!([42])));
}

#[tokio::test]
async fn points_are_written_and_what_cannot_be_is_refused() {
    for mode in ["tcp", "rtu"] {
        let device = Harness::<Modbus>::emulated::<Emulator>(json!({
            "mode": mode,
            "points": {
                "fan": { "table": "coil", "address": 0, "writable": true },
                "setpoint": { "address": 3, "type": "f32", "writable": true },
                "input": { "table": "input_register", "address": 7 },
            },
        }))
        .await;
        device.status("input", 70).await;
        assert_eq!(device.call("write", ("fan", true)).await, Ok(json!(true)));
        device.status("fan", true).await;
        assert_eq!(device.call("write", ("setpoint", 21.5)).await, Ok(json!(21.5)));
        assert_eq!(device.call("read_raw", ("holding_register", 3, 2)).await, Ok(json!([0x41ac, 0])));
        let said = async |function: &str, args: Value| {
            let refused = device.call(function, args).await.expect_err("refused");
            format!("{}: {}", refused.code(), refused.message())
        };
        assert!(said("write", json!(["input", 1])).await.starts_with("bad_request: input: it is read only"));
        assert_eq!(said("read", json!(["door"])).await, "bad_request: setting `points` has no \"door\"");
        let none = said("read_raw", json!(["coil", 99, 2])).await;
        assert_eq!(none, "device: the device refused: it has no such address (exception 2)");

        // Points of other settings go, and others come.
        device
            .settings(json!({ "mode": mode, "points": { "other": { "address": 3 } } }))
            .await
            .expect("they fit");
        device.status("other", 0x41ac).await;
        device.status("fan", None::<bool>).await;
    }
}
