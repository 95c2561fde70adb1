//! What the flight recorder has of exchanges through a link.

use super::{
    super::{harness::quick, recorded::messages},
    peer::{Seen, Server, ask, client, open, post, respond},
};
use crate::connections::{Connections, http::Request};
use serde_json::json;

#[tokio::test]
async fn an_exchange_is_recorded_and_no_secret_with_it() {
    let server = Server::start(|seen: &Seen| match seen.header("x-key") {
        Some("0123key") => {
            respond(200, &[("X-Told", "hunter22 it is"), ("Set-Cookie", "a=hunted")], "so hunter22")
        }
        _ => respond(403, &[], "who?"),
    })
    .await;
    let base = server.base();
    let settings = json!({"headers": {"X-Key": "0123key"}});
    let (link, sink) = open(&Connections::new(quick()), client(base.clone(), settings));
    sink.tape().hide(vec!["hunter22".into()]);
    let request = Request { headers: vec![("X-Own".into(), "mine".into())], ..post("/a?b=c", "hunter22!") };
    assert_eq!(ask(&link, request).await.expect("answered").status, 200);

    let recorded = messages(&sink).into_iter();
    let recorded: Vec<_> =
        recorded.map(|(way, _, bytes)| (way, String::from_utf8(bytes).expect("text"))).collect();
    let [("sent", sent), ("received", received)] = recorded.as_slice() else { panic!("{recorded:#?}") };
    let host = base.trim_start_matches("http://").trim_end_matches('/');
    assert!(sent.starts_with(&format!("POST /a?b=c HTTP/1.1\r\nhost: {host}\r\n")), "{sent}");
    assert!(sent.contains("\r\nx-own: mine\r\n") && sent.ends_with("\r\n\r\n***!"), "{sent}");
    assert!(!sent.contains("0123key"), "{sent}");
    assert!(received.starts_with("HTTP/1.1 200\r\n") && received.ends_with("\r\n\r\nso ***"), "{received}");
    assert!(received.contains("x-told: *** it is\r\n") && !received.contains("hunted"), "{received}");
}
