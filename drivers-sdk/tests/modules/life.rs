//! Starting, connecting, stopping.

use drivers_sdk::prelude::*;
use drivers_sdk_protocol::Kind;
use serde_json::json;

use super::support::{Daemon, answer, run};
use super::{LAMPS, Lamp, POLLS, started};

#[test]
fn a_module_starts_then_connects_then_disconnects() {
    run(async {
        let mut daemon = started(json!({"greeted": "you"}), Some(1)).await;
        assert!(daemon.logged("info: hello you"));
        daemon.wait(millis(2500)).await;
        let log = daemon.call(1, "log", json!([])).await.unwrap();
        assert_eq!(log, json!(["started", "connected", "after", "connected to the end"]));
        daemon.link_down(1, "reset", "").await;
        daemon.link_up(1, 2).await;
        daemon.wait(millis(500)).await;
        daemon.link_down(1, "reset", "").await;
        daemon.wait(secs(100)).await;
        let log = daemon.call(1, "log", json!([])).await.unwrap();
        assert_eq!(
            log,
            json!(["disconnected", "connected", "disconnected"]),
            "`connected` ends with its connection"
        );
    });
}

#[test]
fn schedules_of_a_connection_skip_what_they_missed_and_end_with_it() {
    run(async {
        let mut daemon = started(json!({}), Some(1)).await;
        daemon.wait(secs(61)).await;
        assert_eq!(daemon.status_of(1, "polls"), Some("2"));
        // The second run takes until 125 s; the marks of 90 and 120 s are skipped, not made up for.
        daemon.wait(secs(88)).await;
        assert_eq!(daemon.status_of(1, "polls"), Some("2"));
        daemon.wait(secs(2)).await;
        assert_eq!(daemon.status_of(1, "polls"), Some("3"));
        daemon.wait(secs(30)).await;
        assert_eq!(daemon.status_of(1, "polls"), Some("4"));
        let errors = daemon.logs.iter().filter(|(_, line)| line.contains("the same every time")).count();
        assert_eq!(errors, 1, "an error is logged once, not at every run");
        daemon.link_down(1, "reset", "").await;
        daemon.wait(secs(300)).await;
        assert_eq!(daemon.status_of(1, "polls"), Some("4"));
    });
}

#[test]
fn a_driver_that_does_not_want_to_start_says_why() {
    run(async {
        let mut daemon = Daemon::of::<Lamp>().await;
        let failure = answer(&daemon.start(1, json!({"mood": "refuse"}), None).await).unwrap_err();
        assert_eq!((failure.code.as_str(), failure.message.as_str()), ("moody", "not today"));
        let failure = answer(&daemon.start(2, json!({"mood": "panic"}), None).await).unwrap_err();
        assert_eq!((failure.code.as_str(), failure.message.as_str()), ("panic", "no settings like these"));
        let failure = answer(&daemon.start(3, json!({"poll_every": "often"}), None).await).unwrap_err();
        assert_eq!(failure.code, "bad_request");
        assert_eq!(failure.message, "setting `poll_every`: invalid type: string \"often\", expected u64");
        assert_eq!(daemon.start(4, json!({}), None).await.kind(), Some(Kind::Done));
    });
}

