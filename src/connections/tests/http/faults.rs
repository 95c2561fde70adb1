//! A fault proxy between the daemon and a service: for each fault, what who asks is told, what the link says, and that both
//! are well when it is over.

use super::{
    super::harness::quick,
    peer::{Server, ask, client, get, ok, open, post},
};
use crate::connections::{
    Connections, Reason, State,
    http::{Error, Response},
};
use fault_proxy::{Fault, FaultProxy, Towards};
use serde_json::json;
use std::time::Duration;

/// Why there was no response.
fn reason(outcome: Result<Response, Error>) -> Reason {
    match outcome.expect_err("a fault") {
        Error::Failed(failure) => failure.reason,
        Error::Late { waiting: false, .. } => Reason::Timeout,
        error => panic!("{error}"),
    }
}

/// `timeout_ms`: also of the probe. What is expected first is also what the link says in the end.
async fn with(fault: Fault, timeout_ms: u64, expected: &[Reason]) {
    let server = Server::start(|seen| ok(&seen.path)).await;
    let proxy = FaultProxy::tcp(server.address).await.expect("proxy");
    let settings = json!({"timeout_ms": timeout_ms, "probe": {"path": "/probe", "interval_ms": 50}});
    let connections = Connections::new(quick());
    let base = format!("http://{}", proxy.address());
    let (link, recorder) = open(&connections, client(base, settings));
    recorder.up_after(0).await;
    assert_eq!(ask(&link, get("/before")).await.expect("no fault yet").body, "/before");

    proxy.set(fault).await.expect("set");
    if fault == Fault::Refuse {
        // The others concern the connections that there are, too.
        proxy.reset();
    }
    if expected.is_empty() {
        for path in ["/one", "/two"] {
            assert_eq!(ask(&link, post(path, "x")).await.expect("slow, but sure").body, path.as_bytes());
        }
    } else {
        let told = [ask(&link, get("/get")).await, ask(&link, post("/post", "x")).await].map(reason);
        assert!(told.iter().all(|told| expected.contains(told)), "{fault:?}: {told:?}");
        let down = |state: &State| state.reason() == expected.first().copied();
        recorder.until("down", |record| record.states.iter().any(down).then_some(())).await;
    }

    let before = connections.metrics().connects;
    proxy.set(Fault::None).await.expect("set");
    proxy.cut();
    if !expected.is_empty() {
        recorder.up_after(before).await;
    }
    // It may have been the probe's connection that was cut: then the link is coming back.
    let last = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            if let Ok(response) = ask(&link, get("/after")).await {
                return response;
            }
        }
    });
    assert_eq!(last.await.expect("it is over").body, "/after");
    link.close().await;
}

#[tokio::test]
async fn refuse() {
    with(Fault::Refuse, 10_000, &[Reason::Refused, Reason::Reset, Reason::Closed]).await;
}

#[tokio::test]
async fn accept_then_close() {
    with(Fault::AcceptThenClose, 10_000, &[Reason::Closed, Reason::Reset]).await;
}

#[tokio::test]
async fn silent() {
    with(Fault::Silent, 200, &[Reason::Timeout]).await;
}

#[tokio::test]
async fn half_open() {
    with(Fault::HalfOpen, 200, &[Reason::Timeout]).await;
}

#[tokio::test]
async fn reset_in_mid_response() {
    with(Fault::ResetAfter(Towards::Client, 20), 10_000, &[Reason::Reset, Reason::Closed]).await;
}

#[tokio::test]
async fn reset_in_mid_request() {
    with(Fault::ResetAfter(Towards::Peer, 20), 10_000, &[Reason::Reset, Reason::Closed]).await;
}

#[tokio::test]
async fn garbage() {
    with(Fault::Garbage, 10_000, &[Reason::Protocol]).await;
}

#[tokio::test]
async fn a_flood_that_is_no_http() {
    with(Fault::Flood(100 << 20), 10_000, &[Reason::Protocol]).await;
}

#[tokio::test]
async fn one_byte_at_a_time() {
    with(Fault::Pace(Duration::from_micros(100)), 60_000, &[]).await;
}

#[tokio::test]
async fn late() {
    with(Fault::Delay(Duration::from_millis(30)), 60_000, &[]).await;
}
