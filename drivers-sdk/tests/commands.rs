//! The command queue, seen from the daemon: what is sent when, and what callers are told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use drivers_sdk::prelude::*;
use drivers_sdk_protocol::Kind;
use serde_json::json;
use support::{Daemon, answer, run};

#[derive(Default)]
struct Lamp {
    lines: RefCell<Vec<String>>,
}

#[driver(name = "Lamp", module = "Lamp", tcp = 5000, framing = lines("\n"), timeout_ms = 1000)]
impl Lamp {
    #[function]
    async fn ask(&self, cx: &Cx<Self>, what: String) -> Result<String> {
        let reply =
            cx.send(format!("{what}?")).reply(prefix(format!("{what}=")).unless(prefix("ERR"))).await?;
        Ok(reply.text().into_owned())
    }

    #[function]
    async fn level(&self, cx: &Cx<Self>, level: u8) -> Result {
        cx.send(format!("level {level}")).named("level").reply(exact("ok")).await
    }

    #[function]
    async fn urgent_level(&self, cx: &Cx<Self>, level: u8) -> Result {
        cx.send(format!("level {level}")).named("level").priority(10).reply(exact("ok")).await
    }

    #[function]
    async fn tell(&self, cx: &Cx<Self>, what: &str) -> Result {
        cx.send(what).await
    }

    #[function]
    async fn tell_and_ask(&self, cx: &Cx<Self>, what: &str) -> Result<String> {
        cx.send("told").named("told").reply(exact("ok")).no_wait();
        self.ask(cx, what.to_owned()).await
    }

    #[function]
    fn tick(&self, cx: &Cx<Self>) {
        cx.every(secs(1), async |_: &Lamp, cx: &Cx<Lamp>| cx.info("tick"));
    }

    #[function]
    async fn hour(&self, cx: &Cx<Self>) -> Result {
        cx.send("hour").timeout(secs(3600)).reply(exact("ok")).await
    }

    #[function]
    fn told(&self, cx: &Cx<Self>) {
        cx.send("told").named("told").reply(exact("ok")).no_wait();
    }

    #[function]
    async fn urgent(&self, cx: &Cx<Self>) -> Result {
        cx.send("urgent").priority(10).reply(exact("ok")).await
    }

    #[function]
    async fn patient(&self, cx: &Cx<Self>) -> Result {
        cx.send("patient").named("patience").timeout(millis(200)).retries(2).reply(exact("ok")).await
    }

    #[function]
    async fn slow(&self, cx: &Cx<Self>) -> Result {
        cx.send("slow").delay(secs(2)).reply(exact("ok")).await
    }

    #[function]
    async fn hasten(&self, cx: &Cx<Self>) -> Result {
        cx.send("haste").named("haste").timeout(millis(200)).await
    }

    #[function]
    async fn list(&self, cx: &Cx<Self>) -> Result<Vec<String>> {
        let lines = cx.send("list").reply(lines_until(exact("END")).unless(prefix("ACK"))).await?;
        Ok(lines.iter().map(|line| line.to_string()).collect())
    }

    #[function]
    async fn greeting(&self, cx: &Cx<Self>) -> Result<String> {
        Ok(cx.expect(prefix("HELLO ")).await?.to_string())
    }

    #[function]
    fn clear(&self, cx: &Cx<Self>) {
        cx.clear_queue();
    }

    #[function]
    fn seen(&self) -> Vec<String> {
        self.lines.take()
    }

    #[received]
    fn line(&self, line: String) {
        self.lines.borrow_mut().push(line);
    }
}

async fn connected() -> Daemon {
    let mut daemon = Daemon::of::<Lamp>().await;
    let answer = daemon.start(1, json!({}), Some(7)).await;
    assert_eq!(answer.kind(), Some(Kind::Done));
    daemon
}

#[test]
fn a_reply_answers_its_call_and_everything_else_is_received() {
    run(async {
        let mut daemon = connected().await;
        let call = daemon.begin(1, "ask", json!(["volume"])).await;
        assert_eq!(daemon.transmitted(1).await, (7, "volume?\n".into(), 0));
        daemon.received(1, "noise\nvolu").await;
        daemon.received(1, "me=12\nmore\n").await;
        assert_eq!(daemon.result(call).await.unwrap(), json!("12"));
        assert_eq!(daemon.call(1, "seen", json!([])).await.unwrap(), json!(["noise", "more"]));
    });
}

