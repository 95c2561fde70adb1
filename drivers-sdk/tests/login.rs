//! `#[login]`: the first thing on every connection, seen from the daemon.

mod support;

use drivers_sdk::prelude::*;
use drivers_sdk_protocol::Kind;
use drivers_sdk_protocol::message::Disconnect;
use serde_json::json;
use support::{Daemon, run};

#[derive(Default)]
struct Lamp;

#[driver(name = "Lamp", module = "Lamp", tcp = 5000, framing = lines("\n"), timeout_ms = 1000)]
impl Lamp {
    #[login]
    async fn sign_in(&self, cx: &Cx<Self>) -> Result {
        let number = cx.expect(prefix("HELLO ")).await?;
        cx.send(format!("SIGN {number}")).reply(exact("WELCOME").unless(exact("NO"))).await
    }

    #[connected]
    async fn meet(&self, cx: &Cx<Self>) -> Result {
        cx.send("NAME?").reply(prefix("NAME ")).await.map(drop)
    }

    #[received]
    fn line(&self, cx: &Cx<Self>, line: &str) {
        cx.info(format!("heard {line}"));
    }

    #[function]
    async fn power(&self, cx: &Cx<Self>, on: bool) -> Result {
        cx.send(format!("POWER {on}")).priority(100).reply(exact("OK")).await
    }
}

async fn start(link: Option<u64>) -> Daemon {
    let mut daemon = Daemon::of::<Lamp>().await;
    assert_eq!(daemon.start(1, json!({}), link).await.kind(), Some(Kind::Done));
    daemon
}

#[test]
fn nothing_is_sent_and_nothing_is_received_before_the_login_is_done() {
    run(async {
        let mut daemon = start(Some(1)).await;
        let call = daemon.begin(1, "power", json!([true])).await;
        daemon.received(1, "chatter\nHELLO 7\n").await;
        assert_eq!(daemon.transmitted(1).await.1, "SIGN 7\n");
        daemon.wait(millis(100)).await;
        assert!(!daemon.logged("heard"), "{:?}", daemon.logs);
        daemon.received(1, "WELCOME\n").await;
        assert_eq!(daemon.transmitted(1).await.1, "POWER true\n", "the caller waited, and has priority");
        daemon.wait(millis(10)).await;
        assert!(daemon.logged("heard chatter"), "{:?}", daemon.logs);
        daemon.received(1, "OK\n").await;
        let mut rest = [daemon.next().await, daemon.next().await];
        rest.sort_by_key(|frame| frame.header.correlation);
        assert_eq!(rest[0].kind(), Some(Kind::Send), "`connected` follows");
        assert_eq!((rest[1].kind(), rest[1].header.correlation), (Some(Kind::Done), call));
    });
}

#[test]
fn a_login_that_fails_drops_the_connection_and_the_next_one_begins_anew() {
    run(async {
        let mut daemon = start(None).await;
        daemon.link_up(1, 4).await;
        let call = daemon.begin(1, "power", json!([true])).await;
        daemon.received(1, "HELLO 7\n").await;
        daemon.transmitted(1).await;
        // A second greeting is nobody's; it must not be taken for that of the next connection.
        daemon.received(1, "HELLO 8\nNO\n").await;
        let failed = daemon.expect_kind(Kind::LoginFailed).await;
        let Disconnect { connection, reason } = Disconnect::read(&failed.payload).unwrap();
        assert_eq!((connection, reason), (4, "the device answered NO"));
        daemon.wait(secs(5)).await;
        daemon.link_down(1, "auth", "the login failed").await;
        assert_eq!(daemon.result(call).await.unwrap_err().code, "offline");

        daemon.link_up(1, 5).await;
        daemon.wait(millis(100)).await;
        daemon.received(1, "HELLO 9\n").await;
        assert_eq!(daemon.transmitted(1).await.1, "SIGN 9\n");
        daemon.received(1, "WELCOME\n").await;
        assert_eq!(daemon.transmitted(1).await.1, "NAME?\n");
    });
}

