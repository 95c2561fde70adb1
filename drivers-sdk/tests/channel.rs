//! The channel itself: greeting, ping, shutdown, garbage, end-of-file, and a system's other modules.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use drivers_sdk::prelude::*;
use drivers_sdk_protocol::Kind;
use serde_json::json;
use support::{Daemon, answer, run};

#[derive(Default)]
struct Room {
    seen: RefCell<Vec<Option<bool>>>,
}

#[driver(name = "Room", module = "Room", logic)]
impl Room {
    #[function]
    async fn power(&self, cx: &Cx<Self>, on: bool) -> Result<Value> {
        cx.system().module("Display", 2).call("power", (on,)).await
    }

    #[function]
    async fn lamp_hours(&self, cx: &Cx<Self>) -> Result<Option<u32>> {
        cx.system().module("Display", 1).status("lamp_hours").await
    }

    #[function]
    async fn all_off(&self, cx: &Cx<Self>) -> usize {
        let results = cx.system().all("Display").call("off", ()).await;
        results.iter().filter(|result| result.is_ok()).count()
    }

    #[function]
    fn follow(&self, cx: &Cx<Self>) {
        cx.system().module("Display", 1).subscribe("power", Self::display);
    }

    #[function]
    async fn follow_for(&self, cx: &Cx<Self>, seconds: u64) {
        let subscription = cx.system().module("Display", 1).subscribe("power", Self::display);
        sleep(secs(seconds)).await;
        subscription.cancel();
    }

    async fn display(&self, _: &Cx<Self>, power: Option<bool>) {
        self.seen.borrow_mut().push(power);
        sleep(secs(1)).await;
    }

    #[function]
    fn seen(&self) -> Vec<Option<bool>> {
        self.seen.take()
    }

    #[function]
    fn modules(&self, cx: &Cx<Self>) -> Vec<(String, u32)> {
        let system = cx.system();
        system.names().into_iter().map(|name| (name.clone(), system.count(&name))).collect()
    }

    #[function]
    fn chatter(&self, cx: &Cx<Self>, lines: u32) {
        for line in 0..lines {
            cx.info(format!("line {line} {}", "x".repeat(1000)));
        }
    }

    #[system_changed]
    fn system_changed(&self, cx: &Cx<Self>) {
        cx.info(format!("{} displays", cx.system().count("Display")));
    }
}

async fn room() -> Daemon {
    let mut daemon = Daemon::of::<Room>().await;
    let start = json!({
        "id": "mod-1", "name": "Room", "settings": {},
        "system": {"id": "sys-1", "name": "Room 101", "modules": {"Display": 2, "Room": 1}}
    });
    daemon.start_with(1, start).await;
    daemon
}

#[test]
fn another_module_is_called_and_its_status_read() {
    run(async {
        let mut daemon = room().await;
        let call = daemon.begin(1, "power", json!([true])).await;
        let frame = daemon.next().await;
        assert_eq!(frame.kind(), Some(Kind::CallModule));
        let asked = r#"{"module":"Display","index":2,"function":"power","args":[true],"call":"#;
        assert_eq!(
            frame.payload,
            format!("{asked}{call}}}"),
            "it says for which call, whose deadline it has"
        );
        daemon.send(Kind::Done, 1, frame.header.correlation, "[1, 2]").await;
        assert_eq!(daemon.result(call).await.unwrap(), json!([1, 2]));

        for (payload, expected) in
            [("1200", Ok(json!(1200))), ("", Ok(json!(null))), ("\"x\"", Err("driver"))]
        {
            let call = daemon.begin(1, "lamp_hours", json!([])).await;
            let frame = daemon.next().await;
            assert_eq!(frame.kind(), Some(Kind::ReadStatus));
            daemon.send(Kind::Done, 1, frame.header.correlation, payload).await;
            assert_eq!(
                daemon.result(call).await.map_err(|failure| failure.code),
                expected.map_err(str::to_owned)
            );
        }
    });
}