#[test]
fn a_refusal_of_the_device_is_an_error_of_the_call() {
    run(async {
        let mut daemon = connected().await;
        let call = daemon.begin(1, "ask", json!({"what": "power"})).await;
        daemon.transmitted(1).await;
        daemon.received(1, "ERR 3\n").await;
        let failure = daemon.result(call).await.unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.message.as_str()),
            ("device", "the device answered ERR 3")
        );
    });
}

#[test]
fn one_command_is_in_flight_and_the_others_wait_by_priority_then_age() {
    run(async {
        let mut daemon = connected().await;
        let first = daemon.begin(1, "ask", json!(["a"])).await;
        assert_eq!(daemon.transmitted(1).await.1, "a?\n");
        let second = daemon.begin(1, "ask", json!(["b"])).await;
        let third = daemon.begin(1, "ask", json!(["c"])).await;
        let urgent = daemon.begin(1, "urgent", json!([])).await;
        daemon.received(1, "a=1\n").await;
        daemon.result(first).await.unwrap();
        assert_eq!(daemon.transmitted(1).await.1, "urgent\n");
        daemon.received(1, "ok\n").await;
        daemon.result(urgent).await.unwrap();
        assert_eq!(daemon.transmitted(1).await.1, "b?\n");
        // A reply to what was not asked yet is no reply.
        daemon.received(1, "c=1\nb=2\n").await;
        assert_eq!(daemon.result(second).await.unwrap(), json!("2"));
        assert_eq!(daemon.transmitted(1).await.1, "c?\n");
        daemon.received(1, "c=3\n").await;
        assert_eq!(daemon.result(third).await.unwrap(), json!("3"));
        assert_eq!(daemon.call(1, "seen", json!([])).await.unwrap(), json!(["c=1"]));
    });
}

#[test]
fn a_newer_command_of_the_same_name_takes_the_place_of_the_one_that_waits() {
    run(async {
        let mut daemon = connected().await;
        let busy = daemon.begin(1, "ask", json!(["a"])).await;
        daemon.transmitted(1).await;
        let old = daemon.begin(1, "level", json!([1])).await;
        let behind = daemon.begin(1, "ask", json!(["b"])).await;
        let new = daemon.begin(1, "level", json!([2])).await;
        assert_eq!(daemon.result(old).await.unwrap_err().code, "replaced");
        daemon.received(1, "a=1\n").await;
        daemon.result(busy).await.unwrap();
        assert_eq!(daemon.transmitted(1).await.1, "level 2\n");
        // It is in flight now, so one more of that name waits instead of replacing it.
        let newest = daemon.begin(1, "level", json!([3])).await;
        daemon.received(1, "ok\n").await;
        daemon.result(new).await.unwrap();
        assert_eq!(daemon.transmitted(1).await.1, "b?\n");
        daemon.received(1, "b=1\n").await;
        daemon.result(behind).await.unwrap();
        assert_eq!(daemon.transmitted(1).await.1, "level 3\n");
        daemon.received(1, "ok\n").await;
        daemon.result(newest).await.unwrap();
    });
}

#[test]
fn a_newer_command_of_the_same_name_has_its_own_priority() {
    run(async {
        let mut daemon = connected().await;
        let busy = daemon.begin(1, "ask", json!(["a"])).await;
        daemon.transmitted(1).await;
        daemon.begin(1, "ask", json!(["b"])).await;
        let old = daemon.begin(1, "level", json!([1])).await;
        daemon.begin(1, "urgent_level", json!([2])).await;
        assert_eq!(daemon.result(old).await.unwrap_err().code, "replaced");
        // In its turn behind what is as urgent, and before everything else.
        daemon.begin(1, "urgent", json!([])).await;
        let newest = daemon.begin(1, "level", json!([3])).await;
        assert_eq!(answer(&daemon.next().await).unwrap_err().code, "replaced");
        daemon.received(1, "a=1\n").await;
        daemon.result(busy).await.unwrap();
        for (sent, said) in [("urgent\n", "ok\n"), ("b?\n", "b=1\n"), ("level 3\n", "ok\n")] {
            assert_eq!(daemon.transmitted(1).await.1, sent);
            daemon.received(1, said).await;
            let last = daemon.next().await;
            answer(&last).unwrap();
            assert_eq!(last.header.correlation == newest, sent == "level 3\n");
        }
    });
}

