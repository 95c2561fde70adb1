//! Each way to fail: the reason, and what the sentence says and does not say.

use super::{
    super::{
        faults::{Names, Silent},
        harness::{never_retry, quick},
        kinds::own_address,
    },
    peer::{Reply, Server, ask, client, get, open, post, respond},
};
use crate::connections::{Connections, Failure, Options, Reason, http::Error};
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};

fn failed(outcome: Result<crate::connections::http::Response, Error>) -> Failure {
    match outcome.expect_err("it fails") {
        Error::Failed(failure) => failure,
        other => panic!("{other}"),
    }
}

/// Asks for `/x?key=hunter2`, and gives why that failed.
async fn failure(connections: &Connections, base: &str, settings: Value) -> Failure {
    let (link, _recorder) = open(connections, client(base, settings));
    let failure = failed(ask(&link, get("/x?key=hunter2")).await);
    assert!(failure.detail.contains(&format!("GET {base}/x")), "{failure}");
    assert!(!failure.detail.contains("hunter2"), "{failure}");
    failure
}

/// What a server does to every request.
async fn answered(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Failure {
    let server = Server::start(move |_| reply()).await;
    let failure = failure(&Connections::new(quick()), &server.base(), json!({})).await;
    assert_eq!(
        server.seen().len(),
        if failure.reason == Reason::Protocol { 1 } else { 2 },
        "GET is tried again"
    );
    failure
}

#[tokio::test]
async fn refused() {
    let base = format!("http://{}:4000", own_address());
    let failure = failure(&Connections::new(never_retry()), &base, json!({})).await;
    assert_eq!(failure.reason, Reason::Refused, "{failure}");
}

#[tokio::test]
async fn nobody_answers() {
    let silent = Silent::make();
    let base = format!("http://{}", silent.address);
    let options = Options { connect_timeout_ms: 200, ..never_retry() };
    let failure = failure(&Connections::new(options), &base, json!({})).await;
    assert_eq!(failure.reason, Reason::Timeout, "{failure}");
}

#[tokio::test]
async fn no_such_name_and_then_there_is() {
    let names = Names::default();
    let connections = Connections::with_resolver(quick(), names.clone());
    let server = Server::start(|_| respond(200, &[], "hello")).await;
    let base = format!("http://service.example:{}", server.address.port());
    let nowhere = failure(&connections, &base, json!({})).await;
    assert_eq!(nowhere.reason, Reason::Dns, "{nowhere}");
    assert!(nowhere.detail.contains("no such host"), "{nowhere}");
    names.0.lock().push(server.address);
    let (link, _recorder) = open(&connections, client(base, json!({})));
    assert_eq!(ask(&link, get("/")).await.expect("answered").body, "hello");
}

#[tokio::test]
async fn no_way_there() {
    // Documentation addresses (RFC 3849) lead nowhere; a machine with a default route for IPv6 may wait for an answer.
    let options = Options { connect_timeout_ms: 300, ..never_retry() };
    let failure = failure(&Connections::new(options), "http://[2001:db8::1]:4000", json!({})).await;
    assert!(matches!(failure.reason, Reason::Unreachable | Reason::Timeout), "{failure}");
}

#[tokio::test]
async fn reset_closed_or_nonsense() {
    assert_eq!(answered(|| Reply::Reset).await.reason, Reason::Reset);
    assert_eq!(answered(|| Reply::Last(Vec::new())).await.reason, Reason::Closed);
    assert_eq!(answered(|| Reply::Last(b"HTTP/1.1 200 X\r\nConte".to_vec())).await.reason, Reason::Closed);
    assert_eq!(answered(|| Reply::Last(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec())).await.reason, Reason::Protocol);
    let gzip: &[u8] = b"HTTP/1.1 200 X\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope";
    assert_eq!(answered(|| Reply::Last(gzip.to_vec())).await.reason, Reason::Protocol);
}

#[tokio::test]
async fn cut_off_in_the_body() {
    let cut: &[u8] = b"HTTP/1.1 200 X\r\nContent-Length: 10\r\n\r\nhalf";
    let server = Server::start(|_| Reply::Last(cut.to_vec())).await;
    let (link, recorder) = open(&Connections::new(never_retry()), client(server.base(), json!({})));
    recorder.up_after(0).await;
    assert_eq!(failed(ask(&link, get("/")).await).reason, Reason::Closed);
    assert_eq!(recorder.ended(1).await.reason(), Some(Reason::Closed));
}

#[tokio::test]
async fn what_cannot_be_repeated_is_sent_once() {
    let server = Server::start(|_| Reply::Reset).await;
    let (link, _recorder) = open(&Connections::new(quick()), client(server.base(), json!({})));
    assert_eq!(failed(ask(&link, post("/x", "body")).await).reason, Reason::Reset);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn an_untrusted_certificate_is_named() {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![signed.cert.der().clone()],
            rustls::pki_types::PrivateKeyDer::Pkcs8(signed.signing_key.serialize_der().into()),
        )
        .expect("server");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("accept");
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let _ = stream.write_all(b"HTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n").await;
                }
            });
        }
    });
    let failure = failure(
        &Connections::new(never_retry()),
        &format!("https://localhost:{}", address.port()),
        json!({}),
    )
    .await;
    assert_eq!(failure.reason, Reason::Tls, "{failure}");
    assert!(failure.detail.contains("rcgen"), "the subject: {failure}");
    // The service speaks no TLS at all.
    let plain = Server::start(|_| respond(200, &[], "")).await;
    let base = format!("https://{}", plain.address);
    let (link, _recorder) = open(&Connections::new(never_retry()), client(base, json!({"timeout_ms": 3000})));
    assert_ne!(failed(ask(&link, get("/")).await).reason, Reason::Unreachable);
}

#[tokio::test]
async fn no_response_in_time() {
    let server = Server::start(|_| Reply::Nothing).await;
    let (link, recorder) = open(&Connections::new(never_retry()), client(server.base(), json!({})));
    recorder.up_after(0).await;
    let request = crate::connections::http::Request {
        timeout: Some(Duration::from_millis(100)),
        ..get("/slow?key=hunter2")
    };
    let error = ask(&link, request).await.expect_err("late");
    assert!(matches!(error, Error::Late { waiting: false, .. }), "{error}");
    assert!(error.to_string().contains("/slow: no whole response within 100 ms"), "{error}");
    // Slow is not gone: it was probed, and is there.
    let address: SocketAddr = server.address;
    assert!(link.state().is_up(), "{address}");
}
