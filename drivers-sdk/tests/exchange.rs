//! Requests that the daemon carries out for a driver beside the link, seen from the daemon.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::BytesMut;
use drivers_sdk::prelude::*;
use drivers_sdk_protocol::message::Headed;
use drivers_sdk_protocol::{Kind, feature};
use serde_json::json;
use support::{Daemon, run};

#[derive(Default)]
struct Server;

#[driver(name = "Server", module = "Server", tcp = 22)]
impl Server {
    #[function]
    async fn run(&self, cx: &Cx<Self>, command: String) -> Result<(Option<u32>, String, String)> {
        let output = cx.ssh_exec(command).timeout(secs(3)).await?;
        Ok((output.status, output.stdout.to_string(), output.stderr.to_string()))
    }

    #[function]
    async fn must(&self, cx: &Cx<Self>, command: String) -> Result<String> {
        Ok(cx.ssh_exec(command).await?.ok()?.stdout.to_string())
    }
}

fn headed(head: serde_json::Value, body: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    Headed { head: head.to_string().as_bytes(), body }.write(&mut out);
    out
}

#[test]
fn an_ssh_command_gives_what_it_wrote_and_how_it_ended() {
    run(async {
        let mut daemon = Daemon::of::<Server>().await;
        daemon.start(1, json!({}), Some(1)).await;
        let call = daemon.begin(1, "run", json!(["uptime"])).await;
        let other = daemon.begin(1, "must", json!(["reboot"])).await;
        let first = daemon.expect_kind(Kind::SshExec).await;
        assert_eq!(first.payload, format!(r#"{{"command":"uptime","timeout_ms":3000,"call":{call}}}"#));
        let second = daemon.expect_kind(Kind::SshExec).await;
        assert_eq!(second.payload, format!(r#"{{"command":"reboot","call":{other}}}"#));

        let refused = headed(json!({"status": 1, "stdout": 0}), b"not permitted");
        daemon.send(Kind::Done, 1, second.header.correlation, refused).await;
        let failure = daemon.result(other).await.unwrap_err();
        assert_eq!(failure.code, "device");
        assert_eq!(failure.message, "the command ended with status 1: \"not permitted\"");

        let done = headed(json!({"status": 0, "stdout": 3, "later": true}), b"up\nhm");
        daemon.send(Kind::Done, 1, first.header.correlation, done).await;
        assert_eq!(daemon.result(call).await.unwrap(), json!([0, "up\n", "hm"]));
    });
}

#[test]
fn an_answer_that_makes_no_sense_fails_the_call_and_nothing_else() {
    run(async {
        let mut daemon = Daemon::of::<Server>().await;
        daemon.start(1, json!({}), Some(1)).await;
        for answer in [headed(json!({"stdout": 9}), b"short"), BytesMut::from(&b"\xff\0\0\0"[..])] {
            let call = daemon.begin(1, "run", json!(["uptime"])).await;
            let request = daemon.expect_kind(Kind::SshExec).await;
            daemon.send(Kind::Done, 1, request.header.correlation, answer).await;
            assert_eq!(daemon.result(call).await.unwrap_err().message, "an answer of the daemon is cut off");
        }
    });
}

#[test]
fn a_daemon_without_the_feature_is_not_asked() {
    run(async {
        let mut daemon = Daemon::offering::<Server>(&[feature::SEND]).await;
        daemon.start(1, json!({}), Some(1)).await;
        let failure = daemon.call(1, "run", json!(["uptime"])).await.unwrap_err();
        assert_eq!(failure.code, "driver");
        assert!(failure.message.contains("`ssh`"), "{}", failure.message);
    });
}