#[test]
fn a_command_without_a_reply_fails_in_its_time_if_the_device_takes_nothing() {
    run(async {
        let mut daemon = connected().await;
        for (function, args, told, time) in [
            ("hasten", json!([]), "`haste` was not sent within 200ms: the device takes nothing", millis(200)),
            (
                "tell",
                json!(["hello"]),
                "the command was not sent within 60s: the device takes nothing",
                secs(60),
            ),
        ] {
            let began = tokio::time::Instant::now();
            let call = daemon.begin(1, function, args).await;
            let (_, _, correlation) = daemon.transmitted(1).await;
            let failure = daemon.result(call).await.unwrap_err();
            assert_eq!((failure.code.as_str(), failure.message.as_str()), ("timeout", told));
            assert!(began.elapsed() - time < millis(10), "{:?}", began.elapsed());
            // Too late.
            daemon.send(Kind::Done, 1, correlation, "").await;
        }
        let call = daemon.begin(1, "hasten", json!([])).await;
        let (_, _, correlation) = daemon.transmitted(1).await;
        daemon.send(Kind::Done, 1, correlation, "").await;
        daemon.result(call).await.unwrap();
    });
}

#[test]
fn commands_fail_at_once_when_the_link_drops_and_while_it_is_down() {
    run(async {
        let mut daemon = connected().await;
        let flying = daemon.begin(1, "ask", json!(["a"])).await;
        daemon.transmitted(1).await;
        let waiting = daemon.begin(1, "ask", json!(["b"])).await;
        let began = tokio::time::Instant::now();
        daemon.link_down(1, "reset", "the device closed the connection").await;
        // The second may not have been looked at when the link dropped, so that it is told first.
        let mut told = Vec::new();
        for _ in 0..2 {
            let frame = daemon.next().await;
            told.push(frame.header.correlation);
            let failure = answer(&frame).unwrap_err();
            assert_eq!(failure.code, "offline");
            assert_eq!(failure.message, "Lamp is offline: the device closed the connection");
        }
        told.sort();
        assert_eq!(told, [flying, waiting]);
        assert_eq!(daemon.call(1, "ask", json!(["c"])).await.unwrap_err().code, "offline");
        assert_eq!(began.elapsed(), Duration::ZERO, "nobody waited for a time-out");
        daemon.link_up(1, 8).await;
        let call = daemon.begin(1, "ask", json!(["d"])).await;
        assert_eq!(daemon.transmitted(1).await, (8, "d?\n".into(), 0));
        daemon.received(1, "d=4\n").await;
        daemon.result(call).await.unwrap();
    });
}

#[test]
fn a_module_that_never_was_connected_says_so() {
    run(async {
        let mut daemon = Daemon::of::<Lamp>().await;
        daemon.start(1, json!({}), None).await;
        let failure = daemon.call(1, "tell", json!(["hello"])).await.unwrap_err();
        assert_eq!(failure.message, "Lamp is offline: it has not been connected yet");
    });
}

