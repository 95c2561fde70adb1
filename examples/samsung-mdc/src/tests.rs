//! The driver with a script, and with the emulator.

use drivers_sdk::testing::*;

use super::Display;
use super::emulator::Emulator;

#[tokio::test]
async fn it_turns_on_and_does_what_it_is_told() {
    let display = Harness::<Display>::emulated::<Emulator>(json!({ "display": 7 })).await;
    display.status("power", false).await;
    display.status("model", "Emulated QM55").await;
    display.status("temperature", 38).await;
    let refused = display.call("input", ("hdmi2",)).await.unwrap_err();
    assert_eq!(refused.message(), "the display refused command 0x14: [01]");

    assert_eq!(display.call("power", (true,)).await, Ok(json!(true)));
    assert_eq!(display.call("input", ("hdmi2",)).await, Ok(json!(null)));
    assert_eq!(display.call("volume", (33.4,)).await, Ok(json!(33.0)));
    assert_eq!(display.call("mute", (true,)).await, Ok(json!(true)));
    display.advance(secs(15)).await;
    for (key, value) in
        [("power", json!(true)), ("input", json!("hdmi2")), ("volume", json!(33)), ("mute", json!(true))]
    {
        display.status(key, value).await;
    }
    assert_eq!(display.call("input", ("hdmi9",)).await.unwrap_err().code(), "bad_request");
}

#[tokio::test]
async fn it_is_spoken_to_as_the_manual_says() {
    let display = Harness::<Display>::new().await;
    display.connect().await;
    display.expect(b"\xaa\x8a\xfe\x00\x88").await;
    display.reply(b"\xaa\xff\x01\x03N\x8a\x01\xdc").await;
    display.expect(b"\xaa\x00\xfe\x00\xfe").await;
    // In two pieces, and what it has not got is 255.
    display.reply(b"\xaa\xff\x01\x09A\x00\x01\xff").await;
    display.reply(b"\xff\x21\x10\x00\x00\x7a").await;
    display.expect(b"\xaa\x0d\xfe\x00\x0b").await;
    display.reply(b"\xaa\xff\x01\x08A\x0d\x00\x01\x00\x00\x2d\x00\x84").await;
    display.status("power", true).await;
    display.status("input", "hdmi1").await;
    display.status("volume", None::<u8>).await;
    display.status("faults", ["temperature"]).await;
    display.status("model", None::<String>).await;
}

standard_suite!(Display, emulator = Emulator);
