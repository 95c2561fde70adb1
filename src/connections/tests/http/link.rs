//! A service as a link. The contract's tests need a connection that carries bytes; here are their counterparts:
//!
//! | contract | here |
//! | --- | --- |
//! | `refused_is_told`, `comes_back`, `attempt_does_not_wait_for_the_retry` | the tests of the same names |
//! | `echoes_in_order`, `queue_is_bounded_and_in_order` | `exchanges::turns_are_taken_in_order_and_bounded` |
//! | `closed_by_the_peer`, `reset_in_mid_stream` | `a_lost_exchange_takes_the_link_down`, `errors::cut_off_in_the_body` |
//! | `one_byte_at_a_time`, `flood_is_bounded_and_complete` | `one_byte_at_a_time`, `exchanges::a_body_without_end_is_cut_off` |
//! | `close_answers_everything`, `retarget` | `exchanges::closing_the_link…`, `exchanges::another_address…` |
//! | `dropping_the_link_closes_it`, `disconnect`, `two_hundred_flaps` | the tests of the same names |

use super::{
    super::{
        harness::{Receipts, Recorder, eventually, never_retry, quick},
        kinds::own_address,
    },
    peer::{Reply, Server, ask, begin, client, get, ok, open, post, respond},
};
use crate::connections::{Address, Connections, Error, Options, Reason, State, Target, http};
use serde_json::json;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

fn address() -> SocketAddr {
    SocketAddr::from((own_address(), 4000))
}

fn base(address: SocketAddr) -> String {
    format!("http://{address}/api")
}

#[tokio::test]
async fn refused_is_told() {
    let at = address();
    let (link, recorder) = open(&Connections::new(never_retry()), client(base(at), json!({})));
    let State::Down { reason, detail, .. } = recorder.down().await else { unreachable!() };
    assert_eq!(reason, Reason::Refused);
    assert!(detail.contains(&at.to_string()), "{detail}");
    let error = ask(&link, get("/")).await.expect_err("nobody is there");
    assert!(matches!(error, http::Error::Failed(failure) if failure.reason == Reason::Refused));
}

#[tokio::test]
async fn comes_back() {
    let at = address();
    let connections = Connections::new(quick());
    let settings = json!({"probe": {"interval_ms": 50}});
    let (_link, recorder) = open(&connections, client(base(at), settings));
    recorder.down().await;
    eventually("a few retries", || connections.metrics().attempts > 3).await;
    let server = Server::at(at, |_| ok("")).await;
    recorder.up_after(0).await;
    // Nobody asks for anything: the probe finds out.
    drop(server);
    assert_eq!(recorder.ended(1).await.reason(), Some(Reason::Refused));
    let _server = Server::at(at, |_| ok("")).await;
    recorder.up_after(1).await;
    assert_eq!(connections.metrics().losses, [(Reason::Refused, 1)]);
}

#[tokio::test]
async fn attempt_does_not_wait_for_the_retry() {
    let at = address();
    let (link, recorder) = open(&Connections::new(never_retry()), client(base(at), json!({})));
    recorder.down().await;
    let _server = Server::at(at, |_| ok("")).await;
    link.attempt();
    recorder.up_after(0).await;
}

#[tokio::test]
async fn an_exchange_that_works_brings_the_link_up() {
    let at = address();
    let (link, recorder) = open(&Connections::new(never_retry()), client(base(at), json!({})));
    recorder.down().await;
    let server = Server::at(at, |seen| ok(&seen.path)).await;
    assert_eq!(ask(&link, get("/x")).await.expect("tried all the same").body, "/api/x");
    recorder.up_after(0).await;
    // Nothing else was asked, and not even connected.
    assert_eq!(server.seen().len(), 1);
    assert_eq!(server.seen()[0].connection, 0);
}

#[tokio::test]
async fn a_lost_exchange_takes_the_link_down() {
    let server = Server::start(|_| Reply::Reset).await;
    let (link, recorder) = open(&Connections::new(never_retry()), client(server.base(), json!({})));
    recorder.up_after(0).await;
    ask(&link, post("/x", "y")).await.expect_err("reset");
    let State::Down { reason, detail, .. } = recorder.ended(1).await else { unreachable!() };
    assert_eq!(reason, Reason::Reset);
    assert!(detail.contains("POST") && detail.contains("/x"), "{detail}");
}