#[test]
fn a_command_without_a_reply_is_done_when_its_bytes_are_out() {
    run(async {
        let mut daemon = connected().await;
        let call = daemon.begin(1, "tell", json!(["hello"])).await;
        let (connection, bytes, correlation) = daemon.transmitted(1).await;
        assert_eq!((connection, bytes.as_str()), (7, "hello\n"));
        assert_ne!(correlation, 0, "the daemon must answer");
        daemon.send(Kind::Done, 1, correlation, "").await;
        assert_eq!(daemon.result(call).await.unwrap(), json!(null));

        let call = daemon.begin(1, "tell", json!(["again"])).await;
        let (_, _, correlation) = daemon.transmitted(1).await;
        daemon.send(Kind::Failed, 1, correlation, r#"{"code":"offline","message":"gone"}"#).await;
        assert_eq!(daemon.result(call).await.unwrap_err().message, "gone");
    });
}

#[test]
fn a_slow_command_holds_up_neither_schedules_nor_siblings_nor_stop() {
    run(async {
        let mut daemon = connected().await;
        daemon.start(2, json!({}), Some(8)).await;
        daemon.call(1, "tick", json!([])).await.unwrap();
        let slow = daemon.begin(1, "hour", json!([])).await;
        assert_eq!(daemon.transmitted(1).await.1, "hour\n");
        let waiting = daemon.begin(1, "ask", json!(["a"])).await;
        daemon.wait(millis(3500)).await;
        assert_eq!(daemon.logs.iter().filter(|(_, line)| line == "info: tick").count(), 3);

        let sibling = daemon.begin(2, "ask", json!(["b"])).await;
        assert_eq!(daemon.transmitted(2).await.1, "b?\n");
        daemon.received(2, "b=1\n").await;
        assert_eq!(daemon.result(sibling).await.unwrap(), json!("1"));

        let began = tokio::time::Instant::now();
        daemon.send(Kind::Stop, 1, 9, "").await;
        let mut ended = [daemon.next().await, daemon.next().await];
        ended.sort_by_key(|frame| frame.header.correlation);
        assert_eq!(ended.each_ref().map(|frame| frame.header.correlation), [slow, waiting]);
        for frame in &ended {
            assert_eq!(answer(frame).unwrap_err().code, "stopped");
        }
        daemon.expect(Kind::Done, 9).await;
        assert!(began.elapsed() < secs(1));
    });
}

#[test]
fn a_command_that_nobody_waits_for_goes_out_in_its_turn_and_outlives_its_call() {
    run(async {
        let mut daemon = connected().await;
        let call = daemon.begin(1, "tell_and_ask", json!(["a"])).await;
        assert_eq!(daemon.transmitted(1).await.1, "told\n");
        daemon.received(1, "ok\n").await;
        assert_eq!(daemon.transmitted(1).await.1, "a?\n");
        daemon.received(1, "a=1\n").await;
        assert_eq!(daemon.result(call).await.unwrap(), json!("1"));

        // Answered before the device has said anything; what becomes of the command is in the log.
        let call = daemon.begin(1, "told", json!([])).await;
        let mut frames = [daemon.next().await, daemon.next().await];
        frames.sort_by_key(|frame| frame.kind() == Some(Kind::Send));
        assert_eq!(frames[0].header.correlation, call);
        daemon.wait(secs(2)).await;
        assert!(
            daemon.logged("warn: `told` that nobody waits for: no reply to `told` within 1s"),
            "{:?}",
            daemon.logs
        );
        daemon.link_down(1, "reset", "").await;
        daemon.call(1, "told", json!([])).await.unwrap();
        assert!(daemon.logged("debug: `told` that nobody waits for: Lamp is offline"));
    });
}

#[test]
fn a_makebreak_link_is_always_sent_to_and_its_failure_reaches_the_caller() {
    run(async {
        let mut daemon = Daemon::of::<Lamp>().await;
        let start = json!({"id": "mod-1", "name": "Lamp", "settings": {}, "makebreak": true});
        daemon.start_with(1, start).await;
        let call = daemon.begin(1, "ask", json!(["a"])).await;
        let (connection, bytes, correlation) = daemon.transmitted(1).await;
        assert_eq!((connection, bytes.as_str()), (0, "a?\n"));
        daemon.link_down(1, "refused", "connection refused").await;
        let failure = daemon.result(call).await.unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.message.as_str()),
            ("offline", "Lamp is offline: connection refused")
        );
        daemon.send(Kind::Failed, 1, correlation, r#"{"code":"offline","message":"late"}"#).await;

        let call = daemon.begin(1, "ask", json!(["b"])).await;
        let (_, _, correlation) = daemon.transmitted(1).await;
        daemon.send(Kind::Failed, 1, correlation, r#"{"code":"offline","message":"refused"}"#).await;
        assert_eq!(daemon.result(call).await.unwrap_err().message, "refused");

        // Connecting may take longer than a reply may: the time of the reply begins when the bytes are out.
        let call = daemon.begin(1, "ask", json!(["c"])).await;
        let (_, _, correlation) = daemon.transmitted(1).await;
        daemon.wait(secs(8)).await;
        daemon.send(Kind::Done, 1, correlation, "").await;
        daemon.received(1, "c=1\n").await;
        assert_eq!(daemon.result(call).await.unwrap(), json!("1"));
    });
}

#[test]
fn a_makebreak_connection_that_ends_fails_what_was_sent_over_it_and_nothing_else() {
    run(async {
        let mut daemon = Daemon::of::<Lamp>().await;
        let start = json!({"id": "mod-1", "name": "Lamp", "settings": {}, "makebreak": true, "link": {"connection": 1}});
        daemon.start_with(1, start).await;
        let ended = json!({"reason": "closed", "detail": "the connection ended before the device answered"})
            .to_string();

        let answered = daemon.begin(1, "ask", json!(["a"])).await;
        let (_, _, correlation) = daemon.transmitted(1).await;
        daemon.send(Kind::Done, 1, correlation, "").await;
        daemon.received(1, "a=1\nhalf a li").await;
        daemon.send(Kind::ConnectionEnded, 1, 0, &ended).await;
        assert_eq!(
            daemon.result(answered).await.unwrap(),
            json!("1"),
            "answered, then closed: as it should be"
        );

        let began = tokio::time::Instant::now();
        let cut = daemon.begin(1, "ask", json!(["b"])).await;
        let next = daemon.begin(1, "ask", json!(["c"])).await;
        let (_, _, correlation) = daemon.transmitted(1).await;
        // Of the connection before: these bytes are not out yet.
        daemon.send(Kind::ConnectionEnded, 1, 0, &ended).await;
        daemon.send(Kind::Done, 1, correlation, "").await;
        daemon.send(Kind::ConnectionEnded, 1, 0, &ended).await;
        let failure = daemon.result(cut).await.unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.message.as_str()),
            ("offline", "Lamp: the connection ended before the device answered")
        );
        // The one that waited is sent now, and begins a stream of its own.
        let (_, bytes, correlation) = daemon.transmitted(1).await;
        assert_eq!(bytes, "c?\n");
        daemon.send(Kind::Done, 1, correlation, "").await;
        daemon.received(1, "c=3\n").await;
        assert_eq!(daemon.result(next).await.unwrap(), json!("3"));
        assert!(began.elapsed() < secs(1), "it waited for a time-out");
    });
}

