//! What the settings of a module say of its connection reaches the connection, and nobody else.

use serde_json::json;
use tokio::net::TcpListener;

use crate::world::{World, device, settings};

#[tokio::test]
async fn the_connection_is_made_as_the_settings_say_and_the_driver_never_sees_them() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.save(settings("driver-probe", "volume: 1\nconnection: {source: 127.1.1.1}")).await;
    world.device("mod-1", listener.local_addr().unwrap().port()).await;
    let (_first, peer) = listener.accept().await.unwrap();
    assert_eq!(peer.ip().to_string(), "127.1.1.1", "the driver's");
    world.save(settings("mod-1", "connection: {source: 127.2.2.2}")).await;
    let (_second, peer) = listener.accept().await.unwrap();
    assert_eq!(peer.ip().to_string(), "127.2.2.2", "the module's own go before them");
    world.connected("mod-1").await;
    assert_eq!(world.exec("mod-1", "settings", "[]").await, Ok(json!({"volume": 1})));
}

#[tokio::test]
async fn a_make_break_connection_is_held_as_long_as_the_settings_say() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.save(settings("mod-1", "connection: {hold_ms: 50}")).await;
    let mut module = device("mod-1", listener.local_addr().unwrap().port());
    module.makebreak = true;
    world.save(module).await;
    world.running("mod-1").await;
    let ended = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut heard).await.unwrap();
        heard
    };
    let heard = tokio::select! {
        heard = ended => heard,
        answer = world.exec("mod-1", "echo", r#"["hello"]"#) => panic!("answered without an answer: {answer:?}"),
    };
    assert_eq!(heard, b"hello\n", "and then the connection is let go");
    assert!(world.runtime.module("mod-1").unwrap().connected, "idle is no outage");
}

#[tokio::test]
async fn settings_that_mean_nothing_are_the_reason_why_a_module_waits() {
    let world = World::new().await;
    world.save(settings("mod-1", "connection: {hold: 5}")).await;
    world.device("mod-1", 9).await;
    let view = world.module("mod-1", "waiting", |view| view.detail.is_some()).await;
    let why = view.detail.unwrap();
    assert!(why.contains("connection") && why.contains("`hold`") && why.contains("hold_ms"), "{why}");
}
