//! What is a reply, and what becomes of a command that gets none.

use drivers_sdk::prelude::*;
use serde_json::json;

use super::connected;
use super::support::run;

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