#[test]
fn a_command_is_sent_again_and_then_given_up() {
    run(async {
        let mut daemon = connected().await;
        let began = tokio::time::Instant::now();
        let call = daemon.begin(1, "patient", json!([])).await;
        for _ in 0..3 {
            assert_eq!(daemon.transmitted(1).await.1, "patient\n");
        }
        let failure = daemon.result(call).await.unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.message.as_str()),
            ("timeout", "no reply to `patience` within 200ms")
        );
        assert_eq!(began.elapsed().as_millis() / 10, 60);

        let call = daemon.begin(1, "patient", json!([])).await;
        daemon.transmitted(1).await;
        daemon.transmitted(1).await;
        daemon.received(1, "ok\n").await;
        daemon.result(call).await.unwrap();
    });
}

#[test]
fn the_delay_of_a_command_holds_up_the_next() {
    run(async {
        let mut daemon = connected().await;
        let slow = daemon.begin(1, "slow", json!([])).await;
        daemon.transmitted(1).await;
        daemon.received(1, "ok\n").await;
        daemon.result(slow).await.unwrap();
        let began = tokio::time::Instant::now();
        let next = daemon.begin(1, "ask", json!(["a"])).await;
        daemon.transmitted(1).await;
        assert_eq!(began.elapsed().as_millis() / 10, 200);
        daemon.received(1, "a=1\n").await;
        daemon.result(next).await.unwrap();
    });
}

#[test]
fn a_reply_that_never_ends_fails_and_is_not_kept_without_bound() {
    run(async {
        let mut daemon = connected().await;
        let call = daemon.begin(1, "list", json!([])).await;
        daemon.transmitted(1).await;
        let lines = format!("{}\n", "x".repeat(1000)).repeat(100);
        for _ in 0..39 {
            daemon.received(1, &lines).await;
        }
        daemon.wait(millis(1)).await;
        assert!(!daemon.has_frames(), "so much is allowed");
        daemon.received(1, &lines.repeat(2)).await;
        let failure = daemon.result(call).await.unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.message.as_str()),
            ("device", "the reply does not end: more than 4194304 bytes of it came")
        );
        let call = daemon.begin(1, "list", json!([])).await;
        daemon.transmitted(1).await;
        daemon.received(1, "one\nEND\n").await;
        assert_eq!(daemon.result(call).await.unwrap(), json!(["one"]));
    });
}

