//! What the flight recorder has of exchanges through a link. What it has of digest authentication is among the tests of
//! lighttpd.

use super::{
    super::{
        harness::{Recorder, quick},
        recorded::messages,
    },
    peer::{Reply, Seen, Server, ask, client, get, open, post, respond, response},
};
use crate::connections::{Connections, Link, http::Request};
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

/// Which way, and what.
pub(super) fn rounds(recorder: &Recorder) -> Vec<(&'static str, String)> {
    let messages = messages(recorder).into_iter();
    messages.map(|(way, _, bytes)| (way, String::from_utf8(bytes).expect("text"))).collect()
}

async fn to(
    settings: Value,
    handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
) -> (Server, Link, Recorder) {
    let server = Server::start(handler).await;
    let (link, recorder) = open(&Connections::new(quick()), client(server.base(), settings));
    (server, link, recorder)
}

#[tokio::test]
async fn an_exchange_is_recorded_and_no_secret_with_it() {
    let handler = |seen: &Seen| match seen.header("x-key") {
        Some("0123key") => {
            respond(200, &[("X-Told", "hunter22 it is"), ("Set-Cookie", "a=hunted")], "so hunter22")
        }
        _ => respond(403, &[], "who?"),
    };
    let (server, link, sink) =
        to(json!({"headers": {"X-Key": "0123key", "Accept": "text/plain"}}), handler).await;
    sink.tape().hide(vec!["hunter22".into()]);
    let request = Request { headers: vec![("X-Own".into(), "mine".into())], ..post("/a?b=c", "hunter22!") };
    assert_eq!(ask(&link, request).await.expect("answered").status, 200);

    let recorded = rounds(&sink);
    let [("sent", sent), ("received", received)] = recorded.as_slice() else { panic!("{recorded:#?}") };
    let host = server.address;
    assert!(sent.starts_with(&format!("POST /a?b=c HTTP/1.1\r\nhost: {host}\r\n")), "{sent}");
    assert!(sent.contains("\r\nx-own: mine\r\n") && sent.ends_with("\r\n\r\n***!"), "{sent}");
    assert!(sent.contains("\r\nx-key: ***\r\n") && sent.contains("\r\naccept: text/plain\r\n"), "{sent}");
    // All of the headers that came, but for the framing.
    for line in server.seen()[0].lines() {
        let name = line.split(':').next().expect("name").to_ascii_lowercase();
        assert!(sent.contains(&format!("\r\n{name}: ")), "{name}: {sent}");
    }
    assert!(received.starts_with("HTTP/1.1 200\r\n") && received.ends_with("\r\n\r\nso ***"), "{received}");
    assert!(received.contains("x-told: *** it is\r\n") && !received.contains("hunted"), "{received}");

    // What was set is sent back, and hidden.
    assert_eq!(ask(&link, get("/")).await.expect("answered").status, 200);
    assert_eq!(server.seen()[1].header("cookie"), Some("a=hunted"));
    let recorded = rounds(&sink);
    assert!(recorded[2].1.contains("\r\ncookie: ***\r\n"), "{recorded:#?}");
}

#[tokio::test]
async fn every_hop_of_a_redirect_is_recorded() {
    let (_server, link, sink) = to(json!({}), |seen| match seen.path.as_str() {
        "/one" => respond(307, &[("Location", "/two?token=hunted")], "over there"),
        "/two?token=hunted" => respond(303, &[("Location", "/three")], "and there"),
        _ => respond(200, &[], "here"),
    })
    .await;
    assert_eq!(ask(&link, post("/one", "the order")).await.expect("answered").body, "here");
    let recorded = rounds(&sink);
    let expected = [
        ("sent", "POST /one ", "", "\r\n\r\nthe order"),
        ("received", "HTTP/1.1 307", "\r\nlocation: /two?token=***\r\n", "\r\n\r\nover there"),
        ("sent", "POST /two?token=*** ", "", "\r\n\r\nthe order"),
        ("received", "HTTP/1.1 303", "\r\nlocation: /three\r\n", "\r\n\r\nand there"),
        ("sent", "GET /three ", "", "\r\n\r\n"),
        ("received", "HTTP/1.1 200", "", "\r\n\r\nhere"),
    ];
    assert_eq!(recorded.len(), expected.len(), "{recorded:#?}");
    for ((way, text), (expected, first, middle, last)) in recorded.iter().zip(expected) {
        assert_eq!(*way, expected, "{recorded:#?}");
        let same = text.starts_with(first) && text.contains(middle) && text.ends_with(last);
        assert!(same, "{recorded:#?}");
    }
}

#[tokio::test]
async fn what_came_is_recorded_also_if_the_rest_does_not_come() {
    let asked = AtomicU32::new(0);
    let (_server, link, sink) =
        to(json!({"max_response_bytes": 1000}), move |seen| match seen.path.as_str() {
            "/half" => Reply::Last(b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\nhalf".into()),
            "/stuck" => Reply::Bytes(b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\nstuck".into()),
            "/long" => Reply::Flood,
            _ if asked.fetch_add(1, Relaxed) == 0 => Reply::Reset,
            _ => Reply::Bytes(response(200, &[], "again")),
        })
        .await;
    ask(&link, post("/half", "")).await.expect_err("the rest is missing");
    let hurry = Request { timeout: Some(Duration::from_secs(1)), ..get("/stuck") };
    ask(&link, hurry).await.expect_err("the rest is late");
    ask(&link, get("/long")).await.expect_err("too long");
    // The connection breaks, and it is asked once more.
    assert_eq!(ask(&link, get("/again")).await.expect("answered").body, "again");
    let recorded = rounds(&sink);
    let text = |at: usize| recorded[at].1.as_str();
    let ways: Vec<_> = recorded.iter().map(|(way, _)| *way).collect();
    let failed = ["sent", "received", "received"];
    assert_eq!(ways, [&failed[..], &failed, &failed, &["sent", "received"], &["sent", "received"]].concat());
    assert!(text(1).contains("x-headend-kept: 4 bytes of more than 4\r\n") && text(1).ends_with("\r\nhalf"));
    assert!(text(2).starts_with('(') && text(2).contains("closed"), "{}", text(2));
    assert!(text(4).ends_with("\r\nstuck") && text(5).contains("no whole response"), "{}", text(5));
    assert!(text(7).starts_with("HTTP/1.1 200") && text(7).contains(" bytes of more than "), "{}", text(7));
    assert!(text(8).contains("longer than 1000 bytes"), "{}", text(8));
    assert!(text(10).starts_with('(') && text(12).ends_with("\r\nagain"), "{recorded:#?}");
}

#[tokio::test]
async fn of_a_large_body_a_quarter_of_the_memory_is_kept() {
    let (_server, link, sink) = to(json!({}), |seen| respond(200, &[], &"x".repeat(seen.path.len()))).await;
    let path = format!("/{}", "y".repeat(5000));
    ask(&link, get(&path)).await.expect("answered");
    let large: &'static str = "z".repeat(300_000).leak();
    ask(&link, post("/", large)).await.expect("answered");
    let recorded = rounds(&sink);
    assert!(recorded[1].1.ends_with(&format!("content-length: 5001\r\n\r\n{}", "x".repeat(5001))), "whole");
    // The recorder of these tests has 1 MiB.
    let kept = 1024 * 1024 / 4;
    let (head, body) = recorded[2].1.split_once("\r\n\r\n").expect("head and body");
    assert!(head.contains(&format!("x-headend-kept: {kept} bytes of 300000")), "{head}");
    assert_eq!(body.len(), kept);
}
