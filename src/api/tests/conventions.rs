use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::server::{Server, answer};
use crate::api::Options;

#[tokio::test]
async fn lists_have_totals_ranges_and_links() {
    let server = Server::start().await;
    // Ids are searched too: a single letter may well begin a word of one.
    for name in ["cedar", "alder", "birch"] {
        server.create("/systems", json!({"name": name})).await;
    }
    let first = server.get("/systems?limit=2").await;
    let names: Vec<Value> =
        first.json().as_array().unwrap().iter().map(|item| item["name"].clone()).collect();
    assert_eq!(names, ["alder", "birch"]);
    assert_eq!((first.header("x-total-count"), first.header("content-range")), ("3", "sys 0-2/3"));
    assert_eq!(first.header("link"), "</api/engine/v2/systems?limit=2&offset=2>; rel=\"next\"");
    let second = server.get("/systems?limit=2&offset=2").await;
    assert_eq!(second.json().as_array().unwrap().len(), 1);
    assert!(second.headers.get("link").is_none());
    let found = server.get("/systems?q=birc").await;
    assert_eq!((found.header("x-total-count"), found.json()[0]["name"].as_str()), ("1", Some("birch")));
    for list in [
        "/systems",
        "/modules",
        "/drivers",
        "/zones",
        "/repositories",
        "/settings",
        "/api_keys",
        "/cluster",
        "/build/monitor",
        "/settings?parent_id=sys-1",
        "/cluster/headend",
    ] {
        let answer = server.get(list).await;
        assert_eq!(answer.status, 200, "{list}");
        assert!(answer.json().is_array(), "{list}");
        assert!(answer.header("x-total-count").parse::<u64>().is_ok(), "{list}");
    }
}

#[tokio::test]
async fn urls_as_clients_write_them() {
    let server = Server::start().await;
    for path in [
        "/systems/",
        "/api/engine/v2systems",
        "/api/engine/v2cluster/versions",
        "/api/engine/v2/",
        "/version/",
    ] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    let nowhere = server.get("/nowhere").await;
    assert_eq!(nowhere.status, 404);
    assert!(nowhere.json()["error"].is_string());
    let method = server.ask("PATCH", "/systems", json!({})).await;
    assert_eq!(method.status, 405);
    assert!(method.json()["error"].is_string());
    for absent in ["/triggers", "/domains", "/groups", "/oauth_apps", "/schema"] {
        assert_eq!(server.get(absent).await.status, 404, "{absent}");
    }
}

#[tokio::test]
async fn request_ids_are_echoed_or_given() {
    let server = Server::start().await;
    let given = server.get("/nowhere").await.header("x-request-id").to_owned();
    assert_eq!(given.len(), 36);
    let request = server.client.get(server.url("/healthz")).header("x-request-id", "mine");
    assert_eq!(answer(request).await.header("x-request-id"), "mine");
}

#[tokio::test]
async fn what_is_public_needs_no_key() {
    let server = Server::start().await;
    let health = server.ask_as("", "GET", "/healthz", Value::Null).await;
    assert_eq!((health.status, health.json()["status"].as_str()), (200, Some("ok")));
    let authority = server.ask_as("", "GET", "/auth/authority", Value::Null).await.json();
    assert_eq!(authority["version"], "v2.0.0");
    assert_eq!(authority["domain"], "127.0.0.1");
    assert_eq!(authority["session"], false);
    assert_eq!(server.ask_as("", "GET", "/metrics", Value::Null).await.status, 401);
    let metrics = server.get("/metrics").await;
    assert!(metrics.text.contains("headend_api_requests_total{"), "{metrics:?}");
    for figure in [
        "headend_exec_seconds_bucket{le=\"+Inf\"} 0",
        "headend_links{state=\"up\"} 0",
        "headend_driver_processes 0",
    ] {
        assert!(metrics.text.contains(figure), "{figure}: {metrics:?}");
    }
    let open = Server::with(Options { metrics_public: true, ..Options::default() }).await;
    assert_eq!(open.ask_as("", "GET", "/metrics", Value::Null).await.status, 200);
}

#[tokio::test]
async fn the_current_user_is_the_keys() {
    let server = Server::start().await;
    let user = server.get("/users/current").await.json();
    assert_eq!((user["sys_admin"].as_bool(), user["support"].as_bool()), (Some(true), Some(true)));
    let key = server.new_key("user", &["public"]).await;
    let user = server.ask_as(&key, "GET", "/users/current", Value::Null).await.json();
    assert_eq!((user["sys_admin"].as_bool(), user["support"].as_bool()), (Some(false), Some(false)));
    assert_eq!(server.get("/version").await.json()["service"], "headend");
    assert!(server.get("/scopes").await.json().as_array().unwrap().contains(&json!("systems.read")));
}

#[tokio::test]
async fn a_request_head_that_does_not_come_is_not_waited_for() {
    let server = Server::with(Options { header_timeout_ms: 300, ..Options::default() }).await;
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    let mut rest = Vec::new();
    let closed =
        tokio::time::timeout(std::time::Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "the connection was not closed");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_with_408() {
    let server = Server::with(Options { body_timeout_ms: 300, ..Options::default() }).await;
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /api/engine/v2/systems HTTP/1.1\r\nHost: x\r\nX-API-Key: {}\r\nContent-Length: 100\r\n\r\n{{",
        server.key
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut buffer = vec![0; 1024];
    let read = tokio::time::timeout(std::time::Duration::from_secs(20), stream.read(&mut buffer)).await;
    let text = String::from_utf8_lossy(&buffer[..read.unwrap().unwrap()]).into_owned();
    assert!(text.starts_with("HTTP/1.1 408"), "{text}");
}

#[tokio::test]
async fn a_stop_lets_open_requests_end_and_takes_no_more() {
    let mut server = Server::start().await;
    assert_eq!(server.get("/version").await.status, 200);
    server.stop.cancel();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), &mut server.serving).await;
    ended.expect("serving to end").unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err());
}
