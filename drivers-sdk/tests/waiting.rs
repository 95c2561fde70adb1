//! Commands that wait: for a link that is down, and for a turn on a connection that several modules share.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use drivers_sdk::prelude::*;
use drivers_sdk_protocol::{Kind, feature};
use serde_json::json;
use support::{Daemon, answer, run};

#[derive(Default)]
struct Lamp;

#[driver(name = "Lamp", module = "Lamp", tcp = 5000, framing = lines("\n"), timeout_ms = 1000)]
impl Lamp {
    #[function]
    async fn ask(&self, cx: &Cx<Self>, what: String) -> Result<String> {
        Ok(cx.send(format!("{what}?")).reply(prefix(format!("{what}="))).await?.to_string())
    }

    #[function]
    async fn keep(&self, cx: &Cx<Self>, what: String, seconds: u64) -> Result<String> {
        let command = cx.send(format!("{what}?")).reply(prefix(format!("{what}=")));
        Ok(command.keep(secs(seconds)).await?.to_string())
    }

    #[function]
    async fn level(&self, cx: &Cx<Self>, level: u8) -> Result {
        cx.send(format!("level {level}")).named("level").keep(secs(60)).await
    }

    #[function]
    async fn slow(&self, cx: &Cx<Self>) -> Result {
        cx.send("slow").delay(secs(2)).await
    }

    #[function]
    async fn hear(&self, cx: &Cx<Self>) -> Result {
        cx.expect(exact("bell")).await
    }
}

async fn start(link: serde_json::Value) -> Daemon {
    let mut daemon = Daemon::of::<Lamp>().await;
    daemon.start(1, json!({}), None).await;
    if !link.is_null() {
        daemon.link_up_with(1, link).await;
    }
    daemon
}

/// Answers the command that must be the next frame.
async fn reply(daemon: &mut Daemon, sent: &str, said: &str) {
    assert_eq!(daemon.transmitted(1).await.1, sent);
    daemon.received(1, said).await;
}

// === The link is down ===

#[test]
fn kept_commands_go_out_in_order_when_the_link_is_back() {
    run(async {
        let mut daemon = start(json!(null)).await;
        let first = daemon.begin(1, "keep", json!(["a", 60])).await;
        let second = daemon.begin(1, "keep", json!(["b", 60])).await;
        assert_eq!(daemon.call(1, "ask", json!(["c"])).await.unwrap_err().code, "offline");
        daemon.wait(secs(30)).await;
        daemon.link_up(1, 1).await;
        let third = daemon.begin(1, "ask", json!(["c"])).await;
        for (call, name) in [(first, "a"), (second, "b"), (third, "c")] {
            reply(&mut daemon, &format!("{name}?\n"), &format!("{name}=1\n")).await;
            daemon.result(call).await.unwrap();
        }
    });
}

#[test]
fn a_kept_command_fails_at_its_deadline_and_is_not_sent_after_it() {
    run(async {
        let mut daemon = start(json!(null)).await;
        daemon.link_down(1, "refused", "nothing listens there").await;
        let began = tokio::time::Instant::now();
        let short = daemon.begin(1, "keep", json!(["a", 3])).await;
        let long = daemon.begin(1, "keep", json!(["b", 60])).await;
        let failure = daemon.result(short).await.unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.message.as_str()),
            ("offline", "Lamp is offline: nothing listens there")
        );
        assert_eq!(began.elapsed().as_secs(), 3);
        daemon.link_up(1, 1).await;
        reply(&mut daemon, "b?\n", "b=1\n").await;
        daemon.result(long).await.unwrap();
    });
}

#[test]
fn what_waits_is_kept_and_what_was_sent_fails_when_the_link_goes_down() {
    run(async {
        let mut daemon = start(json!({"connection": 1})).await;
        let flying = daemon.begin(1, "keep", json!(["a", 60])).await;
        daemon.transmitted(1).await;
        let waiting = daemon.begin(1, "ask", json!(["b"])).await;
        let kept = daemon.begin(1, "keep", json!(["c", 60])).await;
        daemon.wait(millis(10)).await;
        daemon.link_down(1, "reset", "").await;
        let mut told = [daemon.next().await, daemon.next().await];
        told.sort_by_key(|frame| frame.header.correlation);
        assert_eq!(told.each_ref().map(|frame| frame.header.correlation), [flying, waiting]);
        for frame in &told {
            assert_eq!(answer(frame).unwrap_err().code, "offline");
        }
        // Down once more before it had its turn: it is still kept, and in its place.
        daemon.link_down(1, "refused", "").await;
        let behind = daemon.begin(1, "keep", json!(["d", 60])).await;
        daemon.link_up(1, 2).await;
        reply(&mut daemon, "c?\n", "c=1\n").await;
        daemon.result(kept).await.unwrap();
        reply(&mut daemon, "d?\n", "d=1\n").await;
        daemon.result(behind).await.unwrap();
    });
}

