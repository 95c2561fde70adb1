//! Who is sent when: turns, priorities, names, and callers that go away.

use drivers_sdk::prelude::*;
use drivers_sdk_protocol::Kind;
use serde_json::json;

use super::connected;
use super::support::{answer, run};

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
