//! The control WebSocket as a client meets it.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use super::server::Server;
use crate::api::Options;

const DEVICE: i64 = 1;

pub(super) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(super) async fn open(server: &Server, key: &str) -> Socket {
        let url =
            format!("ws://{}/api/engine/v2/systems/control?fixed_device=true&api-key={key}", server.address);
        Socket(connect_async(url).await.unwrap().0)
    }

    pub(super) async fn say(&mut self, frame: Value) {
        self.text(&frame.to_string()).await;
    }

    pub(super) async fn text(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    pub(super) async fn hear_text(&mut self) -> String {
        loop {
            let message =
                tokio::time::timeout(Duration::from_secs(20), self.0.next()).await.expect("a frame");
            match message.expect("an open socket").unwrap() {
                Message::Text(text) => return text.to_string(),
                Message::Close(frame) => panic!("closed: {frame:?}"),
                _ => {}
            }
        }
    }

    pub(super) async fn hear(&mut self) -> Value {
        serde_json::from_str(&self.hear_text().await).unwrap()
    }

    /// How the socket ends.
    async fn end(&mut self) -> Option<u16> {
        loop {
            match tokio::time::timeout(Duration::from_secs(20), self.0.next()).await.expect("an end") {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}

pub(super) fn frame(id: i64, cmd: &str, system: &str, module: &str, name: &str) -> Value {
    json!({"id": id, "cmd": cmd, "sys": system, "mod": module, "index": 1, "name": name})
}

#[tokio::test]
async fn a_socket_needs_a_key_and_a_handshake() {
    let server = Server::start().await;
    let url = format!("ws://{}/api/engine/v2/systems/control", server.address);
    let refused = connect_async(url).await.unwrap_err();
    let tokio_tungstenite::tungstenite::Error::Http(response) = refused else { panic!("{refused:?}") };
    assert_eq!(response.status().as_u16(), 401);
    let plain = server.get("/systems/control").await;
    assert_eq!(plain.status, 400);
    let reader = server.new_key("user", &["control.read"]).await;
    assert_eq!(server.ask_as(&reader, "GET", "/systems/control", Value::Null).await.status, 403);
}

#[tokio::test]
async fn pings_are_answered_at_once() {
    let server = Server::start().await;
    let mut socket = Socket::open(&server, &server.key).await;
    for _ in 0..3 {
        socket.text("ping").await;
        assert_eq!(socket.hear_text().await, "pong");
    }
}

#[tokio::test]
async fn wrong_frames_are_refused_and_the_socket_goes_on() {
    let server = Server::start().await;
    let mut socket = Socket::open(&server, &server.key).await;
    for (text, id, code) in [
        ("{", json!(0), 0),
        ("[1]", json!(0), 1),
        (r#"{"id":3,"cmd":"bind"}"#, json!(3), 1),
        (r#"{"id":4,"cmd":"explode","sys":"s","mod":"M","name":"n"}"#, json!(4), 4),
        (r#"{"id":5,"cmd":"exec","sys":"s","mod":"M","name":"n","args":7}"#, json!(5), 1),
        (r#"{"id":"x","cmd":"exec","sys":"sys-none","mod":"M","name":"n","args":[]}"#, json!("x"), 5),
    ] {
        socket.text(text).await;
        let reply = socket.hear().await;
        assert_eq!(
            (&reply["type"], &reply["id"], &reply["error_code"]),
            (&json!("error"), &id, &json!(code)),
            "{reply}"
        );
        assert!(reply["msg"].is_string() && reply["code"].is_i64());
    }
    socket.0.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(socket.hear().await["error_code"], 0);
    socket.text("ping").await;
    assert_eq!(socket.hear_text().await, "pong");
}

#[tokio::test]
async fn binding_what_does_not_exist_succeeds() {
    let server = Server::start().await;
    let mut socket = Socket::open(&server, &server.key).await;
    socket.say(frame(1, "BIND", "sys-none", "Display", "power")).await;
    let meta = json!({"sys": "sys-none", "mod": "Display", "index": 1, "name": "power"});
    assert_eq!(socket.hear().await, json!({"id": 1, "type": "success", "meta": meta}));
    socket.say(frame(2, "bind", "sys-none", "Display", "power")).await;
    assert_eq!(socket.hear().await["id"], 2);
    for id in 3..5 {
        socket.say(frame(id, "unbind", "sys-none", "Display", "power")).await;
        assert_eq!(socket.hear().await, json!({"id": id, "type": "success"}), "also when it is not bound");
    }
    socket.say(frame(6, "ignore", "sys-none", "mod-none", "x")).await;
    assert_eq!(socket.hear().await, json!({"id": 6, "type": "success"}));
}

#[tokio::test]
async fn a_module_that_does_not_run_refuses_calls_with_a_reason() {
    let server = Server::start().await;
    let basics = server.basics(DEVICE).await;
    let module = server.module(&basics.driver).await;
    server.put_in(&basics.system, &module).await;
    server.settled().await;
    let mut socket = Socket::open(&server, &server.key).await;
    socket.say(frame(1, "exec", &basics.system, "Lights", "power")).await;
    assert_eq!(socket.hear().await["error_code"], 6);
    socket.say(frame(2, "exec", &basics.system, "Display", "power")).await;
    let reply = socket.hear().await;
    assert_eq!((&reply["error_code"], &reply["code"]), (&json!(7), &json!(503)), "{reply}");
    assert!(reply["msg"].as_str().unwrap().contains("not running"), "{reply}");
    socket.say(frame(3, "debug", &basics.system, &module, "debug")).await;
    assert_eq!(socket.hear().await, json!({"id": 3, "type": "success"}));
    socket.say(frame(4, "debug", &basics.system, "mod-none", "debug")).await;
    assert_eq!(socket.hear().await["error_code"], 6);
}

#[tokio::test]
async fn protected_modules_and_logs_are_for_support() {
    let server = Server::start().await;
    let user = server.new_key("user", &["public"]).await;
    let mut socket = Socket::open(&server, &user).await;
    for (id, cmd, module) in [(1, "bind", "_TRIGGER_"), (2, "exec", "_TRIGGER_"), (3, "debug", "mod-1")] {
        socket.say(frame(id, cmd, "sys-1", module, "x")).await;
        assert_eq!(socket.hear().await["error_code"], 2, "{cmd}");
    }
    let mut socket = Socket::open(&server, &server.key).await;
    socket.say(frame(1, "bind", "sys-1", "_TRIGGER_", "x")).await;
    assert_eq!(socket.hear().await["type"], "success");
}

#[tokio::test]
async fn bindings_are_limited() {
    let server = Server::with(Options { socket_bindings: 2, ..Options::default() }).await;
    let mut socket = Socket::open(&server, &server.key).await;
    for (id, kind) in [(1, "success"), (2, "success"), (3, "error")] {
        socket.say(frame(id, "bind", "sys-1", "Display", &format!("v{id}"))).await;
        assert_eq!(socket.hear().await["type"], kind);
    }
}

#[tokio::test]
async fn a_session_ends_when_its_key_does() {
    let server = Server::with(Options { socket_recheck_ms: 50, ..Options::default() }).await;
    let key = server.new_key("user", &["public"]).await;
    let mut socket = Socket::open(&server, &key).await;
    socket.text("ping").await;
    assert_eq!(socket.hear_text().await, "pong");
    let id = key.split('.').next().unwrap();
    assert_eq!(server.ask("DELETE", &format!("/api_keys/{id}"), Value::Null).await.status, 202);
    assert_eq!(socket.end().await, Some(1008));
}

#[tokio::test]
async fn sessions_end_when_the_daemon_stops() {
    let server = Server::start().await;
    let mut socket = Socket::open(&server, &server.key).await;
    socket.text("ping").await;
    assert_eq!(socket.hear_text().await, "pong");
    server.stop.cancel();
    assert_eq!(socket.end().await, Some(1001));
}

#[tokio::test]
async fn a_frame_that_is_too_large_ends_only_its_session() {
    let server = Server::with(Options { socket_message_bytes: 64 * 1024, ..Options::default() }).await;
    let mut other = Socket::open(&server, &server.key).await;
    let mut socket = Socket::open(&server, &server.key).await;
    let _ = socket.0.send(Message::text("x".repeat(1024 * 1024))).await;
    socket.end().await;
    other.text("ping").await;
    assert_eq!(other.hear_text().await, "pong");
}

#[tokio::test]
async fn a_client_that_stops_reading_is_disconnected_and_others_go_on() {
    let server = Server::with(Options { socket_stall_ms: 300, ..Options::default() }).await;
    let mut deaf = Socket::open(&server, &server.key).await;
    let mut other = Socket::open(&server, &server.key).await;
    // Asks until nothing more can be sent: its replies fill every buffer between here and there.
    let long = "m".repeat(60_000);
    let ask = async {
        for id in 0..i64::MAX {
            let request = frame(id, "bind", "sys-1", "Display", &long).to_string();
            if deaf.0.send(Message::text(request)).await.is_err() {
                break;
            }
        }
    };
    let watch = async {
        let mut rounds = 0;
        while server.state.metrics().stalled.get() == 0 {
            other.text("ping").await;
            assert_eq!(other.hear_text().await, "pong");
            rounds += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        rounds
    };
    let (_, rounds) = tokio::time::timeout(Duration::from_secs(60), async { tokio::join!(ask, watch) })
        .await
        .expect("the deaf client to be disconnected");
    assert!(rounds > 1);
    other.text("ping").await;
    assert_eq!(other.hear_text().await, "pong");
}
