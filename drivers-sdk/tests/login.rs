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

    #[function]
    fn locked_out(&self, cx: &Cx<Self>) {
        cx.login_failed("the session is over");
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
fn a_device_that_hangs_up_with_its_refusal_has_refused() {
    run(async {
        let mut daemon = start(None).await;
        daemon.link_up(1, 4).await;
        daemon.received(1, "HELLO 7\n").await;
        daemon.transmitted(1).await;
        daemon.received(1, "NO\n").await;
        daemon.link_down(1, "closed", "it closed the connection").await;
        let failed = daemon.expect_kind(Kind::LoginFailed).await;
        let Disconnect { connection, reason } = Disconnect::read(&failed.payload).unwrap();
        assert_eq!((connection, reason), (4, "the device answered NO"));

        daemon.link_up(1, 5).await;
        daemon.received(1, "HELLO 8\n").await;
        assert_eq!(daemon.transmitted(1).await.1, "SIGN 8\n");
    });
}

#[test]
fn a_device_that_does_not_greet_is_left_and_has_refused_nobody() {
    run(async {
        let mut daemon = start(Some(1)).await;
        let left = daemon.expect_kind(Kind::Disconnect).await;
        let Disconnect { connection, reason } = Disconnect::read(&left.payload).unwrap();
        assert_eq!(connection, 1);
        assert!(reason.starts_with("the login was not answered: "), "{reason}");
    });
}

#[test]
fn a_driver_says_later_that_the_device_does_not_let_it_in() {
    run(async {
        let mut daemon = start(Some(6)).await;
        daemon.received(1, "HELLO 7\n").await;
        daemon.transmitted(1).await;
        daemon.received(1, "WELCOME\n").await;
        daemon.transmitted(1).await;
        let call = daemon.begin(1, "locked_out", json!([])).await;
        let failed = daemon.expect_kind(Kind::LoginFailed).await;
        let Disconnect { connection, reason } = Disconnect::read(&failed.payload).unwrap();
        assert_eq!((connection, reason), (6, "the session is over"));
        daemon.result(call).await.unwrap();
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

// === Make-break ===

/// A module whose device can be reached, and is not connected.
async fn idle() -> Daemon {
    let mut daemon = Daemon::of::<Switch>().await;
    let start =
        json!({"id": "mod-1", "name": "Lamp", "settings": {}, "makebreak": true, "link": {"connection": 1}});
    assert_eq!(daemon.start_with(1, start).await.kind(), Some(Kind::Done));
    daemon
}

#[derive(Default)]
struct Switch;

#[driver(name = "Switch", module = "Switch", tcp = 5000, framing = lines("\n"), timeout_ms = 1000)]
impl Switch {
    #[login]
    async fn sign_in(&self, cx: &Cx<Self>) -> Result {
        let number = cx.expect(prefix("HELLO ")).await?;
        cx.send(format!("SIGN {number}")).reply(exact("WELCOME").unless(exact("NO"))).await
    }

    #[received]
    fn line(&self, cx: &Cx<Self>, line: &str) {
        cx.info(format!("heard {line}"));
    }

    #[function]
    async fn power(&self, cx: &Cx<Self>, on: bool) -> Result {
        cx.send(format!("POWER {on}")).reply(exact("OK")).await
    }
}

fn ended(next: u64) -> String {
    json!({"reason": "closed", "detail": "the connection ended", "connection": next}).to_string()
}

impl Daemon {
    /// The bytes that the driver wants sent next over this connection, which are.
    async fn takes(&mut self, connection: u64, bytes: &str) {
        let (on, sent, correlation) = self.transmitted(1).await;
        assert_eq!((on, sent.as_str()), (connection, bytes));
        self.send(Kind::Done, 1, correlation, "").await;
    }

    async fn signs_in(&mut self, connection: u64) {
        self.takes(0, "").await;
        self.received(1, "HELLO 7\n").await;
        self.takes(connection, "SIGN 7\n").await;
        self.received(1, "WELCOME\n").await;
    }

    async fn ends(&mut self, next: u64) {
        self.send(Kind::ConnectionEnded, 1, 0, ended(next)).await;
    }
}

#[test]
fn each_makebreak_connection_is_logged_in_to_before_the_command_that_it_is_made_for() {
    run(async {
        let mut daemon = idle().await;
        daemon.wait(secs(60)).await;
        for connection in 1..3 {
            let first = daemon.begin(1, "power", json!([true])).await;
            let second = daemon.begin(1, "power", json!([false])).await;
            daemon.signs_in(connection).await;
            for (call, power) in [(first, "POWER true\n"), (second, "POWER false\n")] {
                daemon.takes(connection, power).await;
                daemon.received(1, "OK\n").await;
                daemon.result(call).await.unwrap();
            }
            // What it says last is heard although it closes in that moment, and is not taken for a greeting.
            let last = format!("HELLO ghost {connection}\n");
            let ended = ended(connection + 1);
            let frames: [(Kind, u32, u32, &[u8]); 2] =
                [(Kind::Received, 1, 5, last.as_bytes()), (Kind::ConnectionEnded, 1, 0, ended.as_bytes())];
            daemon.send_all(&frames).await;
            daemon.expect(Kind::Done, 5).await;
            daemon.wait(millis(10)).await;
            assert!(daemon.logged(&format!("heard HELLO ghost {connection}")), "{:?}", daemon.logs);
        }
    });
}

#[test]
fn a_command_for_a_makebreak_connection_that_just_ended_waits_for_the_login_to_the_next() {
    run(async {
        let mut daemon = idle().await;
        let call = daemon.begin(1, "power", json!([true])).await;
        for connection in 1..4 {
            daemon.signs_in(connection).await;
            let (on, sent, correlation) = daemon.transmitted(1).await;
            assert_eq!((on, sent.as_str()), (connection, "POWER true\n"));
            daemon.ends(connection + 1).await;
            daemon.send(Kind::Failed, 1, correlation, r#"{"code":"ended","message":"it is over"}"#).await;
        }
        // Once more, and no further: this device closes whenever it has let somebody in.
        daemon.signs_in(4).await;
        let (_, _, correlation) = daemon.transmitted(1).await;
        daemon.ends(5).await;
        daemon.send(Kind::Failed, 1, correlation, r#"{"code":"ended","message":"it is over"}"#).await;
        let failure = daemon.result(call).await.unwrap_err();
        assert_eq!((failure.code.as_str(), failure.message.as_str()), ("offline", "it is over"));
    });
}

#[test]
fn whoever_waits_for_a_login_on_a_makebreak_link_is_told_that_it_failed() {
    run(async {
        let mut daemon = idle().await;
        // Not let in; what came before the login was over is forgotten.
        let call = daemon.begin(1, "power", json!([true])).await;
        daemon.takes(0, "").await;
        daemon.received(1, "HELLO 7\n").await;
        daemon.takes(1, "SIGN 7\n").await;
        daemon.received(1, "HELLO 8\nNO\n").await;
        daemon.expect_kind(Kind::LoginFailed).await;
        assert_eq!(daemon.result(call).await.unwrap_err().message, "the device answered NO");
        daemon.ends(2).await;

        // Closed in the very moment in which it let the module in.
        let call = daemon.begin(1, "power", json!([true])).await;
        daemon.takes(0, "").await;
        daemon.received(1, "HELLO 9\n").await;
        daemon.takes(2, "SIGN 9\n").await;
        let ended = ended(3);
        let frames: [(Kind, u32, u32, &[u8]); 2] =
            [(Kind::Received, 1, 0, b"WELCOME\n"), (Kind::ConnectionEnded, 1, 0, ended.as_bytes())];
        daemon.send_all(&frames).await;
        let failure = daemon.result(call).await.unwrap_err();
        assert_eq!(failure.message, "Lamp: the connection ended during the login");

        // Not reachable.
        let call = daemon.begin(1, "power", json!([true])).await;
        let (_, _, correlation) = daemon.transmitted(1).await;
        daemon.link_down(1, "refused", "connection refused").await;
        daemon.send(Kind::Failed, 1, correlation, r#"{"code":"offline","message":"refused"}"#).await;
        assert_eq!(daemon.result(call).await.unwrap_err().message, "refused");

        let call = daemon.begin(1, "power", json!([true])).await;
        let (on, _, correlation) = daemon.transmitted(1).await;
        assert_eq!(on, 0);
        daemon.link_up(1, 4).await;
        daemon.send(Kind::Done, 1, correlation, "").await;
        daemon.received(1, "HELLO 7\n").await;
        daemon.takes(4, "SIGN 7\n").await;
        daemon.received(1, "WELCOME\n").await;
        daemon.takes(4, "POWER true\n").await;
        daemon.received(1, "OK\n").await;
        daemon.result(call).await.unwrap();
        assert!(!daemon.logged("heard"), "{:?}", daemon.logs);
    });
}

#[test]
fn where_no_bytes_would_be_a_message_the_login_itself_connects() {
    run(async {
        let mut daemon = Daemon::of::<Talker>().await;
        let link = json!({"connection": 1, "messages": true});
        let start = json!({"id": "mod-1", "name": "Lamp", "settings": {}, "makebreak": true, "link": link});
        daemon.start_with(1, start).await;
        let call = daemon.begin(1, "tell", json!([])).await;
        daemon.takes(0, "SIGN").await;
        daemon.received(1, "WELCOME").await;
        daemon.takes(0, "hello").await;
        daemon.result(call).await.unwrap();
    });
}

#[test]
fn the_login_and_what_waits_behind_it_are_not_replaced_by_each_other() {
    run(async {
        let mut daemon = Daemon::of::<Namesake>().await;
        assert_eq!(daemon.start(1, json!({}), None).await.kind(), Some(Kind::Done));
        let call = daemon.begin(1, "mode", json!([])).await;
        daemon.wait(millis(10)).await;
        daemon.link_up(1, 1).await;
        for sent in ["MODE login\n", "MODE function\n"] {
            assert_eq!(daemon.transmitted(1).await.1, sent);
            daemon.received(1, "OK\n").await;
        }
        daemon.result(call).await.unwrap();
    });
}

/// A command of its login has the name of a function's.
#[derive(Default)]
struct Namesake;

#[driver(name = "Namesake", module = "Namesake", tcp = 5000, framing = lines("\n"))]
impl Namesake {
    #[login]
    async fn sign_in(&self, cx: &Cx<Self>) -> Result {
        cx.send("MODE login").named("mode").reply(exact("OK")).await
    }

    #[function]
    async fn mode(&self, cx: &Cx<Self>) -> Result {
        cx.send("MODE function").named("mode").keep(secs(60)).reply(exact("OK")).await
    }
}

#[derive(Default)]
struct Talker;

#[driver(name = "Talker", module = "Talker", uri = "ws://localhost")]
impl Talker {
    #[login]
    async fn sign_in(&self, cx: &Cx<Self>) -> Result {
        cx.send("SIGN").reply(exact("WELCOME")).await
    }

    #[function]
    async fn tell(&self, cx: &Cx<Self>) -> Result {
        cx.send("hello").await
    }
}
