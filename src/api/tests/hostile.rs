//! What no client should send, on every route there is: always an answer, of the right class, and soon.

use std::time::Duration;

use axum::http::Method;
use serde_json::{Value, json};

use super::server::{Answer, Server, answer};
use crate::api::resources;

/// Every path and method, with its parameters filled in.
fn routes(id: &str) -> Vec<(Method, String)> {
    resources::endpoints()
        .into_iter()
        .map(|endpoint| {
            let path = endpoint.path.split('/').map(|part| if part.starts_with('{') { id } else { part });
            (endpoint.method, path.collect::<Vec<_>>().join("/"))
        })
        .collect()
}

async fn send(server: &Server, method: &Method, path: &str, body: impl Into<reqwest::Body>) -> Answer {
    let request = server
        .client
        .request(method.clone(), server.url(path))
        .header("x-api-key", &server.key)
        .header("content-type", "application/json")
        .body(body);
    let label = format!("{method} {path}");
    match tokio::time::timeout(Duration::from_secs(60), answer(request)).await {
        Ok(answer) => {
            assert!(answer.status < 500, "{label}: {answer:?}");
            answer
        }
        Err(_) => panic!("{label} hangs"),
    }
}

#[tokio::test]
async fn malformed_bodies() {
    let server = Server::start().await;
    for (method, path) in routes("sys-none") {
        if method == Method::GET {
            continue;
        }
        for body in ["{", "{\"name\": ", "\u{0}\u{1}", "[1,", "{\"name\": \"\\ud800\"}", "nul"] {
            if body.contains("ud800") && path.contains("/exec/") {
                // Arguments go to the driver as they are.
                continue;
            }
            let answer = send(&server, &method, &path, body).await;
            let fine = match answer.status {
                // Takes no body, or the resource is looked for first.
                200..=299 | 404 | 422 => !reads_body(&method, &path),
                400 => true,
                _ => false,
            };
            assert!(fine, "{method} {path} {body:?}: {answer:?}");
        }
    }
}

/// Does this route read its body?
fn reads_body(method: &Method, path: &str) -> bool {
    let creates = ["systems", "modules", "drivers", "zones", "repositories", "settings", "api_keys"];
    let collection = path.trim_start_matches("/api/engine/v2/");
    matches!(*method, Method::PATCH)
        || (*method == Method::PUT && !path.contains("/module/"))
        || (*method == Method::POST && (creates.contains(&collection) || path.contains("/exec/")))
}

#[tokio::test]
async fn wrong_types_and_unknown_fields() {
    let server = Server::start().await;
    let fields = [
        "name",
        "description",
        "features",
        "zones",
        "modules",
        "capacity",
        "bookable",
        "ip",
        "port",
        "driver_id",
        "role",
        "running",
        "commit",
        "uri",
        "tags",
        "parent_id",
        "encryption_level",
        "settings_string",
        "scopes",
        "permissions",
        "expires_at",
        "details",
        "editors",
    ];
    let values =
        [json!({"a": [1]}), json!([[]]), json!(1.5), json!(-1), json!(true), json!("text"), json!(null)];
    for (method, path) in routes("sys-none") {
        if !reads_body(&method, &path) {
            continue;
        }
        for field in fields {
            for value in &values {
                let body = json!({field: value, "no_such_field": {"x": 1}}).to_string();
                let answer = send(&server, &method, &path, body).await;
                assert!(
                    matches!(answer.status, 400 | 404 | 422 | 201 | 200),
                    "{method} {path} {field}={value}: {answer:?}"
                );
            }
        }
        for body in ["1", "\"x\"", "[]", "null", "true"] {
            let answer = send(&server, &method, &path, body).await;
            assert!(matches!(answer.status, 400 | 404 | 422), "{method} {path} {body}: {answer:?}");
        }
    }
    let answer = server.ask("POST", "/systems", json!({"name": 5})).await;
    assert_eq!(answer.status, 400);
    assert!(answer.json()["error"].as_str().unwrap().contains("'name'"), "{answer:?}");
    let answer =
        server.ask("POST", "/systems", json!({"name": "fine", "id": "sys-mine", "nonsense": [1]})).await;
    assert_eq!(answer.status, 201, "read-only and unknown keys are ignored");
    assert_ne!(answer.id(), "sys-mine");
}

#[tokio::test]
async fn ids_that_do_not_exist_and_odd_ones() {
    let server = Server::start().await;
    let long = "x".repeat(3000);
    for id in ["sys-none", "%00", "..%2f..%2fetc", "%F0%9F%92%A9", "a%20b", long.as_str()] {
        for (method, path) in routes(id) {
            if !path.contains(id) {
                continue;
            }
            let answer = send(&server, &method, &path, "{}").await;
            // Metadata of what does not exist is empty, never missing.
            assert!(
                matches!(answer.status, 400 | 404 | 422) || path.contains("metadata") && answer.status == 200,
                "{method} {path}: {answer:?}"
            );
        }
    }
    let answer = send(&server, &Method::GET, "/systems/%FF%FE", "").await;
    assert_eq!(answer.status, 400, "a path that is not UTF-8");
}

#[tokio::test]
async fn odd_queries() {
    let server = Server::start().await;
    for (method, path) in routes("sys-none") {
        if method != Method::GET {
            continue;
        }
        for query in [
            "limit=x&offset=y",
            "limit=-1&offset=99999999999",
            "q=%FF%00&limit=0",
            "version=abc&q=:::",
            "&&&=&==",
        ] {
            send(&server, &method, &format!("{path}?{query}"), "").await;
        }
    }
}

#[tokio::test]
async fn a_body_of_64_megabytes_on_every_route() {
    let server = Server::start().await;
    let before = resident_kilobytes();
    let mut most = before;
    for (method, path) in routes("sys-none") {
        let chunk = bytes::Bytes::from(vec![b'x'; 256 * 1024]);
        let chunks =
            futures_util::stream::iter((0..256).map(move |_| Ok::<_, std::io::Error>(chunk.clone())));
        let request = server
            .client
            .request(method.clone(), server.url(&path))
            .header("x-api-key", &server.key)
            .header("content-length", 64 * 1024 * 1024)
            .body(reqwest::Body::wrap_stream(chunks));
        let answer = tokio::time::timeout(Duration::from_secs(60), answer(request)).await.expect("an answer");
        assert_eq!(answer.status, 413, "{method} {path}: {answer:?}");
        let longest = if path.contains("/webhook/") { "262144" } else { "4194304" };
        assert!(answer.json()["error"].as_str().unwrap().contains(longest), "{method} {path}: {answer:?}");
        most = most.max(resident_kilobytes());
    }
    assert!(most - before < 48 * 1024, "{} KiB more in use", most - before);
    // Announced, and so refused without being kept either.
    let body = vec![b' '; 5 * 1024 * 1024];
    let answer = send(&server, &Method::POST, "/systems", body).await;
    assert_eq!(answer.status, 413);
    let limit = 4 * 1024 * 1024;
    let mut body = format!("{{\"name\":\"big\",\"description\":\"{}\"}}", "d".repeat(1024));
    body.push_str(&" ".repeat(limit - body.len()));
    assert_eq!(send(&server, &Method::POST, "/systems", body).await.status, 201, "just within the limit");
}

fn resident_kilobytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn deeply_nested_json_is_refused_and_not_followed() {
    let server = Server::start().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in [format!("{{\"name\":{deep}}}"), deep] {
        let answer = send(&server, &Method::POST, "/systems", body).await;
        assert_eq!(answer.status, 400);
    }
    let value: Value = server.get("/systems").await.json();
    assert_eq!(value, json!([]));
}
