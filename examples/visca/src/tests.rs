//! The driver with a script, and with the emulator.

use drivers_sdk::testing::*;

use super::Ptz;
use super::emulator::Emulator;

async fn moves(settings: Value) {
    let camera = Harness::<Ptz>::emulated::<Emulator>(settings).await;
    camera.status("model", "0020.0511").await;
    camera.status("power", false).await;
    let refused = camera.call("home", ()).await.unwrap_err();
    assert!(refused.message().contains("standby"), "{refused}");

    assert_eq!(camera.call("power", (true,)).await, Ok(json!(true)));
    camera.call("move_to", (20, -10, 50)).await.unwrap();
    camera.call("save_preset", ("lectern",)).await.unwrap();
    camera.call("home", ()).await.unwrap();
    camera.advance(secs(10)).await;
    camera.status("position", json!({ "pan": 0.0, "tilt": 0.0, "zoom": 0.0 })).await;
    camera.call("recall_preset", ("7",)).await.unwrap();
    camera.advance(secs(10)).await;
    camera.status("position", json!({ "pan": 20.0, "tilt": -10.0, "zoom": 50.0 })).await;
    camera.call("pan_tilt", (-100, 50)).await.unwrap();
    camera.call("zoom", (30,)).await.unwrap();
    camera.advance(secs(10)).await;
    camera.status("position", json!({ "pan": -170.0, "tilt": 90.0, "zoom": 100.0 })).await;
    camera.call("stop_camera", ()).await.unwrap();
    assert_eq!(camera.call("recall_preset", ("nowhere",)).await.unwrap_err().code(), "bad_request");
}

#[tokio::test]
async fn it_moves_over_ip() {
    moves(json!({ "presets": { "lectern": 7 } })).await;
}

#[tokio::test]
async fn it_moves_without_a_header() {
    moves(json!({ "transport": "plain", "camera": 3, "presets": { "lectern": 7 } })).await;
}

/// Answers of the script to the three questions of a connection, in standby.
async fn met(camera: &Harness<Ptz>) {
    camera.connect().await;
    camera.expect(b"\x02\x00\x00\x01\x00\x00\x00\x00\x01").await;
    camera.reply(b"\x02\x01\x00\x01\x00\x00\x00\x00\x01").await;
    camera.expect(b"\x01\x10\x00\x05\x00\x00\x00\x01\x81\x09\x00\x02\xff").await;
    camera.reply(b"\x01\x11\x00\x0a\x00\x00\x00\x01\x90\x50\x00\x20\x05\x11\x01\x00\x02\xff").await;
    camera.expect(b"\x01\x10\x00\x05\x00\x00\x00\x02\x81\x09\x04\x00\xff").await;
    camera.reply(b"\x01\x11\x00\x04\x00\x00\x00\x02\x90\x50\x03\xff").await;
    camera.status("power", false).await;
}

#[tokio::test]
async fn a_command_is_done_when_it_has_begun_and_what_fails_later_is_logged() {
    let camera = Harness::<Ptz>::new().await;
    met(&camera).await;
    let call = camera.call("power", (true,));
    camera.expect(b"\x01\x00\x00\x06\x00\x00\x00\x03\x81\x01\x04\x00\x02\xff").await;
    // What an earlier command says is not the answer.
    camera.reply(b"\x01\x11\x00\x04\x00\x00\x00\x02\x90\x61\x41\xff").await;
    camera.reply(b"\x01\x11\x00\x03\x00\x00\x00\x03\x90\x41\xff").await;
    assert_eq!(call.await, Ok(json!(true)));
    camera.push(b"\x01\x11\x00\x04\x00\x00\x00\x03\x90\x61\x04\xff").await;
    camera.logged("the command was cancelled").await;
}

#[tokio::test]
async fn a_lost_datagram_is_sent_again_with_the_same_number() {
    let camera = Harness::<Ptz>::new().await;
    met(&camera).await;
    let call = camera.call("home", ());
    // Where it is must be known first: the home position is pan, tilt and zoom.
    let asked = b"\x01\x10\x00\x05\x00\x00\x00\x03\x81\x09\x06\x12\xff";
    camera.expect(asked).await;
    camera.advance(secs(1)).await;
    camera.expect(asked).await;
    camera.reply(b"\x01\x11\x00\x04\x00\x00\x00\x03\x90\x61\x41\xff").await;
    assert!(call.await.is_err());
}

standard_suite!(Ptz, emulator = Emulator);