#[test]
fn a_kept_command_that_had_its_turn_and_was_not_sent_has_another() {
    run(async {
        let mut daemon = start(json!({"connection": 1})).await;
        let slow = daemon.begin(1, "slow", json!([])).await;
        let (_, _, correlation) = daemon.transmitted(1).await;
        daemon.send(Kind::Done, 1, correlation, "").await;
        daemon.result(slow).await.unwrap();
        // It has its turn, and waits until the device may be sent something.
        let kept = daemon.begin(1, "keep", json!(["a", 60])).await;
        daemon.wait(millis(500)).await;
        daemon.link_down(1, "reset", "").await;
        daemon.wait(secs(10)).await;
        daemon.link_up(1, 2).await;
        assert_eq!(daemon.transmitted(1).await, (2, "a?\n".into(), 0));
        daemon.received(1, "a=1\n").await;
        daemon.result(kept).await.unwrap();
    });
}

#[test]
fn of_kept_commands_of_one_name_the_last_is_sent_and_a_cancelled_one_is_not() {
    run(async {
        let mut daemon = start(json!(null)).await;
        let old = daemon.begin(1, "level", json!([1])).await;
        let cancelled = daemon.begin(1, "keep", json!(["a", 60])).await;
        let new = daemon.begin(1, "level", json!([2])).await;
        assert_eq!(daemon.result(old).await.unwrap_err().code, "replaced");
        daemon.send(Kind::Cancel, 1, cancelled, "").await;
        daemon.link_up(1, 1).await;
        let (_, sent, correlation) = daemon.transmitted(1).await;
        assert_eq!(sent, "level 2\n");
        daemon.send(Kind::Done, 1, correlation, "").await;
        daemon.result(new).await.unwrap();
        daemon.wait(secs(1)).await;
        assert_eq!(daemon.call(1, "nothing", json!([])).await.unwrap_err().code, "unknown_function");
    });
}

#[test]
fn a_module_that_stops_tells_the_callers_of_kept_commands() {
    run(async {
        let mut daemon = start(json!(null)).await;
        let call = daemon.begin(1, "keep", json!(["a", 60])).await;
        daemon.send(Kind::Stop, 1, 5, "").await;
        assert_eq!(daemon.result(call).await.unwrap_err().code, "stopped");
        daemon.expect(Kind::Done, 5).await;
    });
}

// === Turns ===

/// A module on a shared connection.
async fn shared() -> Daemon {
    start(json!({"connection": 1, "turns": true})).await
}

/// Gives the module the turn that it asks for in the next frame.
async fn give(daemon: &mut Daemon) {
    let acquire = daemon.expect_kind(Kind::Acquire).await;
    daemon.send(Kind::Done, 1, acquire.header.correlation, "").await;
}

#[test]
fn a_command_takes_a_turn_and_gives_it_back_after_its_reply() {
    run(async {
        let mut daemon = shared().await;
        let first = daemon.begin(1, "ask", json!(["a"])).await;
        let second = daemon.begin(1, "ask", json!(["b"])).await;
        let acquire = daemon.expect_kind(Kind::Acquire).await;
        daemon.wait(secs(30)).await;
        daemon.send(Kind::Done, 1, acquire.header.correlation, "").await;
        reply(&mut daemon, "a?\n", "a=1\n").await;
        // Given back before the next command asks, so that the others have theirs in between.
        daemon.expect_kind(Kind::Release).await;
        let mut next = [daemon.next().await, daemon.next().await];
        next.sort_by_key(|frame| frame.kind() == Some(Kind::Acquire));
        assert_eq!(next[0].header.correlation, first);
        assert_eq!(next[1].kind(), Some(Kind::Acquire));
        daemon.send(Kind::Done, 1, next[1].header.correlation, "").await;
        reply(&mut daemon, "b?\n", "b=1\n").await;
        daemon.expect_kind(Kind::Release).await;
        daemon.result(second).await.unwrap();
    });
}

