//! The driver with a script, and with the emulator. With a real broker: `tests/blackbox/peers.rs` of Headend.

use drivers_sdk::matcher::anything;
use drivers_sdk::testing::*;

use super::Client;
use super::emulator::Emulator;

#[tokio::test]
async fn it_hears_what_it_publishes() {
    let settings = json!({ "username": "ada", "password": "s3cret", "topics": ["room/+", "lobby/#"] });
    let client = Harness::<Client>::emulated::<Emulator>(settings).await;
    for (topic, payload) in
        [("room/light", json!(true)), ("room/text", json!("on air")), ("lobby/a/b", json!({ "level": 3 }))]
    {
        assert_eq!(client.call("publish", (topic, &payload)).await, Ok(json!(null)));
        client.status(topic, payload).await;
    }
    client.call("publish", json!({ "topic": "room/light", "payload": "", "qos": 0 })).await.unwrap();
    client.status("room/light", None::<bool>).await;
    for topic in ["", "room/+", "#"] {
        assert_eq!(client.call("publish", (topic, 1)).await.unwrap_err().code(), "bad_request", "{topic}");
    }
    client.call("publish", ("hall/light", 7, true)).await.unwrap();
    assert_eq!(client.status_now("hall/light"), None);
    let settings = json!({ "username": "ada", "password": "s3cret", "topics": ["hall/light"] });
    client.settings(settings).await.unwrap();
    client.status("room/text", None::<String>).await;
    // It has connected anew, and is told what was retained.
    client.status("hall/light", 7).await;
}

#[tokio::test]
async fn it_is_spoken_to_as_the_specification_says() {
    let client =
        Harness::<Client>::with(json!({ "client_id": "h", "topics": ["t"], "keep_alive": 20 })).await;
    client.connect().await;
    client.expect(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x14\x00\x01h").await;
    client.reply(b"\x20\x02\x00\x00").await;
    client.expect(b"\x82\x06\x00\x01\x00\x01t\x01").await;
    // What was retained may come before the answer.
    client.push(b"\x33\x07\x00\x01t\x00\x09hi").await;
    client.reply(b"\x90\x03\x00\x01\x01").await;
    client.expect(b"\x40\x02\x00\x09").await;
    client.status("t", "hi").await;
    client.advance(secs(9)).await;
    client.expect(b"\xc0\x00").await;
    client.reply(b"\xd0\x00").await;
    client.advance(secs(10)).await;
    client.expect(b"\xc0\x00").await;
    client.advance(secs(5)).await;
    assert_eq!(client.expect_drop().await, "the broker does not answer any more");
}

#[tokio::test]
async fn a_broker_that_refuses_says_why() {
    let client = Harness::<Client>::new().await;
    client.connect().await;
    client.expect_match(anything()).await;
    client.reply(b"\x20\x02\x00\x04").await;
    assert!(client.expect_drop().await.contains("the user name or the password may be wrong"));

    let client = Harness::<Client>::with(json!({ "topics": ["mine", "yours"] })).await;
    client.connect().await;
    client.expect_match(anything()).await;
    client.reply(b"\x20\x02\x00\x00").await;
    client.expect_match(anything()).await;
    client.reply(b"\x90\x04\x00\x01\x01\x80").await;
    client.logged("\"yours\"").await;
}

standard_suite!(Client, emulator = Emulator);