#[test]
fn a_reply_of_several_lines_is_one() {
    run(async {
        let mut daemon = connected().await;
        let call = daemon.begin(1, "list", json!([])).await;
        daemon.transmitted(1).await;
        daemon.received(1, "one\ntwo\n").await;
        daemon.received(1, "END\n").await;
        assert_eq!(daemon.result(call).await.unwrap(), json!(["one", "two"]));
        let call = daemon.begin(1, "list", json!([])).await;
        daemon.transmitted(1).await;
        daemon.received(1, "one\nACK no\n").await;
        assert_eq!(daemon.result(call).await.unwrap_err().code, "device");
        assert_eq!(daemon.call(1, "seen", json!([])).await.unwrap(), json!([]));
    });
}

#[test]
fn a_cancelled_call_that_waits_is_never_sent() {
    run(async {
        let mut daemon = connected().await;
        let first = daemon.begin(1, "ask", json!(["a"])).await;
        daemon.transmitted(1).await;
        let second = daemon.begin(1, "ask", json!(["b"])).await;
        let third = daemon.begin(1, "ask", json!(["c"])).await;
        daemon.send(Kind::Cancel, 1, second, "").await;
        daemon.received(1, "a=1\n").await;
        daemon.result(first).await.unwrap();
        assert_eq!(daemon.transmitted(1).await.1, "c?\n");
        daemon.received(1, "c=1\n").await;
        daemon.result(third).await.unwrap();
    });
}

#[test]
fn a_cancelled_command_in_flight_keeps_its_turn_until_its_reply_or_its_time() {
    run(async {
        let mut daemon = connected().await;
        let first = daemon.begin(1, "level", json!([1])).await;
        daemon.transmitted(1).await;
        daemon.send(Kind::Cancel, 1, first, "").await;
        let second = daemon.begin(1, "level", json!([2])).await;
        // Were the second in flight, this would be taken for its reply.
        daemon.received(1, "ok\n").await;
        assert_eq!(daemon.transmitted(1).await.1, "level 2\n");
        daemon.received(1, "ok\n").await;
        daemon.result(second).await.unwrap();

        let third = daemon.begin(1, "level", json!([3])).await;
        daemon.transmitted(1).await;
        daemon.send(Kind::Cancel, 1, third, "").await;
        let began = tokio::time::Instant::now();
        let fourth = daemon.begin(1, "level", json!([4])).await;
        assert_eq!(daemon.transmitted(1).await.1, "level 4\n");
        assert!(began.elapsed() <= secs(1), "the time of the third's reply is over after that");
        daemon.received(1, "ok\n").await;
        daemon.result(fourth).await.unwrap();
    });
}

#[test]
fn what_is_expected_may_have_arrived_before() {
    run(async {
        let mut daemon = connected().await;
        let call = daemon.begin(1, "greeting", json!([])).await;
        daemon.received(1, "noise\nHELLO you\n").await;
        assert_eq!(daemon.result(call).await.unwrap(), json!("you"));
        let call = daemon.begin(1, "greeting", json!([])).await;
        let failure = daemon.result(call).await.unwrap_err();
        assert_eq!(failure.message, "the device did not say within 1s what was expected");
    });
}

#[test]
fn a_cleared_queue_tells_those_who_waited() {
    run(async {
        let mut daemon = connected().await;
        let first = daemon.begin(1, "ask", json!(["a"])).await;
        daemon.transmitted(1).await;
        let second = daemon.begin(1, "ask", json!(["b"])).await;
        let clear = daemon.begin(1, "clear", json!([])).await;
        daemon.result(clear).await.unwrap();
        assert_eq!(daemon.result(second).await.unwrap_err().code, "replaced");
        daemon.received(1, "a=1\n").await;
        daemon.result(first).await.unwrap();
    });
}