#[test]
fn a_turn_ends_with_a_time_out_and_a_refusal() {
    run(async {
        let mut daemon = shared().await;
        let call = daemon.begin(1, "ask", json!(["a"])).await;
        give(&mut daemon).await;
        daemon.transmitted(1).await;
        daemon.expect_kind(Kind::Release).await;
        assert_eq!(daemon.result(call).await.unwrap_err().code, "timeout");

        let call = daemon.begin(1, "ask", json!(["a"])).await;
        let acquire = daemon.expect_kind(Kind::Acquire).await;
        let refusal = r#"{"code":"timeout","message":"the bus is never free"}"#;
        daemon.send(Kind::Failed, 1, acquire.header.correlation, refusal).await;
        daemon.expect_kind(Kind::Release).await;
        assert_eq!(daemon.result(call).await.unwrap_err().message, "the bus is never free");
    });
}

#[test]
fn a_call_that_is_cancelled_while_it_waits_for_its_turn_does_not_want_it_any_more() {
    run(async {
        let mut daemon = shared().await;
        let call = daemon.begin(1, "ask", json!(["a"])).await;
        let acquire = daemon.expect_kind(Kind::Acquire).await;
        daemon.send(Kind::Cancel, 1, call, "").await;
        daemon.expect_kind(Kind::Release).await;
        let taken_back = r#"{"code":"replaced","message":"taken back"}"#;
        daemon.send(Kind::Failed, 1, acquire.header.correlation, taken_back).await;

        // One in flight keeps the turn until its reply, which would be taken for another module's.
        let call = daemon.begin(1, "ask", json!(["b"])).await;
        give(&mut daemon).await;
        daemon.transmitted(1).await;
        daemon.send(Kind::Cancel, 1, call, "").await;
        daemon.wait(millis(500)).await;
        daemon.received(1, "b=1\n").await;
        daemon.expect_kind(Kind::Release).await;
    });
}

#[test]
fn a_link_that_goes_down_ends_turns_and_a_kept_command_asks_again() {
    run(async {
        let mut daemon = shared().await;
        let lost = daemon.begin(1, "ask", json!(["a"])).await;
        give(&mut daemon).await;
        daemon.transmitted(1).await;
        daemon.link_down(1, "serial", "unplugged").await;
        daemon.expect_kind(Kind::Release).await;
        assert_eq!(daemon.result(lost).await.unwrap_err().code, "offline");

        daemon.link_up_with(1, json!({"connection": 2, "turns": true})).await;
        let kept = daemon.begin(1, "keep", json!(["b", 60])).await;
        let acquire = daemon.expect_kind(Kind::Acquire).await;
        // The refusal comes before the news.
        let refusal = r#"{"code":"offline","message":"unplugged"}"#;
        daemon.send(Kind::Failed, 1, acquire.header.correlation, refusal).await;
        daemon.wait(millis(10)).await;
        daemon.link_down(1, "serial", "unplugged").await;
        daemon.expect_kind(Kind::Release).await;
        daemon.link_up_with(1, json!({"connection": 3, "turns": true})).await;
        give(&mut daemon).await;
        reply(&mut daemon, "b?\n", "b=1\n").await;
        daemon.expect_kind(Kind::Release).await;
        daemon.result(kept).await.unwrap();
    });
}

#[test]
fn what_sends_nothing_needs_no_turn_and_neither_does_a_connection_of_ones_own() {
    run(async {
        let mut daemon = shared().await;
        let call = daemon.begin(1, "hear", json!([])).await;
        daemon.received(1, "bell\n").await;
        daemon.result(call).await.unwrap();
        daemon.link_up(1, 2).await;
        daemon.begin(1, "ask", json!(["a"])).await;
        assert_eq!(daemon.transmitted(1).await.1, "a?\n");
    });
}

#[test]
fn a_module_that_stops_gives_its_turn_back_before_its_last_frame() {
    run(async {
        let mut daemon = shared().await;
        let call = daemon.begin(1, "ask", json!(["a"])).await;
        give(&mut daemon).await;
        daemon.transmitted(1).await;
        daemon.send(Kind::Stop, 1, 5, "").await;
        let mut kinds = Vec::new();
        for _ in 0..3 {
            let frame = daemon.next().await;
            kinds.push((frame.kind().unwrap(), frame.header.correlation));
        }
        assert_eq!(kinds, [(Kind::Failed, call), (Kind::Release, 0), (Kind::Done, 5)]);
    });
}

#[test]
fn a_daemon_that_knows_no_turns_says_so_in_no_link() {
    run(async {
        let mut daemon = Daemon::offering::<Lamp>(&[feature::SEND]).await;
        daemon.start(1, json!({}), Some(1)).await;
        daemon.begin(1, "ask", json!(["a"])).await;
        assert_eq!(daemon.transmitted(1).await.1, "a?\n");
    });
}
