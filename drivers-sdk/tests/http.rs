//! HTTP requests of a driver, seen from the daemon.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::BytesMut;
use drivers_sdk::prelude::*;
use drivers_sdk_protocol::message::Headed;
use drivers_sdk_protocol::{Frame, Kind};
use serde_json::json;
use support::{Daemon, run};

#[derive(Default)]
struct Lights;

#[driver(name = "Lights", module = "Lights", tcp = 80)]
impl Lights {
    #[function]
    async fn level(&self, cx: &Cx<Self>, room: String) -> Result<u8> {
        #[derive(serde::Deserialize)]
        struct Light {
            level: u8,
        }
        let light: Light = cx.http().get("/light").query("room", room).query("n", 1).send().await?.json()?;
        Ok(light.level)
    }

    #[function]
    async fn set(&self, cx: &Cx<Self>, level: u8) -> Result<u16> {
        let request = cx.http().post("/light").header("X-Key", "k").json(&json!({"level": level}));
        Ok(request.timeout(secs(2)).send().await?.status)
    }

    #[function]
    async fn login(&self, cx: &Cx<Self>, user: String) -> Result<Option<String>> {
        let response = cx.http().put("/login").form(&[("user", &user), ("a b", "c&d")]).send().await?;
        Ok(response.error_for_status()?.header("Set-Thing").map(Into::into))
    }
}

fn parts(frame: &Frame) -> (serde_json::Value, String) {
    let Headed { head, body } = Headed::read(&frame.payload).unwrap();
    (serde_json::from_slice(head).unwrap(), String::from_utf8(body.to_vec()).unwrap())
}

fn response(head: serde_json::Value, body: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    Headed { head: head.to_string().as_bytes(), body }.write(&mut out);
    out
}

#[test]
fn json_is_asked_for_and_handed_over() {
    run(async {
        let mut daemon = Daemon::of::<Lights>().await;
        // Whether the link is up makes no difference.
        daemon.start(1, json!({}), None).await;
        let call = daemon.begin(1, "level", json!(["Stra\u{df}e & 1"])).await;
        let request = daemon.expect_kind(Kind::Http).await;
        let head = json!({"method": "GET", "url": "/light?room=Stra%C3%9Fe%20%26%201&n=1", "call": call});
        assert_eq!(parts(&request), (head, String::new()));
        let answer = response(json!({"status": 200, "later": 1}), br#"{"level": 42}"#);
        daemon.send(Kind::Done, 1, request.header.correlation, answer).await;
        assert_eq!(daemon.result(call).await.unwrap(), json!(42));

        let call = daemon.begin(1, "set", json!([7])).await;
        let request = daemon.expect_kind(Kind::Http).await;
        let headers = json!([["X-Key", "k"], ["content-type", "application/json"]]);
        let head =
            json!({"method": "POST", "url": "/light", "headers": headers, "timeout_ms": 2000, "call": call});
        assert_eq!(parts(&request), (head, r#"{"level":7}"#.into()));
        // An answer is an answer.
        daemon.send(Kind::Done, 1, request.header.correlation, response(json!({"status": 503}), b"")).await;
        assert_eq!(daemon.result(call).await.unwrap(), json!(503));

        let call = daemon.begin(1, "login", json!(["j\u{e4}y"])).await;
        let request = daemon.expect_kind(Kind::Http).await;
        assert_eq!(parts(&request).1, "user=j%C3%A4y&a%20b=c%26d");
        let answer = response(json!({"status": 204, "headers": [["set-thing", "x"]]}), b"");
        daemon.send(Kind::Done, 1, request.header.correlation, answer).await;
        assert_eq!(daemon.result(call).await.unwrap(), json!("x"));
    });
}

#[test]
fn what_is_wrong_is_an_error_that_shows_no_query() {
    run(async {
        let mut daemon = Daemon::of::<Lights>().await;
        daemon.start(1, json!({}), Some(1)).await;
        for (answer, message) in [
            (response(json!({"status": 404}), b"no such light\n"), "answered with status 404: no such light"),
            (response(json!({"status": 200}), b"{}"), "missing field `level`"),
            (response(json!({"status": 200}), b"<html>"), "expected value"),
        ] {
            let call = daemon.begin(1, "level", json!(["hunter2"])).await;
            let request = daemon.expect_kind(Kind::Http).await;
            daemon.send(Kind::Done, 1, request.header.correlation, answer).await;
            let failure = daemon.result(call).await.unwrap_err();
            assert_eq!(failure.code, "device");
            assert!(failure.message.contains(message), "{}", failure.message);
            assert!(failure.message.contains("GET /light"), "{}", failure.message);
            assert!(!failure.message.contains("hunter2"), "{}", failure.message);
        }
    });
}
