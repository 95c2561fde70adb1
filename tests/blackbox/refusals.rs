//! Whatever is sent to it, on any route of the OpenAPI document, the daemon answers with a refusal and goes on.

use std::{path::Path, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Api, Daemon, Socket};

/// Every method and path of the committed document.
fn routes() -> Vec<(Method, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let document: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            if let Ok(method) = method.to_uppercase().parse::<Method>()
                && [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(&method)
            {
                found.push((method, path.clone()));
            }
        }
    }
    assert!(found.len() > 40, "only {} routes", found.len());
    found
}

/// Replaces each `{parameter}`.
fn fill(path: &str, with: &str) -> String {
    let mut filled = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        filled.push_str(with);
        rest = after.split_once('}').unwrap().1;
    }
    filled + rest
}

/// Routes that anybody may use.
fn public(path: &str) -> bool {
    path == "/healthz"
        || path == "/api/engine/v2/openapi.json"
        || path.starts_with("/auth/")
        || path == "/api/engine/v2"
        || path == "/api/engine/v2/"
}

fn with_body(routes: Vec<(Method, String)>) -> impl Iterator<Item = (Method, String)> {
    routes.into_iter().filter(|(method, _)| [Method::POST, Method::PUT, Method::PATCH].contains(method))
}

async fn healthy(api: &Api) {
    let answer = api.try_raw(Method::GET, "/healthz", &[], Vec::new()).await.unwrap();
    assert_eq!(answer.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_or_with_a_wrong_one_there_is_nothing_but_401() {
    let daemon = Daemon::start();
    let wrong = "0123456789abcdef0123456789abcdef.BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";
    for (method, path) in routes().into_iter().filter(|(_, path)| !public(path)) {
        let path = fill(&path, "zone-1");
        for headers in [&[][..], &[("X-API-Key", wrong)], &[("Authorization", "Bearer nonsense")]] {
            let answer = daemon.api.try_raw(method.clone(), &path, headers, Vec::new()).await.unwrap();
            // A webhook has a secret of its own, without which it is not there.
            let refused = if path.contains("/webhook/") { 404 } else { 401 };
            assert_eq!(answer.status, refused, "{method} {path} {headers:?}: {}", answer.text);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_does_not_exist_is_refused_on_every_route() {
    let daemon = Daemon::start();
    for (method, path) in routes().into_iter().filter(|(_, path)| path.contains('{')) {
        for id in ["sys-missing", "..%2f..%2fetc", "%00", "a b'\"<>", &"x".repeat(4000)] {
            let path = fill(
                &path,
                &id.replace(' ', "%20").replace('"', "%22").replace('<', "%3C").replace('>', "%3E"),
            );
            let headers = [("X-API-Key", &*daemon.api.key), ("Content-Type", "application/json")];
            let body = if method == Method::GET || method == Method::DELETE { "" } else { "{}" };
            let answer = daemon.api.try_raw(method.clone(), &path, &headers, body.into()).await;
            let answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"));
            assert!(answer.status.as_u16() < 500, "{method} {path}: {} {}", answer.status, answer.text);
        }
    }
    healthy(&daemon.api).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_not_what_they_should_be_are_refused_on_every_route() {
    let daemon = Daemon::start();
    let deep = "[".repeat(100_000);
    for (method, path) in with_body(routes()) {
        let path = fill(&path, "zone-1");
        for body in ["{", "nonsense", "\u{0}", "[[[", "\"text\"", "17", "{\"name\":{\"a\":[1]}}", &deep] {
            let headers = [("X-API-Key", &*daemon.api.key), ("Content-Type", "application/json")];
            let answer = daemon.api.try_raw(method.clone(), &path, &headers, body.into()).await;
            let answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"));
            let shown = &body[..body.len().min(40)];
            assert!(
                answer.status.as_u16() < 500,
                "{method} {path} {shown}: {} {}",
                answer.status,
                answer.text
            );
        }
    }
    healthy(&daemon.api).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_are_ignored_and_wrong_types_are_named() {
    let daemon = Daemon::start();
    for (kind, body) in [
        ("zones", json!({ "name": "Zone", "nonsense": { "a": 1 }, "id": "zone-mine", "created_at": 7 })),
        ("systems", json!({ "name": "System", "nonsense": [], "settings": [null, null] })),
    ] {
        let made = daemon.api.post(&format!("/{kind}"), body).await;
        assert_ne!(made["id"], "zone-mine");
        assert_ne!(made["created_at"], 7);
        assert!(made.get("nonsense").is_none(), "{made}");
    }
    let answer =
        daemon.api.send(Method::POST, "/zones", Some(json!({ "name": "Other", "capacity": "many" }))).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.text.contains("capacity"), "{answer:?}");
    let answer = daemon.api.send(Method::POST, "/zones", Some(json!({ "name": " " }))).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert_eq!(answer.json()["failures"], json!([{ "field": "name", "reason": "is required" }]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_64_mb_is_refused_on_every_route_without_being_kept() {
    let daemon = Daemon::start();
    let peak = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    };
    let before = peak();
    let body = vec![b' '; 64 << 20];
    for (method, path) in with_body(routes()) {
        let path = fill(&path, "zone-1");
        let headers = [("X-API-Key", &*daemon.api.key), ("Content-Type", "application/json")];
        // The daemon may refuse before it has read it all, and close: then there is no answer to read.
        if let Ok(answer) = daemon.api.try_raw(method.clone(), &path, &headers, body.clone()).await {
            assert!((400..500).contains(&answer.status.as_u16()), "{method} {path}: {}", answer.status);
        }
    }
    healthy(&daemon.api).await;
    assert!(peak() < before + 48, "memory grew from {before} to {} MiB", peak());
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_not_what_they_should_be_are_answered_and_the_session_goes_on() {
    let daemon = Daemon::start();
    let mut socket = Socket::open(&daemon.api).await;
    for (frame, code) in [
        ("{", 0),
        ("[]", 1),
        ("{\"id\":1}", 1),
        ("{\"id\":2,\"cmd\":\"dance\",\"sys\":\"sys-1\",\"mod\":\"Display\",\"name\":\"power\"}", 4),
        (
            "{\"id\":3,\"cmd\":\"exec\",\"sys\":\"sys-1\",\"mod\":\"Display\",\"name\":\"power\",\"args\":[]}",
            5,
        ),
    ] {
        socket.text(frame).await;
        let reply = socket.find(|message| message["type"] == "error").await;
        assert!(
            reply["error_code"] == json!(code) || (code == 4 && reply["error_code"] == json!(1)),
            "{frame}: {reply}"
        );
    }
    socket.text("ping").await;
    assert_eq!(socket.next_text().await, "pong");
    // One far too large ends this session, and no other.
    let mut other = Socket::open(&daemon.api).await;
    let _ = futures_util::SinkExt::send(
        &mut socket.stream,
        tokio_tungstenite::tungstenite::Message::text("x".repeat(64 << 20)),
    )
    .await;
    assert!(socket.ends(Duration::from_secs(30)).await);
    other.text("ping").await;
    assert_eq!(other.next_text().await, "pong");
}