#[tokio::test]
async fn every_status_is_an_answer() {
    let server = Server::start(|seen| respond(seen.path[1..].parse().expect("status"), &[], "said")).await;
    let (link, recorder) = open(&Connections::new(never_retry()), client(server.base(), json!({})));
    recorder.up_after(0).await;
    for status in [200, 401, 403, 404, 500, 503] {
        let response = ask(&link, get(&format!("/{status}"))).await.expect("answered");
        assert_eq!((response.status, &response.body[..]), (status, &b"said"[..]));
    }
    assert!(link.state().is_up());
    recorder.look(|record| assert_eq!(record.states.len(), 2, "{:?}", record.states));
}

#[tokio::test]
async fn a_probe_is_what_the_settings_say() {
    let well = Arc::new(AtomicBool::new(false));
    let now = well.clone();
    let server = Server::start(move |_| respond(if now.load(Relaxed) { 204 } else { 503 }, &[], "")).await;
    let probe = json!({"path": "/health", "method": "OPTIONS", "expect": [200, 204], "interval_ms": 20});
    let (_link, recorder) = open(&Connections::new(quick()), client(server.base(), json!({"probe": probe})));
    let State::Down { reason, detail, .. } = recorder.down().await else { unreachable!() };
    assert_eq!(reason, Reason::Protocol);
    assert!(detail.contains("503") && detail.contains("expect"), "{detail}");
    well.store(true, Relaxed);
    recorder.up_after(0).await;
    well.store(false, Relaxed);
    assert_eq!(recorder.ended(1).await.reason(), Some(Reason::Protocol));
    assert!(server.seen().iter().all(|seen| seen.method == "OPTIONS" && seen.path == "/health"));
}

#[tokio::test]
async fn a_service_that_hangs_is_found_by_its_probe() {
    let server = Server::start(|_| Reply::Nothing).await;
    let settings = json!({"timeout_ms": 100, "probe": {"path": "/"}});
    let (_link, recorder) = open(&Connections::new(never_retry()), client(server.base(), settings));
    let State::Down { reason, detail, .. } = recorder.down().await else { unreachable!() };
    assert_eq!(reason, Reason::Timeout, "{detail}");
}

/// It neither answers nor refuses: what it was asked is in its backlog, and there is no room for more.
#[tokio::test]
async fn a_host_that_says_nothing_any_more_is_found_by_the_next_probe() {
    let at = address();
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("socket");
    listener.bind(&at.into()).expect("bind");
    listener.listen(16).expect("listen");
    let connections = Connections::new(Options { connect_timeout_ms: 300, ..never_retry() });
    let (_link, recorder) = open(&connections, client(base(at), json!({"probe": {"interval_ms": 50}})));
    recorder.up_after(0).await;
    listener.listen(0).expect("listen");
    let State::Down { reason, detail, .. } = recorder.ended(1).await else { unreachable!() };
    assert_eq!(reason, Reason::Timeout, "{detail}");
}

#[tokio::test]
async fn credentials_that_are_refused_are_told_and_not_tried_again_and_again() {
    let right = Arc::new(AtomicBool::new(false));
    let now = right.clone();
    let server = Server::start(move |_| respond(if now.load(Relaxed) { 200 } else { 401 }, &[], "")).await;
    let settings = json!({"auth": {"kind": "basic", "username": "u", "password": "hunter2"}});
    let connections = Connections::new(Options { refused_pause_ms: 30_000, ..quick() });
    let (link, recorder) = open(&connections, client(server.base(), settings));
    recorder.up_after(0).await;
    assert_eq!(ask(&link, get("/x?key=1")).await.expect("an answer").status, 401);
    let State::Down { reason, detail, .. } = recorder.ended(1).await else { unreachable!() };
    assert_eq!(reason, Reason::Auth);
    assert!(detail.contains("/x: answered 401 (basic authentication)"), "{detail}");
    assert!(!detail.contains("hunter2") && !detail.contains("key=1"), "{detail}");
    // Retries go on, but ask for nothing: many a device locks its users out.
    eventually("a retry is under way", || matches!(link.state(), State::Down { attempting: true, .. })).await;
    assert_eq!(server.seen().len(), 1);
    // Somebody has set the password there.
    right.store(true, Relaxed);
    ask(&link, get("/x")).await.expect("an answer");
    recorder.up_after(1).await;
}