#[test]
fn a_device_that_does_not_greet_is_left() {
    run(async {
        let mut daemon = start(Some(1)).await;
        let failed = daemon.expect_kind(Kind::LoginFailed).await;
        assert_eq!(Disconnect::read(&failed.payload).unwrap().connection, 1);
    });
}

#[test]
fn an_older_daemon_is_asked_to_disconnect() {
    run(async {
        let mut daemon = Daemon::offering::<Lamp>(&[]).await;
        daemon.start(1, json!({}), Some(1)).await;
        daemon.received(1, "HELLO 7\n").await;
        assert_eq!(daemon.transmitted(1).await, (1, "SIGN 7\n".into(), 0));
        daemon.received(1, "NO\n").await;
        let disconnect = daemon.expect_kind(Kind::Disconnect).await;
        let reason = Disconnect::read(&disconnect.payload).unwrap().reason;
        assert_eq!(reason, "login failed: the device answered NO");
    });
}

#[test]
fn whoever_waits_for_a_failed_login_on_a_makebreak_link_is_told() {
    run(async {
        let mut daemon = Daemon::of::<Lamp>().await;
        let start = json!({
            "id": "mod-1", "name": "Lamp", "settings": {}, "makebreak": true, "link": {"connection": 1}
        });
        daemon.start_with(1, start).await;
        let call = daemon.begin(1, "power", json!([true])).await;
        daemon.received(1, "HELLO 7\n").await;
        let (_, _, correlation) = daemon.transmitted(1).await;
        daemon.send(Kind::Done, 1, correlation, "").await;
        daemon.received(1, "NO\n").await;
        daemon.expect_kind(Kind::LoginFailed).await;
        assert_eq!(daemon.result(call).await.unwrap_err().message, "the device answered NO");
    });
}

#[test]
fn a_connection_that_is_lost_during_the_login_fails_whoever_waits() {
    run(async {
        let mut daemon = start(Some(1)).await;
        let call = daemon.begin(1, "power", json!([true])).await;
        daemon.received(1, "HELLO 7\n").await;
        daemon.transmitted(1).await;
        daemon.link_down(1, "reset", "").await;
        assert_eq!(daemon.result(call).await.unwrap_err().code, "offline");
        daemon.wait(secs(5)).await;
        assert!(!daemon.logged("warn"), "that the device went away is no news: {:?}", daemon.logs);
    });
}

#[test]
fn a_makebreak_link_is_sent_to_although_its_login_was_cut_off() {
    run(async {
        let mut daemon = Daemon::of::<Lamp>().await;
        let start = json!({
            "id": "mod-1", "name": "Lamp", "settings": {}, "makebreak": true, "link": {"connection": 1}
        });
        daemon.start_with(1, start).await;
        let call = daemon.begin(1, "power", json!([true])).await;
        daemon.link_down(1, "refused", "connection refused").await;
        let (_, bytes, correlation) = daemon.transmitted(1).await;
        assert_eq!(bytes, "POWER true\n");
        daemon.send(Kind::Done, 1, correlation, "").await;
        daemon.received(1, "OK\n").await;
        daemon.result(call).await.unwrap();
    });
}

#[derive(Default)]
struct Signer;

#[driver(name = "Signer", module = "Lamp", tcp = 5000, framing = lines("\n"))]
impl Signer {
    #[function]
    async fn sign(&self, cx: &Cx<Self>) -> Result {
        cx.hide("5d8409bc");
        cx.send("5d8409bc POWER").await
    }
}

#[test]
fn what_a_driver_makes_of_a_secret_is_named_before_it_is_sent() {
    run(async {
        let mut daemon = Daemon::of::<Signer>().await;
        daemon.start(1, json!({}), Some(1)).await;
        daemon.begin(1, "sign", json!([])).await;
        let hide = daemon.expect_kind(Kind::Hide).await;
        assert_eq!((hide.header.module, &hide.payload[..]), (1, &b"5d8409bc"[..]));
        assert_eq!(daemon.transmitted(1).await.1, "5d8409bc POWER\n");
    });
}
