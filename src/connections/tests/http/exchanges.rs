//! What an exchange does: limits, turns, deadlines, redirects, credentials, cookies.

use super::{
    super::harness::{DEADLINE, eventually, quick},
    peer::{Reply, Seen, Server, ask, begin, client, get, ok, open, post, respond, response},
};
use crate::connections::{
    Connections,
    http::{Error, Request},
};
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// A server, and a link to it.
async fn to(
    settings: Value,
    handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
) -> (Server, crate::connections::Link) {
    let server = Server::start(handler).await;
    let (link, _) = open(&Connections::new(quick()), client(server.base(), settings));
    (server, link)
}

#[tokio::test]
async fn a_request_arrives_and_its_response_comes_back() {
    let (server, link) = to(json!({"headers": {"X-Key": "k"}}), |seen| {
        respond(201, &[("X-One", "1"), ("X-One", "2")], &format!("{} bytes", seen.body.len()))
    })
    .await;
    let request = Request { headers: vec![("X-Own".into(), "mine".into())], ..post("/a/b?c=d", "12345") };
    let response = ask(&link, request).await.expect("answered");
    assert_eq!((response.status, &response.body[..]), (201, &b"5 bytes"[..]));
    let ones = response.headers.iter().filter(|(name, _)| name == "x-one").map(|(_, value)| value.as_str());
    assert_eq!(ones.collect::<Vec<_>>(), ["1", "2"]);
    let seen = &server.seen()[0];
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/a/b?c=d"));
    assert_eq!((seen.header("x-key"), seen.header("x-own")), (Some("k"), Some("mine")));
    // The connection is used again.
    ask(&link, get("/")).await.expect("answered");
    assert_eq!(server.seen()[0].connection, server.seen()[1].connection);
    assert_eq!(server.seen()[1].header("content-length"), None);
}

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
    let (_server, link) = to(json!({"max_response_bytes": 1_000_000}), |seen| match seen.path.as_str() {
        "/flood" => Reply::Flood,
        "/said" => Reply::Bytes(b"HTTP/1.1 200 X\r\nContent-Length: 100000000\r\n\r\n".to_vec()),
        _ => ok(&"x".repeat(1_000_000)),
    })
    .await;
    for path in ["/flood", "/said"] {
        let error = ask(&link, get(path)).await.expect_err("too long");
        assert!(matches!(error, Error::TooLong { limit: 1_000_000, .. }), "{error}");
        assert!(error.to_string().contains("connection.http.max_response_bytes"), "{error}");
    }
    assert_eq!(ask(&link, get("/just")).await.expect("answered").body.len(), 1_000_000);
    assert!(link.state().is_up());
}

#[tokio::test]
async fn a_small_gzip_that_is_a_large_body_is_cut_off() {
    // 10 MB of zeros, as `head -c 10M /dev/zero | gzip -9` makes it, is 10 KB: here as blocks of one repeated byte.
    let gzip = zeros();
    assert!(gzip.len() < 20_000);
    let (_server, link) = to(json!({"max_response_bytes": 1_000_000}), move |_| {
        let head =
            format!("HTTP/1.1 200 X\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", gzip.len());
        Reply::Bytes([head.as_bytes(), &gzip].concat())
    })
    .await;
    let error = ask(&link, get("/")).await.expect_err("too long");
    assert!(matches!(error, Error::TooLong { .. }), "{error}");
}