#[test]
fn all_modules_of_a_name_are_called_at_the_same_time() {
    run(async {
        let mut daemon = room().await;
        let call = daemon.begin(1, "all_off", json!([])).await;
        let (first, second) = (daemon.next().await, daemon.next().await);
        assert!(String::from_utf8_lossy(&first.payload).contains(r#""index":1,"function":"off","args":[]"#));
        daemon.send(Kind::Done, 1, second.header.correlation, "true").await;
        daemon.send(Kind::Failed, 1, first.header.correlation, r#"{"code":"offline","message":"x"}"#).await;
        assert_eq!(daemon.result(call).await.unwrap(), json!(1));
    });
}

#[test]
fn a_subscription_gives_values_in_order_and_the_newest_to_one_that_is_busy() {
    run(async {
        let mut daemon = room().await;
        let follow = daemon.begin(1, "follow", json!([])).await;
        let subscribe = daemon.next().await;
        assert_eq!(subscribe.kind(), Some(Kind::Subscribe));
        assert_eq!(subscribe.payload, r#"{"module":"Display","index":1,"key":"power"}"#.as_bytes());
        let number = subscribe.header.correlation;
        daemon.result(follow).await.unwrap();
        daemon.send(Kind::Done, 1, number, "").await;
        daemon.send(Kind::Notify, 1, number, "true").await;
        daemon.wait(millis(500)).await;
        for value in ["false", "true", "false"] {
            daemon.send(Kind::Notify, 1, number, value).await;
        }
        daemon.wait(secs(1)).await;
        daemon.send(Kind::Notify, 1, number, "").await;
        daemon.send(Kind::Notify, 1, number, "12").await;
        daemon.wait(secs(1)).await;
        daemon.send(Kind::Notify, 1, number, "").await;
        daemon.wait(secs(1)).await;
        let seen = daemon.call(1, "seen", json!([])).await.unwrap();
        assert_eq!(seen, json!([true, false, null]));
        assert!(
            daemon
                .logged("warn: status `power` of Display_1: invalid type: integer `12`, expected a boolean")
        );

        let call = daemon.begin(1, "follow_for", json!([3])).await;
        let number = daemon.expect_kind(Kind::Subscribe).await.header.correlation;
        assert_eq!(daemon.expect_kind(Kind::Unsubscribe).await.header.correlation, number);
        daemon.result(call).await.unwrap();
        daemon.send(Kind::Notify, 1, number, "true").await;
        daemon.wait(secs(1)).await;
        assert_eq!(daemon.call(1, "seen", json!([])).await.unwrap(), json!([]));
    });
}

#[test]
fn the_system_is_as_the_daemon_says() {
    run(async {
        let mut daemon = room().await;
        let modules = daemon.call(1, "modules", json!([])).await.unwrap();
        assert_eq!(modules, json!([["Display", 2], ["Room", 1]]));
        daemon.send(Kind::System, 1, 0, r#"{"id":"sys-1","name":"Room 101","modules":{"Display":3}}"#).await;
        assert_eq!(daemon.call(1, "modules", json!([])).await.unwrap(), json!([["Display", 3]]));
        assert!(daemon.logged("3 displays"));
    });
}

#[test]
fn a_ping_is_answered_while_modules_are_busy() {
    run(async {
        let mut daemon = room().await;
        daemon.begin(1, "follow_for", json!([1000])).await;
        daemon.next().await;
        daemon.send(Kind::Ping, 0, 44, "").await;
        daemon.expect(Kind::Pong, 44).await;
    });
}

#[test]
fn end_of_file_and_shutdown_end_the_process() {
    run(async {
        room().await.close().await.unwrap();

        let mut daemon = room().await;
        daemon.send(Kind::Shutdown, 0, 0, "").await;
        while daemon.try_next().await.is_some() {}
        daemon.close().await.unwrap();
    });
}

#[test]
fn a_malformed_frame_closes_the_channel_with_a_reason() {
    run(async {
        let mut daemon = room().await;
        daemon.raw(&[0, 0, 0, 0, 48, 0, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0]).await;
        let goodbye = daemon.expect(Kind::Goodbye, 0).await;
        assert!(String::from_utf8_lossy(&goodbye.payload).contains("malformed"));
        assert!(daemon.try_next().await.is_none());
        daemon.close().await.unwrap_err();
    });
}

#[test]
fn a_daemon_of_another_age_is_told_what_to_do() {
    run(async {
        let mut daemon = room().await;
        daemon.send(Kind::Hello, 0, 0, r#"{"versions":[7,9],"features":["x"]}"#).await;
        let goodbye = daemon.expect(Kind::Goodbye, 0).await;
        let text = String::from_utf8_lossy(&goodbye.payload).into_owned();
        assert!(text.contains("speaks versions 1 to 1") && text.contains("newer drivers-sdk"), "{text}");
    });
}

#[test]
fn unknown_kinds_and_payloads_that_are_no_json_are_survived() {
    run(async {
        let mut daemon = room().await;
        daemon.raw(&[1, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, b'x']).await;
        daemon.send(Kind::LinkUp, 1, 0, "nonsense").await;
        daemon.send(Kind::System, 1, 0, "{").await;
        daemon.send(Kind::Done, 1, 4242, "nobody asked").await;
        daemon.send(Kind::Notify, 1, 4242, "nobody asked").await;
        daemon.send(Kind::Call, 1, 6, "[]").await;
        assert_eq!(answer(&daemon.expect(Kind::Failed, 6).await).unwrap_err().code, "bad_request");
        daemon.send(Kind::Start, 9, 7, "{}").await;
        assert_eq!(answer(&daemon.expect(Kind::Failed, 7).await).unwrap_err().code, "bad_request");
        daemon.send(Kind::Call, 99, 8, r#"{"function":"seen","args":[]}"#).await;
        assert_eq!(answer(&daemon.expect(Kind::Failed, 8).await).unwrap_err().code, "stopped");
        assert_eq!(daemon.call(1, "seen", json!([])).await.unwrap(), json!([]));
        assert!(daemon.logged("a message of the daemon cannot be read"));
    });
}

#[test]
fn a_chatty_module_loses_log_lines_and_says_how_many() {
    run(async {
        let mut daemon = room().await;
        let first = daemon.begin(1, "chatter", json!([10000])).await;
        daemon.result(first).await.unwrap();
        let kept = daemon.logs.len();
        assert!((1000..9000).contains(&kept), "{kept}");
        daemon.call(1, "chatter", json!([1])).await.unwrap();
        let lost = format!("{} log lines of this process were dropped", 10000 - kept);
        assert!(daemon.logged(&lost), "{:?}", daemon.logs.last());
    });
}
