//! Commands and the link: one that is down, that takes nothing, or that is made for each command.

use drivers_sdk::prelude::*;
use drivers_sdk_protocol::Kind;
use serde_json::json;

use super::support::{Daemon, answer, run};
use super::{Lamp, connected};

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