#[test]
fn a_driver_says_that_its_device_is_not_connected() {
    run(async {
        let mut daemon = started(json!({}), Some(3)).await;
        for (unplugged, said) in [
            (true, r#"{"connected":false,"reason":"the lamp is unplugged","connection":3}"#),
            (false, r#"{"connection":3}"#),
        ] {
            let call = daemon.begin(1, "unplugged", json!([unplugged])).await;
            assert_eq!(daemon.expect(Kind::Online, 0).await.payload, said);
            daemon.result(call).await.unwrap();
        }

        let mut older = Daemon::offering::<Lamp>(&[]).await;
        older.start(1, json!({}), Some(3)).await;
        older.call(1, "unplugged", json!([true])).await.unwrap();
        assert!(older.logged("`connected` is what the link says: this driver needs"));
    });
}

#[test]
fn a_stop_ends_calls_and_runs_the_handler_with_the_link_still_up() {
    run(async {
        let mut daemon = started(json!({}), Some(4)).await;
        let call = daemon.begin(1, "forever", json!([])).await;
        daemon.send(Kind::Stop, 1, 9, "").await;
        assert_eq!(daemon.result(call).await.unwrap_err().code, "stopped");
        let (connection, bytes, correlation) = daemon.transmitted(1).await;
        assert_eq!((connection, bytes.as_str()), (4, "bye\n"));
        assert_eq!(daemon.call(1, "power", json!([true])).await.unwrap_err().code, "stopped");
        daemon.send(Kind::Done, 1, correlation, "").await;
        daemon.expect(Kind::Done, 9).await;
        // What nothing uses any more is gone when the next frame comes; it may be of any module.
        assert_eq!((LAMPS.get(), POLLS.get()), (1, 0));
        daemon.start(2, json!({}), None).await;
        assert_eq!(LAMPS.get(), 1, "the one that has stopped is gone");
        daemon.wait(secs(1000)).await;
        assert_eq!(POLLS.get(), 0, "schedules ended as well");
    });
}

#[test]
fn a_stop_does_not_wait_for_a_handler_that_is_stuck() {
    run(async {
        let mut daemon = started(json!({"mood": "stuck"}), None).await;
        let began = tokio::time::Instant::now();
        daemon.send(Kind::Stop, 1, 9, "").await;
        daemon.expect(Kind::Done, 9).await;
        assert!(began.elapsed() >= secs(2) && began.elapsed() < secs(3), "the daemon allows three seconds");
        assert!(daemon.logged("cut short"));
    });
}

#[test]
fn a_stop_in_the_middle_of_started_answers_both() {
    run(async {
        let mut daemon = Daemon::of::<Lamp>().await;
        let start = json!({"id": "mod-1", "name": "Lamp", "settings": {"mood": "stuck"}}).to_string();
        daemon.send_all(&[(Kind::Start, 1, 1, start.as_bytes()), (Kind::Stop, 1, 2, b"")]).await;
        assert_eq!(answer(&daemon.expect(Kind::Failed, 1).await).unwrap_err().code, "stopped");
        daemon.expect(Kind::Done, 2).await;
    });
}

#[test]
fn a_connection_that_takes_anothers_place_ends_what_that_one_began() {
    run(async {
        let mut daemon = started(json!({"poll_every": u64::MAX}), Some(1)).await;
        daemon.wait(millis(500)).await;
        daemon.link_up(1, 2).await;
        daemon.link_up(1, 2).await;
        daemon.wait(secs(10)).await;
        let log = daemon.call(1, "log", json!([])).await.unwrap();
        let expected = ["started", "connected", "disconnected", "connected", "after", "connected to the end"];
        assert_eq!(log, json!(expected));
    });
}

#[test]
fn a_shutdown_stops_every_module_once() {
    run(async {
        let mut daemon = started(json!({}), Some(1)).await;
        daemon.start(2, json!({}), None).await;
        // However often it is told: the handler runs once, and has no more time than it had.
        let shutdown = (Kind::Shutdown, 0, 0, b"".as_slice());
        daemon.send_all(&[(Kind::Stop, 1, 9, b""), shutdown, shutdown]).await;
        let (_, bytes, correlation) = daemon.transmitted(1).await;
        assert_eq!(bytes, "bye\n");
        let began = tokio::time::Instant::now();
        daemon.wait(millis(500)).await;
        daemon.send(Kind::Done, 1, correlation, "").await;
        daemon.expect(Kind::Done, 9).await;
        assert!(began.elapsed() < secs(1), "its last command was answered");
        assert!(daemon.try_next().await.is_none());
        daemon.close().await.unwrap();
    });
}