/// 10 MB of zeros, compressed.
fn zeros() -> Vec<u8> {
    let mut child = std::process::Command::new("gzip")
        .args(["-9", "-c"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("gzip, which every system has");
    let mut stdin = child.stdin.take().expect("stdin");
    std::io::Write::write_all(&mut stdin, &vec![0; 10_000_000]).expect("write");
    drop(stdin);
    child.wait_with_output().expect("gzip").stdout
}

#[tokio::test]
async fn turns_are_taken_in_order_and_bounded() {
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let (server, link) = to(json!({"concurrency": 1, "timeout_ms": 600_000}), move |_| {
        Reply::After(held.clone(), response(200, &[], "done"))
    })
    .await;
    let mut waiting: Vec<_> = (0..257).map(|n| Box::pin(begin(&link, get(&format!("/{n}"))))).collect();
    // The first has its turn, 256 wait: one more is refused at once.
    eventually("the first is under way", || server.seen().len() == 1).await;
    let refused = ask(&link, get("/more")).await.expect_err("no room");
    assert!(matches!(refused, Error::Full { waiting: 256, .. }), "{refused}");
    // One that nobody waits for any more is made all the same.
    waiting.pop();
    gate.add_permits(300);
    for answer in waiting {
        assert_eq!(answer.await.expect("answered").body, "done");
    }
    let order: Vec<_> = server.seen().iter().take(256).map(|seen| seen.path.clone()).collect();
    assert_eq!(order, (0..256).map(|n| format!("/{n}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_deadline_holds_while_waiting_for_a_turn() {
    let (server, link) = to(json!({"concurrency": 1}), |_| Reply::Nothing).await;
    let _first = begin(&link, get("/first"));
    eventually("the first is under way", || !server.seen().is_empty()).await;
    let request = Request { timeout: Some(Duration::from_millis(50)), ..get("/second") };
    let error = ask(&link, request).await.expect_err("no turn");
    assert!(matches!(error, Error::Late { waiting: true, .. }), "{error}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn closing_the_link_answers_what_is_under_way() {
    let (server, link) = to(json!({"concurrency": 2, "timeout_ms": 600_000}), |_| Reply::Nothing).await;
    let answers: Vec<_> = (0..10).map(|n| begin(&link, get(&format!("/{n}?key=hunter2")))).collect();
    eventually("two are under way", || server.seen().len() == 2).await;
    tokio::time::timeout(DEADLINE, link.close()).await.expect("closes");
    for answer in answers {
        // Answered before `close` returned.
        let answer = futures_util::FutureExt::now_or_never(answer).expect("already there");
        let error = answer.expect_err("stopped");
        assert!(matches!(error, Error::Stopped { .. }) && !error.to_string().contains("hunter2"), "{error}");
    }
    let error = ask(&link, get("/late")).await.expect_err("closed");
    assert!(matches!(error, Error::Stopped { .. }), "{error}");
}

#[tokio::test]
async fn another_address_answers_what_is_under_way_at_the_old_one() {
    let (server, link) = to(json!({}), |_| Reply::Nothing).await;
    let answer = begin(&link, get("/"));
    eventually("it is under way", || server.seen().len() == 1).await;
    let other = Server::start(|_| ok("other")).await;
    let target =
        crate::connections::Target::new(crate::connections::Address::Http(client(other.base(), json!({}))));
    link.retarget(target);
    assert!(matches!(answer.await, Err(Error::Stopped { .. })));
    assert_eq!(ask(&link, get("/")).await.expect("answered").body, "other");
}

#[tokio::test]
async fn a_device_has_a_web_server_beside_its_link() {
    let web = Server::start(|_| ok("web")).await;
    let device = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = device.local_addr().expect("address").port();
    let mut target = crate::connections::Target::tcp("127.0.0.1", port);
    target.http = Some(client(web.base(), json!({})));
    let connections = Connections::new(quick());
    let recorder = super::super::harness::Recorder::new();
    let link = recorder.open(&connections, target);
    recorder.up_after(0).await;
    assert_eq!(ask(&link, get("/")).await.expect("answered").body, "web");
    // What happens there says nothing about the link.
    drop(web);
    ask(&link, get("/")).await.expect_err("gone");
    assert!(link.state().is_up());
    let without = recorder.open(&connections, crate::connections::Target::tcp("127.0.0.1", port));
    let error = ask(&without, get("/")).await.expect_err("no address");
    assert!(error.to_string().contains("connection.http.base"), "{error}");
}

#[tokio::test]
async fn redirects_are_followed_at_home_only() {
    let abroad =
        Server::start(|seen| ok(&format!("{:?} {:?}", seen.header("authorization"), seen.header("x-key"))))
            .await;
    let far = abroad.base();
    let handler = move |seen: &Seen| match seen.path.as_str() {
        "/home" => respond(302, &[("Location", "/there?x=1")], "moved"),
        "/abroad" => respond(302, &[("Location", &far)], "elsewhere"),
        "/loop" => respond(307, &[("Location", "/loop")], "again"),
        path => ok(path),
    };
    let auth = json!({"kind": "basic", "username": "u", "password": "p"});
    let keys = json!({"X-Key": "k"});
    let (server, link) = to(json!({"auth": auth, "headers": keys}), handler.clone()).await;
    assert_eq!(ask(&link, get("/home")).await.expect("followed").body, "/there?x=1");
    assert_eq!(ask(&link, get("/abroad")).await.expect("not followed").status, 302);
    assert!(abroad.seen().is_empty());
    assert_eq!(ask(&link, get("/loop")).await.expect("given up").status, 307);
    assert_eq!(server.seen().iter().filter(|seen| seen.path == "/loop").count(), 6);
    assert!(server.seen().iter().all(|seen| seen.header("authorization").is_some()));
    // Where it may go abroad, it goes without credentials, also when asked to directly.
    let (_server, link) =
        to(json!({"auth": auth, "headers": keys, "origins": [abroad.base()]}), handler).await;
    assert_eq!(ask(&link, get("/abroad")).await.expect("followed").body, "None None");
    assert_eq!(ask(&link, get(&abroad.base())).await.expect("asked").body, "None None");
}

#[tokio::test]
async fn cookies_are_kept_by_the_module_and_sent_back() {
    let handler = |seen: &Seen| match seen.path.as_str() {
        "/login" => respond(200, &[("Set-Cookie", "session=abc; HttpOnly")], ""),
        _ => ok(seen.header("cookie").unwrap_or("none")),
    };
    let (_server, link) = to(json!({}), handler).await;
    ask(&link, post("/login", "x")).await.expect("answered");
    assert_eq!(ask(&link, get("/")).await.expect("answered").body, "session=abc");
    // Cookies do not tell ports apart, origins do.
    let neighbour = Server::start(handler).await;
    let (_server, link) = to(json!({"origins": [neighbour.base()]}), handler).await;
    ask(&link, post("/login", "x")).await.expect("answered");
    assert_eq!(ask(&link, get(&neighbour.base())).await.expect("answered").body, "none");
    let (_server, link) = to(json!({"cookies": false}), handler).await;
    ask(&link, post("/login", "x")).await.expect("answered");
    assert_eq!(ask(&link, get("/")).await.expect("answered").body, "none");
}

#[tokio::test]
async fn credentials_are_sent_as_they_are_asked_for() {
    let said = |seen: &Seen| ok(seen.header("authorization").unwrap_or("none"));
    let (_server, link) = to(json!({"auth": {"kind": "bearer", "token": "t0k"}}), said).await;
    assert_eq!(ask(&link, get("/")).await.expect("answered").body, "Bearer t0k");
    // Who brings their own is not given others.
    let request = Request { headers: vec![("Authorization".into(), "Own x".into())], ..get("/") };
    assert_eq!(ask(&link, request).await.expect("answered").body, "Own x");
    let basic = json!({"auth": {"kind": "basic", "username": "Aladdin", "password": "open sesame"}});
    let (_server, link) = to(basic, said).await;
    // RFC 7617, 2.
    assert_eq!(ask(&link, get("/")).await.expect("answered").body, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
}

/// Takes each nonce twice, and says so as the RFC wants it.
fn short_lived(nonces: &Mutex<(u32, u32)>, seen: &Seen) -> Reply {
    let mut nonces = nonces.lock();
    let (current, used) = &mut *nonces;
    let fresh =
        seen.header("authorization").is_some_and(|auth| auth.contains(&format!("nonce=\"n{current}\"")));
    if fresh && *used < 2 {
        *used += 1;
        return ok(seen.header("authorization").unwrap_or_default());
    }
    let stale = seen.header("authorization").is_some();
    (*current, *used) = (*current + 1, 0);
    let challenge = format!("Digest realm=\"r\", nonce=\"n{current}\", qop=\"auth\", stale={stale}");
    respond(401, &[("WWW-Authenticate", &challenge)], "who are you?")
}

#[tokio::test]
async fn digest_counts_and_renews_its_nonces() {
    let nonces = Mutex::new((0, 0));
    let settings = json!({"auth": {"kind": "digest", "username": "u", "password": "p"}});
    let (server, link) = to(settings, move |seen| short_lived(&nonces, seen)).await;
    let mut answers = Vec::new();
    for _ in 0..5 {
        let response = ask(&link, post("/x", "body")).await.expect("answered");
        assert_eq!(response.status, 200);
        let auth = String::from_utf8(response.body.to_vec()).expect("text");
        let field = |name: &str| auth.split(", ").find_map(|part| part.strip_prefix(name)).map(str::to_owned);
        answers.push((field("nonce=").expect("nonce"), field("nc=").expect("count")));
    }
    let expected = [("n1", 1), ("n1", 2), ("n2", 1), ("n2", 2), ("n3", 1)];
    assert_eq!(answers, expected.map(|(nonce, count)| (format!("\"{nonce}\""), format!("{count:08}"))));
    // Five answers and three challenges: nothing is asked twice without need.
    assert_eq!(server.seen().len(), 8);
    assert!(server.seen().iter().all(|seen| seen.body == b"body"));
}

#[tokio::test]
async fn digest_is_never_answered_with_the_password() {
    let settings = json!({"auth": {"kind": "digest", "username": "u", "password": "p"}});
    let (server, link) =
        to(settings, |_| respond(401, &[("WWW-Authenticate", "Basic realm=\"r\"")], "")).await;
    assert_eq!(ask(&link, get("/")).await.expect("an answer").status, 401);
    assert!(server.seen().iter().all(|seen| seen.header("authorization").is_none()));
}

#[tokio::test]
async fn the_driver_may_not_break_the_message() {
    let (server, link) = to(json!({}), |_| ok("")).await;
    for (name, value) in [("Transfer-Encoding", "chunked"), ("X", "a\r\nY: b"), ("", "")] {
        let request = Request { headers: vec![(name.into(), value.into())], ..get("/") };
        let error = ask(&link, request).await.expect_err("refused");
        assert!(matches!(error, Error::Request(_)), "{error}");
    }
    assert!(server.seen().is_empty());
    let request = Request { body: Bytes::new(), ..post("/", "") };
    ask(&link, request).await.expect("answered");
}

/// Run by the test after it, in an environment with a proxy that does not exist.
#[tokio::test]
#[ignore = "needs an environment"]
async fn in_an_environment_with_a_proxy() {
    let (_server, link) = to(json!({}), |_| ok("direct")).await;
    assert_eq!(ask(&link, get("/")).await.expect("answered").body, "direct");
    let (_server, link) = to(json!({"proxy": {"environment": true}}), |_| ok("direct")).await;
    let error = ask(&link, get("/")).await.expect_err("there is no such proxy");
    assert!(matches!(error, Error::Failed(_)), "{error}");
}

#[test]
fn the_proxy_of_the_environment_is_used_only_if_asked_for() {
    let name = "connections::tests::http::exchanges::in_an_environment_with_a_proxy";
    let mut test = std::process::Command::new(std::env::current_exe().expect("this program"));
    test.args(["--exact", name, "--ignored"])
        .env("http_proxy", "http://127.0.0.1:1")
        .env_remove("no_proxy")
        .env_remove("NO_PROXY");
    let output = test.output().expect("run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
