//! What becomes of commands and bytes on the way between a driver process and its device.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::join;
use headend::model::Module;
use headend::runtime::exec;
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, pki_types::PrivateKeyDer};

use crate::world::{World, line, settings, until, until_async};

/// A device that hears texts and says `=TEXT` to each, or what it has been told to say.
struct Device {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
    /// Instead of its own answer.
    answer: Arc<Mutex<Option<&'static str>>>,
    /// While it is there.
    serving: Option<JoinSet<()>>,
}

impl Device {
    /// One that is not there yet, at an address of its own.
    async fn absent() -> Device {
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        Device { address, heard: Arc::default(), answer: Arc::default(), serving: None }
    }

    async fn appear(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        let (heard, answer) = (self.heard.clone(), self.answer.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut sessions = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                sessions.spawn(serve(stream, heard.clone(), answer.clone()));
            }
        });
        self.serving = Some(serving);
    }

    async fn leave(&mut self) {
        self.serving.take().unwrap().shutdown().await;
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().clone()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    heard: Arc<Mutex<Vec<String>>>,
    answer: Arc<Mutex<Option<&'static str>>>,
) {
    let mut chunk = vec![0; 1024];
    while let Ok(read @ 1..) = stream.read(&mut chunk).await {
        let text = String::from_utf8_lossy(&chunk[..read]).into_owned();
        heard.lock().push(text.clone());
        let answer = answer.lock().map_or_else(|| format!("={text}"), Into::into);
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn code(result: Result<serde_json::Value, exec::Error>) -> String {
    match result {
        Err(exec::Error::Raised(failure)) => failure.code,
        other => format!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_commands_reach_a_device_that_comes_back_in_order_and_others_fail_at_once() {
    let world = World::new().await;
    let mut lamp = Device::absent().await;
    world.save(line("mod-1", lamp.address.port())).await;
    world.running("mod-1").await;

    let kept = async {
        let first = world.exec("mod-1", "keep", r#"["one", 60]"#);
        // Begun in this order: a call is on its way when it has been polled.
        let second = world.exec("mod-1", "keep", r#"["two", 60]"#);
        join(first, second).await
    };
    let arrives = async {
        assert_eq!(code(world.exec("mod-1", "ask", r#"["now"]"#).await), "offline");
        assert_eq!(code(world.exec("mod-1", "keep", r#"["soon", 1]"#).await), "offline");
        lamp.appear().await;
    };
    let ((first, second), ()) = join(kept, arrives).await;
    first.unwrap();
    second.unwrap();
    assert_eq!(lamp.heard(), ["one", "two"]);

    // Once more, when it had been there.
    lamp.leave().await;
    world.module("mod-1", "down", |view| !view.connected).await;
    let kept = world.exec("mod-1", "keep", r#"["three", 60]"#);
    let arrives = async {
        assert_eq!(code(world.exec("mod-1", "ask", r#"["now"]"#).await), "offline");
        lamp.appear().await;
    };
    join(kept, arrives).await.0.unwrap();
    assert_eq!(lamp.heard(), ["one", "two", "three"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_in_flight_fails_when_its_device_goes_and_is_not_sent_again() {
    let world = World::new().await;
    let mut lamp = Device::absent().await;
    lamp.appear().await;
    *lamp.answer.lock() = Some("busy");
    world.save(line("mod-1", lamp.address.port())).await;
    world.connected("mod-1").await;
    let kept = world.exec("mod-1", "keep", r#"["one", 60]"#);
    let leaves = async {
        until("it was heard", || lamp.heard() == ["one"]).await;
        lamp.leave().await;
        *lamp.answer.lock() = None;
        lamp.appear().await;
    };
    let (kept, ()) = join(kept, leaves).await;
    assert_eq!(code(kept), "offline");
    world.connected("mod-1").await;
    assert_eq!(world.exec("mod-1", "ask", r#"["two"]"#).await, Ok(json!("")));
    assert_eq!(lamp.heard(), ["one", "two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_the_device_refuses_is_shown_as_auth_until_it_lets_the_module_in() {
    let world = World::new().await;
    let mut lamp = Device::absent().await;
    lamp.appear().await;
    *lamp.answer.lock() = Some("out");
    world.save(settings("mod-1", r#"{"password": "open"}"#)).await;
    world.save(line("mod-1", lamp.address.port())).await;
    let view = world.module("mod-1", "refused", |view| view.reason == Some("auth")).await;
    assert!(!view.connected);
    let detail = view.detail.unwrap();
    assert!(
        detail.contains("the login at 127.0.0.1") && detail.contains("the device answered out"),
        "{detail}"
    );
    assert!(!detail.contains("open"), "{detail}");

    *lamp.answer.lock() = Some("in");
    // Nothing is sent before the login is done.
    until_async("it is let in", async || world.exec("mod-1", "say", r#"["hello"]"#).await.is_ok()).await;
    until("it was heard", || lamp.heard().ends_with(&["open".into(), "hello".into()])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_driver_says_of_its_device_is_shown_until_another_connection_comes_up() {
    let world = World::new().await;
    let mut lamp = Device::absent().await;
    lamp.appear().await;
    world.save(line("mod-1", lamp.address.port())).await;
    world.connected("mod-1").await;

    world.exec("mod-1", "online", "[false]").await.unwrap();
    let view = world.runtime.module("mod-1").unwrap();
    assert_eq!((view.connected, view.reason), (false, Some("device")));
    assert_eq!(view.detail.as_deref(), Some("the lamp is unplugged"));
    world.status("mod-1", "connected", "false").await;
    world.exec("mod-1", "ask", r#"["still"]"#).await.unwrap();
    world.exec("mod-1", "online", "[null]").await.unwrap();
    let view = world.runtime.module("mod-1").unwrap();
    assert_eq!((view.connected, view.reason, view.detail), (true, None, None));
    world.status("mod-1", "connected", "true").await;

    // The link has the last word on why it is down, and another connection begins anew.
    world.exec("mod-1", "online", "[false]").await.unwrap();
    lamp.leave().await;
    world.module("mod-1", "down", |view| view.reason == Some("refused")).await;
    lamp.appear().await;
    world.connected("mod-1").await;
    world.status("mod-1", "connected", "true").await;

    lamp.leave().await;
    world.module("mod-1", "down", |view| !view.connected).await;
    world.exec("mod-1", "online", "[true]").await.unwrap();
    assert!(world.runtime.module("mod-1").unwrap().connected);
    world.status("mod-1", "connected", "true").await;
    assert_eq!(code(world.exec("mod-1", "ask", r#"["now"]"#).await), "offline");
    world.update::<Module>("mod-1", |module| module.running = false).await;
    world.update::<Module>("mod-1", |module| module.running = true).await;
    world.running("mod-1").await;
    world.status("mod-1", "connected", "false").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_makebreak_device_that_closes_without_an_answer_is_told_at_once_and_is_no_outage() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    world.save(Module { makebreak: true, ..line("mod-1", port) }).await;
    world.running("mod-1").await;
    tokio::spawn(async move {
        loop {
            let mut stream = listener.accept().await.unwrap().0;
            let mut chunk = [0; 1024];
            let read = stream.read(&mut chunk).await.unwrap();
            if &chunk[..read] == b"kept" {
                stream.write_all(b"=kept").await.unwrap();
            }
        }
    });
    for round in 0..20 {
        assert_eq!(code(world.exec("mod-1", "ask", r#"["cut"]"#).await), "offline", "round {round}");
        let kept = world.exec("mod-1", "ask", r#"["kept"]"#).await;
        kept.unwrap_or_else(|error| panic!("round {round}: {error}"));
    }
    assert!(world.runtime.module("mod-1").unwrap().connected);
    assert_eq!(world.runtime.status_value("mod-1", "connected").as_deref(), Some("true"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_goes_on_in_tls_and_a_certificate_that_nobody_trusts_ends_the_connection() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = acceptor();
    let heard = Arc::<Mutex<Vec<String>>>::default();
    let served = heard.clone();
    let device = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 8];
            stream.read_exact(&mut asked).await.unwrap();
            assert_eq!(&asked, b"STARTTLS");
            stream.write_all(b"=STARTTLS").await.unwrap();
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream, served.clone(), Arc::default()).await;
            }
        }
    });
    world.save(line("mod-1", port)).await;
    world.connected("mod-1").await;
    let error = world.exec("mod-1", "secure", "[]").await;
    assert_eq!(code(error), "offline");
    let view = world.module("mod-1", "down because of TLS", |view| view.reason == Some("tls")).await;
    assert!(view.detail.is_some_and(|detail| detail.contains("certificate")));

    world.save(settings("mod-1", r#"{"connection": {"tls": {"verify": false}}}"#)).await;
    world.connected("mod-1").await;
    world.exec("mod-1", "secure", "[]").await.unwrap();
    world.status("mod-1", "tls_verified", "false").await;
    assert_eq!(world.exec("mod-1", "ask", r#"["hello"]"#).await, Ok(json!("")));
    assert_eq!(*heard.lock(), ["hello"]);
    device.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_speaks_tls_shows_whether_it_verifies() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = acceptor();
    let device = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(stream) = acceptor.accept(stream).await {
                tokio::spawn(serve(stream, Arc::default(), Arc::default()));
            }
        }
    });
    world.save(settings("mod-1", r#"{"connection": {"tls": {"verify": false}}}"#)).await;
    world.save(Module { tls: true, ..line("mod-1", port) }).await;
    let view = world.connected("mod-1").await;
    assert_eq!(view.tls_verified, Some(false));
    world.status("mod-1", "tls_verified", "false").await;
    assert_eq!(world.exec("mod-1", "ask", r#"["hello"]"#).await, Ok(json!("")));

    world.save(settings("mod-1", "{}")).await;
    let view = world.module("mod-1", "down because of TLS", |view| view.reason == Some("tls")).await;
    assert_eq!(view.tls_verified, Some(true));
    world.status("mod-1", "tls_verified", "true").await;

    world.update::<Module>("mod-1", |module| module.tls = false).await;
    world.module("mod-1", "in the clear", |view| view.tls_verified.is_none()).await;
    device.abort();
}

/// TLS with a certificate that nobody has heard of.
fn acceptor() -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(["device.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.unwrap().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key);
    TlsAcceptor::from(Arc::new(config.unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_makebreak_connection_is_logged_in_to_before_its_command() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::<Mutex<Vec<String>>>::default();
    let connections = heard.clone();
    // It takes a password, then one command, and closes.
    let device = tokio::spawn(async move {
        loop {
            let mut stream = listener.accept().await.unwrap().0;
            let mut said = Vec::new();
            for answer in [Some("in"), None] {
                let mut chunk = [0; 1024];
                let read = stream.read(&mut chunk).await.unwrap();
                let text = String::from_utf8_lossy(&chunk[..read]).into_owned();
                let answer = answer.map_or_else(|| format!("={text}"), Into::into);
                said.push(text);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            connections.lock().push(said.join(", "));
        }
    });
    world.save(settings("mod-1", r#"{"password": "open"}"#)).await;
    world.save(Module { makebreak: true, ..line("mod-1", port) }).await;
    world.running("mod-1").await;
    assert_eq!(heard.lock().len(), 0, "nobody wanted anything yet");
    // Each comes when the connection of the one before has ended, ends in that moment, or has not yet.
    let asked: Vec<String> = (0..50).map(|number| format!("ask {number}")).collect();
    for text in &asked {
        let ask = async || match world.exec("mod-1", "ask", &json!([text]).to_string()).await {
            Ok(answer) => answer == "",
            // Sent to a device that had closed, which the system did not know yet.
            Err(error) => {
                assert_eq!(code(Err(error)), "offline", "{text}");
                false
            }
        };
        until_async("it is answered", ask).await;
    }
    let expected: Vec<String> = asked.iter().map(|text| format!("open, {text}")).collect();
    assert_eq!(*heard.lock(), expected);
    device.abort();
}
