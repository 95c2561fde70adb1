//! What the settings of a module say of its connection reaches the connection, and nobody else.

use drivers_sdk_protocol::message::Level;
use headend::model::Module;
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

#[tokio::test]
async fn a_serial_port_by_a_name_that_another_adapter_may_get_is_noticed_in_the_log() {
    let world = World::new().await;
    let noticed = async |id: &str, path: &str, bus: bool| {
        world.save(settings(id, &format!("connection: {{bus: {bus}}}"))).await;
        let uri = format!("serial://{path}?baud=9600");
        world.save(Module { uri, ip: String::new(), ..device(id, 0) }).await;
        world.running(id).await;
        let log = world.runtime.recent_log(id);
        let notices = log.iter().filter(|line| line.level == Level::Notice);
        notices.map(|line| line.text.to_string()).filter(|text| text.contains(path)).collect::<Vec<_>>()
    };
    // There is no such port here, and none is needed.
    for (id, path, bus) in [("mod-1", "/dev/ttyUSB97", false), ("mod-2", "/dev/ttyACM97", true)] {
        let said = noticed(id, path, bus).await;
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("in the uri, use its name in /dev/serial/by-id"), "{said:?}");
    }
    let said = noticed("mod-3", "/dev/serial/by-id/usb-FTDI_FT232R-if00-port0", false).await;
    assert!(said.is_empty(), "{said:?}");
}
