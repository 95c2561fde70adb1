//! WebSocket with mosquitto (MQTT over WebSocket), and with peers of our own for what no server does on demand.

use super::{
    super::{Address, Connections, Form, Link, Options, Payload, Reason, State, Target, websocket},
    harness::{DEADLINE, Receipts, Recorder, never_retry, quick},
    kinds::{acceptor, own_address, websocket_target},
    peers::{Identity, Peer, params, program, self_signed},
    recorded::messages,
};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::{net::SocketAddr, process::Command, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, accept_async, accept_hdr_async,
    tungstenite::{
        Message, Utf8Bytes,
        handshake::server::{Request, Response},
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

fn settings(settings: Value) -> websocket::Settings {
    serde_json::from_value(settings).expect("settings")
}

struct Server {
    at: SocketAddr,
    listener: TcpListener,
}

impl Server {
    async fn new() -> Self {
        let at = SocketAddr::from((own_address(), 4000));
        Self { at, listener: TcpListener::bind(at).await.expect("bind") }
    }

    fn target(&self, with: Value) -> Target {
        websocket_target(&format!("ws://{}/live?key=in-the-query", self.at), settings(with))
    }

    async fn accept(&self) -> TcpStream {
        timeout(DEADLINE, self.listener.accept()).await.expect("in time").expect("accept").0
    }

    async fn open(&self, recorder: &Recorder, with: Value) -> (Link, WebSocketStream<TcpStream>) {
        let link = recorder.open(&Connections::new(never_retry()), self.target(with));
        let stream = accept_async(self.accept().await).await.expect("handshake");
        recorder.up_after(0).await;
        (link, stream)
    }
}

async fn next<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut WebSocketStream<S>) -> Message {
    timeout(DEADLINE, stream.next()).await.expect("in time").expect("a message").expect("a message")
}

async fn send(link: &Link, bytes: &'static str, form: Form) {
    let payload = Payload { form, ..Payload::from(Bytes::from_static(bytes.as_bytes())) };
    Receipts::transmit(link, payload).await.expect("sent");
}

async fn down(recorder: &Recorder) -> (Reason, String) {
    match recorder.down().await {
        State::Down { reason, detail, .. } => (reason, detail.to_string()),
        other => unreachable!("{other:?}"),
    }
}

#[tokio::test]
async fn messages_keep_their_boundaries_and_their_form() {
    let (server, recorder) = (Server::new().await, Recorder::new());
    let (link, mut stream) = server.open(&recorder, json!({})).await;
    assert!(server.target(json!({})).address.messages());
    for (text, form) in [("{\"a\":1}", Form::Text), ("", Form::Text), ("raw", Form::Bytes), ("", Form::Bytes)]
    {
        send(&link, text, form).await;
        let expected = match form {
            Form::Text => Message::text(text),
            Form::Bytes => Message::binary(text),
        };
        assert_eq!(next(&mut stream).await, expected);
        stream.send(expected).await.expect("sent");
    }
    let big = "x".repeat(200_000);
    stream.send(Message::text(big.clone())).await.expect("sent");
    recorder.until("all of them", |record| (record.pieces.len() == 5).then_some(())).await;
    recorder.look(|record| {
        assert_eq!(record.forms, [Form::Text, Form::Text, Form::Bytes, Form::Bytes, Form::Text]);
        assert_eq!(record.pieces, [&b"{\"a\":1}"[..], b"", b"raw", b"", big.as_bytes()]);
    });
    let recorded = messages(&recorder).into_iter();
    let (sent, received): (Vec<_>, Vec<_>) = recorded.partition(|(way, ..)| *way == "sent");
    let sent = sent.into_iter().map(|(_, form, bytes)| (form, bytes));
    assert!(
        sent.eq([(Form::Text, "{\"a\":1}"), (Form::Text, ""), (Form::Bytes, "raw"), (Form::Bytes, "")]
            .map(|(form, text)| (form, text.as_bytes().to_vec())))
    );
    let received = received.into_iter().map(|(_, form, bytes)| (form, bytes));
    recorder
        .look(|record| assert!(received.eq(record.forms.iter().copied().zip(record.pieces.iter().cloned()))));
    let text = Payload { form: Form::Text, ..Payload::from(Bytes::from_static(b"\xff")) };
    Receipts::transmit(&link, text).await.expect_err("no UTF-8");
    assert!(link.state().is_up());
}

#[tokio::test]
async fn the_service_is_told_who_asks_and_for_what() {
    let (server, recorder) = (Server::new().await, Recorder::new());
    let with = json!({
        "subprotocols": ["chat.v2", "chat.v1"],
        "headers": { "X-Api-Key": "k3y" },
        "auth": { "kind": "basic", "username": "ada", "password": "hunter2" },
    });
    let _link = recorder.open(&Connections::new(never_retry()), server.target(with));
    let mut asked = None;
    #[expect(clippy::result_large_err, reason = "the library's own signature")]
    let answer = |request: &Request, mut response: Response| {
        asked = Some(request.clone());
        response.headers_mut().insert("Sec-WebSocket-Protocol", "chat.v1".parse().expect("value"));
        Ok(response)
    };
    let _stream = accept_hdr_async(server.accept().await, answer).await.expect("handshake");
    recorder.up_after(0).await;
    let asked = asked.expect("a request");
    let header = |name: &str| asked.headers().get(name).expect(name).to_str().expect("text").to_owned();
    assert_eq!(asked.uri().to_string(), "/live?key=in-the-query");
    assert_eq!(header("sec-websocket-protocol"), "chat.v2, chat.v1");
    assert_eq!(
        (header("x-api-key"), header("authorization")),
        ("k3y".into(), "Basic YWRhOmh1bnRlcjI=".into())
    );
    assert_eq!(header("host"), server.at.to_string());
}

#[tokio::test]
async fn a_handshake_that_is_refused_says_why_and_keeps_secrets() {
    let server = Server::new().await;
    let with = json!({ "auth": { "kind": "bearer", "token": "s3cret" } });
    for (answer, reason, words) in [
        (
            "401 Unauthorized\r\n\r\nno such token: s3cret",
            Reason::Auth,
            ["connection.websocket.auth", "no such token: ***"],
        ),
        ("403 Forbidden\r\n\r\n", Reason::Auth, ["status 403", "credentials"]),
        ("404 Not Found\r\n\r\n<p>\r\nnothing</p>", Reason::Protocol, ["status 404", "<p>  nothing</p>"]),
        ("302 Found\r\nLocation: /x?key=in-the-query\r\n\r\n", Reason::Protocol, ["is elsewhere", "/x?***"]),
        ("200 OK\r\n\r\nhello", Reason::Protocol, ["did not open a WebSocket", "hello"]),
        ("garbage\r\n\r\n", Reason::Protocol, ["does not speak WebSocket", "uri"]),
    ] {
        let recorder = Recorder::new();
        let _link = recorder.open(&Connections::new(never_retry()), server.target(with.clone()));
        let mut stream = server.accept().await;
        stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await.expect("write");
        stream.shutdown().await.expect("shutdown");
        let (told, detail) = down(&recorder).await;
        assert_eq!(told, reason, "{detail}");
        assert!(detail.starts_with(&format!("ws://{}/live ", server.at)), "{detail}");
        assert!(words.iter().all(|word| detail.contains(word)), "{detail}");
        assert!(!detail.contains("s3cret") && !detail.contains("in-the-query"), "{detail}");
    }
}

#[tokio::test]
async fn peers_that_end_or_forget_the_handshake() {
    let server = Server::new().await;
    let recorder = Recorder::new();
    let _link = recorder.open(&Connections::new(never_retry()), server.target(json!({})));
    let mut stream = server.accept().await;
    let _ = stream.read(&mut [0; 1000]).await;
    drop(stream);
    let (reason, detail) = down(&recorder).await;
    assert_eq!(reason, Reason::Closed, "{detail}");
    assert!(detail.contains("in the WebSocket handshake"), "{detail}");

    let recorder = Recorder::new();
    let hurried = Options { connect_timeout_ms: 200, ..never_retry() };
    let _link = recorder.open(&Connections::new(hurried), server.target(json!({})));
    let (reason, detail) = down(&recorder).await;
    assert_eq!(reason, Reason::Timeout, "{detail}");
    assert!(detail.contains("did not answer the WebSocket handshake within 200 ms"), "{detail}");
}

#[tokio::test]
async fn a_close_is_told_with_its_code_and_reason() {
    for (frame, words) in [
        (Some((CloseCode::Restart, "back at\n6")), "with code 1012: back at\\n6"),
        (Some((CloseCode::Away, "")), "with code 1001"),
        (None, "closed the WebSocket"),
    ] {
        let (server, recorder) = (Server::new().await, Recorder::new());
        let (_link, mut stream) = server.open(&recorder, json!({})).await;
        stream.send(Message::text("last words")).await.expect("sent");
        let frame = frame.map(|(code, reason)| CloseFrame { code, reason: Utf8Bytes::from_static(reason) });
        stream.close(frame).await.expect("close");
        let (reason, detail) = down(&recorder).await;
        assert_eq!(reason, Reason::Closed, "{detail}");
        assert!(detail.ends_with(words), "{detail}");
        recorder.look(|record| assert_eq!(record.bytes, b"last words"));
        // The close is answered in kind.
        assert!(matches!(next(&mut stream).await, Message::Close(_)));
    }
}

#[tokio::test]
async fn good_bye_is_said() {
    let (server, recorder) = (Server::new().await, Recorder::new());
    let (link, mut stream) = server.open(&recorder, json!({})).await;
    link.close().await;
    let Message::Close(Some(frame)) = next(&mut stream).await else { panic!("no good-bye") };
    assert_eq!(frame.code, CloseCode::Normal);
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_it() {
    let (server, recorder) = (Server::new().await, Recorder::new());
    let (_link, mut stream) = server.open(&recorder, json!({ "max_message_bytes": 1000 })).await;
    stream.send(Message::text("x".repeat(1000))).await.expect("sent");
    recorder.received(1000).await;
    stream.send(Message::text("x".repeat(1001))).await.expect("sent");
    let (reason, detail) = down(&recorder).await;
    assert_eq!(reason, Reason::Protocol, "{detail}");
    assert!(detail.contains("1001 bytes") && detail.contains("max_message_bytes"), "{detail}");
    let Message::Close(Some(frame)) = next(&mut stream).await else { panic!("no good-bye") };
    assert_eq!(frame.code, CloseCode::Size);
}

#[tokio::test]
async fn a_peer_that_answers_pings_stays_and_one_that_does_not_is_silent() {
    let (server, recorder) = (Server::new().await, Recorder::new());
    let (link, mut stream) = server.open(&recorder, json!({ "ping_ms": 20, "pong_ms": 60_000 })).await;
    for _ in 0..5 {
        // Reading answers it.
        assert_eq!(next(&mut stream).await, Message::Ping(Bytes::new()));
    }
    stream.send(Message::Ping(Bytes::from_static(b"you?"))).await.expect("sent");
    while next(&mut stream).await != Message::Pong(Bytes::from_static(b"you?")) {}
    assert!(link.state().is_up());

    let (server, recorder) = (Server::new().await, Recorder::new());
    let (_link, _stream) = server.open(&recorder, json!({ "ping_ms": 20, "pong_ms": 50 })).await;
    let (reason, detail) = down(&recorder).await;
    assert_eq!(reason, Reason::Silent, "{detail}");
    assert!(detail.contains("not even to a ping"), "{detail}");
}

/// Pongs that wait to be read while the sink is slow are not held against the peer.
#[tokio::test]
async fn a_slow_sink_makes_nobody_silent() {
    let (server, recorder) = (Server::new().await, Recorder::slow());
    let (link, mut stream) = server.open(&recorder, json!({ "ping_ms": 20, "pong_ms": 200 })).await;
    assert_eq!(next(&mut stream).await, Message::Ping(Bytes::new()));
    stream.send(Message::text("read this")).await.expect("sent");
    // Longer than the peer's patience: it is the passing of this time that is the test.
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    recorder.open_up();
    for _ in 0..3 {
        assert_eq!(next(&mut stream).await, Message::Ping(Bytes::new()));
    }
    assert!(link.state().is_up());
    recorder.look(|record| assert_eq!((&*record.bytes, record.states.len()), (&b"read this"[..], 2)));
}

#[tokio::test]
async fn what_breaks_the_rules_is_told() {
    let (server, recorder) = (Server::new().await, Recorder::new());
    let (_link, mut stream) = server.open(&recorder, json!({})).await;
    // A reserved opcode.
    stream.get_mut().write_all(&[0x83, 0]).await.expect("write");
    let (reason, detail) = down(&recorder).await;
    assert_eq!(reason, Reason::Protocol, "{detail}");
    assert!(detail.contains("broke the rules of WebSocket"), "{detail}");
}

#[tokio::test]
async fn tls_is_spoken_and_verified() {
    let server = Server::new().await;
    let identity = self_signed(&params(&["device"]));
    let target = |tls: Value| {
        let tls = Arc::new(serde_json::from_value(tls).expect("settings"));
        let uri = format!("wss://{}/", server.at);
        let service = websocket::Service::new(&uri, None, tls, Arc::default()).expect("uri");
        Target::new(Address::WebSocket(service))
    };
    let recorder = Recorder::new();
    let pinned = target(json!({ "pin": identity.pin }));
    assert_eq!(pinned.address.tls_verified(), Some(true));
    let link = recorder.open(&Connections::new(never_retry()), pinned);
    let mut stream = secured(&server, &identity).await.expect("handshake");
    recorder.up_after(0).await;
    send(&link, "hello", Form::Text).await;
    assert_eq!(next(&mut stream).await, Message::text("hello"));

    let recorder = Recorder::new();
    let ca = json!({ "ca": identity.certificate, "server_name": "other" });
    let _link = recorder.open(&Connections::new(never_retry()), target(ca));
    assert!(secured(&server, &identity).await.is_none());
    let (reason, detail) = down(&recorder).await;
    assert_eq!(reason, Reason::Tls, "{detail}");
    assert!(detail.contains("not for other but for device"), "{detail}");
}

async fn secured(
    server: &Server,
    identity: &Identity,
) -> Option<WebSocketStream<tokio_rustls::server::TlsStream<TcpStream>>> {
    let stream = acceptor(identity).accept(server.accept().await).await.ok()?;
    accept_async(stream).await.ok()
}

#[test]
fn uris_and_settings_that_cannot_be_used_are_told() {
    let service = |uri: &str| websocket::Service::new(uri, None, Arc::default(), Arc::default());
    for (uri, shown, host, port) in [
        ("ws://a.example/x?token=1#y", "ws://a.example/x", "a.example", 80),
        ("wss://[::1]", "wss://[::1]/", "::1", 443),
        ("ws://10.0.0.1:81/", "ws://10.0.0.1:81/", "10.0.0.1", 81),
    ] {
        let service = service(uri).expect("uri");
        let endpoint = service.endpoint();
        assert_eq!(
            (service.to_string().as_str(), endpoint.host.as_str(), endpoint.port),
            (shown, host, port)
        );
    }
    for (uri, word) in
        [("http://a", "ws:"), ("ws://ada:pw@a", "connection.websocket.auth"), ("nothing", "URL")]
    {
        let why = service(uri).expect_err(uri);
        assert!(why.contains(word) && !why.contains("pw"), "{why}");
    }
    for (with, word) in [
        (json!({ "headers": { "Sec-WebSocket-Key": "x" } }), "the handshake itself"),
        (json!({ "headers": { "X-Key": "secret\nX: y" } }), "X-Key"),
        (json!({ "headers": { "a b": "secret" } }), "a b"),
        (json!({ "subprotocols": ["a b"] }), "a b"),
        (json!({ "auth": { "kind": "bearer", "token": "secret\n" } }), "auth.token"),
        (json!({ "max_message_bytes": 1 << 30 }), "max_message_bytes"),
        (json!({ "pong_ms": 0 }), "pong_ms"),
    ] {
        let why = settings(with).check().expect_err(word);
        assert!(why.contains(word) && !why.contains("secret"), "{why}");
    }
    assert_eq!(websocket::Settings::default().check(), Ok(()));
}

/// MQTT 3.1.1 over WebSocket: CONNECT is answered with CONNACK, PINGREQ with PINGRESP, also after the broker was away.
#[tokio::test]
async fn mqtt_with_mosquitto() {
    let Some(mosquitto) = program("mosquitto", "mosquitto") else { return };
    let folder = tempfile::tempdir().expect("folder");
    // It listens on addresses of an interface only, which others of the loopback network are not.
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let path = folder.path().join("settings");
    // Debian's 2.0.11 does not start with nothing but WebSockets.
    let plain = own_address();
    let lines = format!(
        "allow_anonymous true\npersistence false\nlistener 1883 {plain}\nlistener {port} 127.0.0.1\nprotocol websockets\n"
    );
    std::fs::write(&path, lines).expect("write");
    let start = || Peer::start(Command::new(&mosquitto).arg("-c").arg(&path));
    let recorder = Recorder::new();
    let target = websocket_target(
        &format!("ws://127.0.0.1:{port}/mqtt"),
        settings(json!({ "subprotocols": ["mqtt"] })),
    );
    let link = recorder.open(&Connections::new(quick()), target);
    for connection in 1..=2 {
        let broker = start();
        assert_eq!(recorder.up_after(connection - 1).await, connection);
        let connect = b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02me";
        Receipts::transmit(&link, Bytes::from_static(connect)).await.expect("sent");
        let taken = |record: &super::harness::Record| (record.bytes == b"\x20\x02\x00\x00").then_some(());
        recorder.until("CONNACK", taken).await;
        Receipts::transmit(&link, Bytes::from_static(b"\xc0\x00")).await.expect("sent");
        recorder.until("PINGRESP", |record| record.bytes.ends_with(b"\xd0\x00").then_some(())).await;
        drop(broker);
        recorder.ended(connection).await;
        recorder.forget();
    }
}