#[tokio::test]
async fn one_byte_at_a_time() {
    let server = Server::start(|_| Reply::Slow(super::peer::response(200, &[], "slow, but sure"))).await;
    let (link, recorder) = open(&Connections::new(never_retry()), client(server.base(), json!({})));
    recorder.up_after(0).await;
    assert_eq!(ask(&link, get("/")).await.expect("answered").body, "slow, but sure");
    assert!(link.state().is_up());
}

#[tokio::test]
async fn make_break_asks_only_when_there_is_something_to_ask() {
    let at = address();
    let connections = Connections::new(quick());
    let recorder = Recorder::new();
    let settings = json!({"probe": {"interval_ms": 1}});
    let hold = Duration::from_millis(20);
    let target = Target::new(Address::Http(client(base(at), settings))).make_break(hold);
    let link = recorder.open(&connections, target);
    assert!(link.state().reachable(), "for all we know");
    let error = ask(&link, get("/")).await.expect_err("nobody is there");
    assert!(matches!(error, http::Error::Failed(failure) if failure.reason == Reason::Refused));
    let State::Down { reason: Reason::Refused, .. } = recorder.down().await else { unreachable!() };
    let server = Server::at(at, |_| ok("")).await;
    assert!(server.seen().is_empty());
    ask(&link, get("/")).await.expect("answered");
    recorder.up_after(0).await;
    recorder.until("idle", |record| (record.states.last() == Some(&State::Idle)).then_some(())).await;
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn make_break_tells_of_refused_credentials_at_once() {
    let server = Server::start(|_| respond(401, &[], "")).await;
    let recorder = Recorder::new();
    let settings = json!({"auth": {"kind": "bearer", "token": "hunter2"}});
    let target =
        Target::new(Address::Http(client(server.base(), settings))).make_break(Duration::from_secs(5));
    let link = recorder.open(&Connections::new(quick()), target);
    assert_eq!(ask(&link, get("/")).await.expect("an answer").status, 401);
    assert_eq!(recorder.down().await.reason(), Some(Reason::Auth));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn it_takes_no_bytes() {
    let server = Server::start(|_| ok("")).await;
    let (link, recorder) = open(&Connections::new(never_retry()), client(server.base(), json!({})));
    recorder.up_after(0).await;
    let error = Receipts::transmit(&link, "hello").await.expect_err("refused");
    assert!(matches!(error, Error::NoStream { .. }), "{error}");
    assert!(link.state().is_up());
}

#[tokio::test]
async fn disconnect() {
    let server = Server::start(|_| ok("")).await;
    let (link, recorder) = open(&Connections::new(quick()), client(server.base(), json!({})));
    recorder.up_after(0).await;
    link.disconnect(Reason::Protocol, "it speaks another version");
    let State::Down { reason, detail, .. } = recorder.ended(1).await else { unreachable!() };
    assert_eq!(reason, Reason::Protocol);
    assert!(detail.contains("it speaks another version"), "{detail}");
    recorder.up_after(1).await;
}

#[tokio::test]
async fn dropping_the_link_closes_it() {
    let server = Server::start(|_| Reply::Nothing).await;
    let (link, recorder) = open(&Connections::new(quick()), client(server.base(), json!({})));
    let answer = begin(&link, get("/"));
    eventually("under way", || server.seen().len() == 1).await;
    drop(link);
    recorder.until("dropped", |record| record.dropped.then_some(())).await;
    assert!(matches!(answer.await, Err(http::Error::Stopped { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_flaps() {
    let at = address();
    let connections = Connections::new(quick());
    let settings = json!({"probe": {"interval_ms": 5}});
    let (link, recorder) = open(&connections, client(base(at), settings));
    let (mut last, answered) = (0, Arc::new(AtomicUsize::new(0)));
    for flap in 0..200 {
        let server = Server::at(at, |_| ok("")).await;
        let count = answered.clone();
        link.exchange(get("/"), Box::new(move |_| _ = count.fetch_add(1, Relaxed)));
        link.attempt();
        last = recorder.up_after(last).await;
        if flap % 2 == 0 {
            ask(&link, get("/")).await.expect("answered");
        }
        drop(server);
        recorder.ended(last).await;
    }
    let _server = Server::at(at, |_| ok("after all")).await;
    link.attempt();
    recorder.up_after(last).await;
    assert_eq!(ask(&link, get("/")).await.expect("answered").body, "after all");
    assert_eq!(answered.load(Relaxed), 200);
    let metrics = connections.metrics();
    assert_eq!((metrics.up, metrics.down), (1, 0));
    link.close().await;
}
