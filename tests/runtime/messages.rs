//! Links that have messages keep their boundaries on the whole way between device and driver process.

use futures_util::{SinkExt, StreamExt};
use headend::model::{Module, Role};
use headend::runtime::{Options, view::State};
use rustix::process::{Pid, Signal};
use serde_json::json;
use tokio::net::{TcpListener, UdpSocket};
use tokio_tungstenite::tungstenite::Message;

use crate::world::{World, device, line, options, until_async};

/// A device that speaks UDP.
struct Device(UdpSocket);

impl Device {
    async fn new() -> Device {
        Device(UdpSocket::bind("127.0.0.1:0").await.unwrap())
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// The next datagram; from now on the device says everything to whoever sent it.
    async fn hear(&self) -> Vec<u8> {
        let mut chunk = vec![0; 65_536];
        let (length, from) = self.0.recv_from(&mut chunk).await.unwrap();
        self.0.connect(from).await.unwrap();
        chunk.truncate(length);
        chunk
    }

    async fn say(&self, messages: &[&str]) {
        for message in messages {
            assert_eq!(self.0.send(message.as_bytes()).await.unwrap(), message.len());
        }
    }
}

fn udp(module: Module) -> Module {
    Module { udp: true, ..module }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_datagram_is_one_frame_and_each_command_one_datagram() {
    let world = World::new().await;
    let sensor = Device::new().await;
    world.save(udp(line("mod-1", sensor.port()))).await;
    world.connected("mod-1").await;
    for text in ["one", ""] {
        world.exec("mod-1", "say", &json!([text]).to_string()).await.unwrap();
        assert_eq!(sensor.hear().await, text.as_bytes());
    }
    let large = vec![7; 9000];
    world.exec("mod-1", "tell", &json!([large]).to_string()).await.unwrap();
    assert_eq!(sensor.hear().await, large);

    sensor.say(&["a", "", "bc", "d"]).await;
    let heard = json!([["bytes", "a"], ["bytes", ""], ["bytes", "bc"], ["bytes", "d"]]);
    world.status("mod-1", "heard", &heard.to_string()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_that_come_while_no_process_holds_the_module_are_neither_merged_nor_cut() {
    // Long enough for them to come in between.
    let world = World::with(Options { restart_ms: 1_500, ..options() }).await;
    let sensor = Device::new().await;
    world.save(udp(line("mod-1", sensor.port()))).await;
    world.connected("mod-1").await;
    world.exec("mod-1", "say", r#"["here"]"#).await.unwrap();
    sensor.hear().await;

    kill(&world, "mod-1").await;
    sensor.say(&["one", "", "two", "three"]).await;
    world.running("mod-1").await;
    let heard = json!([["bytes", "one"], ["bytes", ""], ["bytes", "two"], ["bytes", "three"]]);
    world.status("mod-1", "heard", &heard.to_string()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_knows_no_features_has_messages_too() {
    let world = World::new().await;
    let sensor = Device::new().await;
    world.save(udp(device("mod-1", sensor.port()))).await;
    world.connected("mod-1").await;
    let answers = async {
        assert_eq!(sensor.hear().await, b"hello\n");
        sensor.say(&["hel", "lo\n"]).await;
    };
    let echo = world.exec("mod-1", "echo", r#"["hello"]"#);
    let (echo, ()) = futures_util::future::join(echo, answers).await;
    assert_eq!(echo, Ok(json!("hello")), "it joins the frames as it would those of a stream");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websockets_messages_are_text_or_bytes_on_the_whole_way_also_while_no_process_holds_the_module() {
    // Long enough for some to come in between.
    let world = World::with(Options { restart_ms: 1_500, ..options() }).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let uri = format!("ws://127.0.0.1:{port}/live");
    let driver_id = "driver-socket".into();
    world.save(Module { driver_id, uri, role: Role::Websocket, ..line("mod-1", 0) }).await;
    let mut socket = tokio_tungstenite::accept_async(listener.accept().await.unwrap().0).await.unwrap();
    world.connected("mod-1").await;

    world.exec("mod-1", "say", r#"["grün"]"#).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("grün"));
    world.exec("mod-1", "tell", "[[0, 255]]").await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::binary(vec![0, 255]));

    for message in [Message::text("a"), Message::binary(&b"b"[..]), Message::text("")] {
        socket.send(message).await.unwrap();
    }
    let mut heard = vec![json!(["text", "a"]), json!(["bytes", "b"]), json!(["text", ""])];
    world.status("mod-1", "heard", &json!(heard).to_string()).await;

    kill(&world, "mod-1").await;
    for message in [Message::text("c"), Message::binary(&b"d"[..])] {
        socket.send(message).await.unwrap();
    }
    world.running("mod-1").await;
    heard = vec![json!(["text", "c"]), json!(["bytes", "d"])];
    world.status("mod-1", "heard", &json!(heard).to_string()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_emulator_of_a_device_with_messages_gets_and_gives_whole_ones() {
    let world = World::new().await;
    world.save(Module { udp: true, emulated: true, ..line("mod-1", 1) }).await;
    let driver_id = "driver-socket".into();
    world.save(Module { driver_id, role: Role::Websocket, emulated: true, ..line("mod-2", 0) }).await;
    // Datagrams have no form; messages of a WebSocket have.
    for (id, form) in [("mod-1", "bytes"), ("mod-2", "text")] {
        world.connected(id).await;
        world.exec(id, "say", r#"["burst"]"#).await.unwrap();
        let mut heard = vec![json!(["bytes", "a"]), json!(["bytes", ""]), json!(["bytes", "bc"])];
        world.status(id, "heard", &json!(heard).to_string()).await;
        for text in ["x", "", "yz"] {
            world.exec(id, "say", &json!([text]).to_string()).await.unwrap();
            heard.push(json!([form, format!("={text}")]));
        }
        world.exec(id, "tell", &json!([vec![b'w'; 100_000]]).to_string()).await.unwrap();
        heard.push(json!(["bytes", format!("={}", "w".repeat(100_000))]));
        world.status(id, "heard", &json!(heard).to_string()).await;
    }
    // As a stream it is another emulator.
    world.update::<Module>("mod-1", |module| module.udp = false).await;
    until_async("it is asked as a stream", async || {
        world.exec("mod-1", "ask", r#"["hi"]"#).await == Ok(json!(""))
    })
    .await;
}

/// Ends the process of a module, which is without one for a while then.
async fn kill(world: &World, id: &str) {
    let pid = world.running(id).await.process.unwrap();
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
    world.module(id, "without a process", |view| view.state != State::Running).await;
}
