//! What went over a module's wire, from a driver process through the API, against a device on loopback.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{live::Live, server::Server};
use crate::connections::recorder::format::recording::{self, Item};

const PASSWORD: &str = "JBMIAProjectorLink";

/// A device that answers with what it is told, byte by byte.
pub(super) async fn device() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        // Two modules connect to it, in either order.
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                let mut byte = [0];
                while stream.read(&mut byte).await.is_ok_and(|count| count == 1) {
                    let _ = stream.write_all(&byte).await;
                }
            });
        }
    });
    address
}

/// Asks until what is received is all there.
async fn records(live: &Live, received: &str, query: &str) -> Vec<Value> {
    let module = &live.modules[0];
    let mut records = Vec::new();
    for _ in 0..600 {
        let answer = live.server.get(&format!("/modules/{module}/wire?{query}")).await;
        records = answer.json().as_array().unwrap().clone();
        if text(&records, "received").contains(received) {
            return records;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the device did not answer {received}: {records:?}");
}

fn text(records: &[Value], event: &str) -> String {
    records
        .iter()
        .filter(|record| record["event"] == event)
        .filter_map(|record| record["text"].as_str())
        .collect()
}

#[tokio::test]
async fn what_was_sent_and_answered_is_shown_with_its_command_and_without_secrets() {
    let Some(live) = Live::device(Server::start().await, device().await).await else { return };
    let module = live.modules[0].clone();
    let settings =
        json!({"parent_id": module, "encryption_level": 2, "settings_string": format!("login: {PASSWORD}")});
    live.server.create("/settings", settings).await;
    live.server.settled().await;
    let send = async |words: &str| {
        let answer = live.server.ask("POST", &format!("/modules/{module}/exec/send"), json!([words])).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    send(&format!("pass {PASSWORD}\r")).await;
    send("%1POWR 1\r").await;

    let all = records(&live, "%1POWR 1\r", "").await;
    assert_eq!((all[0]["event"].as_str(), all[0]["number"].as_u64()), (Some("up"), Some(1)));
    assert_eq!(all[0]["peer"], all[0]["address"]);
    assert_eq!(text(&all, "sent"), "pass ***\r%1POWR 1\r");
    assert_eq!(text(&all, "received"), "pass ***\r%1POWR 1\r");
    let sent: Vec<&Value> = all.iter().filter(|record| record["event"] == "sent").collect();
    assert!(sent.iter().all(|record| record["command"] == "send" && record["connection"] == 1), "{sent:?}");
    assert_ne!(sent[0]["call"], sent[1]["call"]);

    let one_way = records(&live, "", "direction=sent").await;
    assert_eq!(
        one_way.iter().map(|record| record["event"].as_str().unwrap()).collect::<Vec<_>>(),
        ["up", "sent", "sent"]
    );
    let (number, time) = (all[2]["number"].as_u64().unwrap(), all[2]["time"].as_u64().unwrap());
    for (query, first) in [
        (format!("after={number}"), number + 1),
        (format!("since={time}"), number),
        ("limit=1".to_owned(), all.last().unwrap()["number"].as_u64().unwrap()),
    ] {
        let some = records(&live, "", &query).await;
        assert!(
            some[0]["number"].as_u64() <= Some(first) && some[0]["number"].as_u64() > Some(1),
            "{query}: {some:?}"
        );
    }

    for (format, media_type, part) in [
        ("text", "text/plain; charset=utf-8", "  send          pass ***\\r\n"),
        ("hex", "text/plain; charset=utf-8", "    0000  25 31 50 4f 57 52 20 31 0d "),
        ("recording", "application/jsonl", "{\"recording\":1,\"module\":\"mod-"),
    ] {
        let answer = live.server.get(&format!("/modules/{module}/wire?format={format}")).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, media_type));
        assert!(answer.text.contains(part) && !answer.text.contains(PASSWORD), "{}", answer.text);
    }
    let answer = live.server.get(&format!("/modules/{module}/wire?format=recording")).await;
    assert!(answer.header("content-disposition").ends_with(&format!("filename=\"{module}.recording\"")));
    let read = recording::read(&answer.text).unwrap();
    assert_eq!((&read.about.name, read.items.len()), (&"Desk".to_owned(), all.len()));
    assert!(read.items.iter().all(|item| matches!(item, Item::Record(_))));
    let url = live.server.url(&format!("/modules/{module}/wire?format=pcapng"));
    let request = live.server.client.get(url).header("x-api-key", &live.server.key);
    let file = request.send().await.unwrap().bytes().await.unwrap();
    assert!(file.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]));
    assert!(!file.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes()));

    for (query, parameter) in
        [("format=pcap", "format"), ("direction=up", "direction"), ("since=-1", "since")]
    {
        let answer = live.server.get(&format!("/modules/{module}/wire?{query}")).await;
        assert_eq!((answer.status, &answer.json()["parameter"]), (400, &json!(parameter)), "{query}");
    }
}

#[tokio::test]
async fn a_follower_gets_what_comes_until_its_key_is_deleted() {
    let options = crate::api::Options { socket_recheck_ms: 100, ..Default::default() };
    let Some(live) = Live::device(Server::with(options).await, device().await).await else { return };
    let module = live.modules[0].clone();
    let support = live.server.new_key("support", &["modules"]).await;
    let url = live.server.url(&format!("/modules/{module}/wire?follow=true&limit=0"));
    let answer = live.server.client.get(url).header("x-api-key", &support).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/jsonl");
    let mut pieces = answer.bytes_stream();

    let path = format!("/modules/{module}/exec/send");
    for words in ["one", "two"] {
        assert_eq!(live.server.ask("POST", &path, json!([words])).await.status, 200);
    }
    let mut seen = String::new();
    let follow = async {
        loop {
            let records: Vec<Value> =
                seen.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            if text(&records, "received") == "onetwo" {
                return records;
            }
            seen.push_str(std::str::from_utf8(&pieces.next().await.unwrap().unwrap()).unwrap());
        }
    };
    let records = tokio::time::timeout(Duration::from_secs(60), follow).await.expect("what came");
    assert_eq!(text(&records, "sent"), "onetwo");

    let id = support.split('.').next().unwrap();
    let deleted = live.server.ask("DELETE", &format!("/api_keys/{id}"), Value::Null).await;
    assert!(deleted.status < 300, "{deleted:?}");
    let end = tokio::time::timeout(Duration::from_secs(60), async { while pieces.next().await.is_some() {} });
    end.await.expect("the end");
}

#[tokio::test]
async fn a_logic_module_has_no_wire() {
    let server = Server::start().await;
    let basics = server.basics(99).await;
    let body = json!({"driver_id": basics.driver, "control_system_id": basics.system});
    let module = server.create("/modules", body).await;
    let answer = server.get(&format!("/modules/{module}/wire")).await;
    assert_eq!(answer.status, 422);
    assert!(answer.failures()[0].starts_with("role: a logic module has no device"), "{answer:?}");
}
