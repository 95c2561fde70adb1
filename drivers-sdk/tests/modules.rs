//! The life of modules, seen from the daemon: starting, stopping, handlers, panics, settings, status.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::unnecessary_literal_unwrap,
    reason = "modules that panic are what is tested"
)]

mod support;

use drivers_sdk::prelude::*;
use drivers_sdk_protocol::Kind;
use drivers_sdk_protocol::message::Failure;
use serde_json::json;
use support::{Daemon, answer, run};

#[derive(Settings)]
struct LampSettings {
    /// Seconds between two polls.
    #[setting(default = 30)]
    poll_every: u64,
    /// Who is greeted.
    #[setting(default = "nobody")]
    greeted: String,
    password: Option<Secret>,
    /// What to do: `refuse`, `panic`.
    mood: Option<String>,
}

#[derive(Default, Status)]
struct LampStatus {
    power: Option<bool>,
    level: u8,
    polls: u32,
}

struct Lamp {
    greeted: String,
    log: RefCell<Vec<String>>,
}

#[driver(
    name = "Lamp",
    module = "Lamp",
    tcp = 5000,
    framing = lines("\n"),
    settings = LampSettings,
    status = LampStatus
)]
impl Lamp {
    #[create]
    fn create(settings: &LampSettings) -> Result<Self> {
        match settings.mood.as_deref() {
            Some("refuse") => return Err(Error::new("moody", "not today")),
            Some("panic") => panic!("no settings like these"),
            _ => {}
        }
        Ok(Lamp { greeted: settings.greeted.clone(), log: RefCell::default() })
    }

    fn note(&self, what: impl Into<String>) {
        self.log.borrow_mut().push(what.into());
    }

    #[started]
    async fn started(&self, cx: &Cx<Self>) {
        self.note("started");
        sleep(millis(10)).await;
        cx.info(format!("hello {}", self.greeted));
    }

    #[stopped]
    async fn stopped(&self, cx: &Cx<Self>) -> Result {
        if cx.settings().mood.as_deref() == Some("stuck") {
            std::future::pending::<()>().await;
        }
        cx.send("bye").await
    }

    #[connected]
    async fn connected(&self, cx: &Cx<Self>) -> Result {
        self.note("connected");
        cx.every(secs(cx.settings().poll_every), Self::poll);
        cx.after(secs(1), async |lamp: &Lamp, _: &Cx<Lamp>| lamp.note("after"));
        sleep(secs(2)).await;
        self.note("connected to the end");
        Ok(())
    }

    #[disconnected]
    fn disconnected(&self, cx: &Cx<Self>) {
        self.note("disconnected");
        cx.status.set(|status| status.power = None);
    }

    #[settings_changed]
    fn settings_changed(&self, cx: &Cx<Self>) {
        self.note(format!("settings {}", cx.settings().poll_every));
    }

    #[received]
    async fn received(&self, line: String) -> Result {
        match &*line {
            "panic" => panic!("a line too many"),
            "pause" => sleep(secs(5)).await,
            "bad" => return Err(Error::device("a bad line")),
            _ => {}
        }
        self.note(line);
        Ok(())
    }

    async fn poll(&self, cx: &Cx<Self>) -> Result {
        cx.status.set(|status| status.polls += 1);
        // Longer than the period, now and then.
        if cx.status.get(|status| status.polls) == 2 {
            sleep(secs(65)).await;
        }
        Err(Error::device("the same every time"))
    }

    #[function]
    fn log(&self) -> Vec<String> {
        self.log.take()
    }

    #[function]
    fn power(&self, cx: &Cx<Self>, on: bool, level: Option<u8>) -> bool {
        cx.status.set(|status| {
            status.power = Some(on);
            status.level = level.unwrap_or(status.level);
        });
        on
    }

    #[function]
    fn break_down(&self, cx: &Cx<Self>) {
        let missing = cx.settings().mood.clone();
        cx.info("about to break");
        missing.expect("a bulb");
    }

    #[function]
    async fn forever(&self) {
        std::future::pending::<()>().await;
    }

    #[function]
    async fn save(&self, cx: &Cx<Self>, level: u8) -> Result {
        cx.save_setting("level", &level).await
    }

    #[function]
    fn secret(&self, cx: &Cx<Self>) -> String {
        format!("{:?} {}", cx.settings().password, cx.settings().password.as_ref().unwrap().reveal())
    }

    #[function]
    fn unplugged(&self, cx: &Cx<Self>, unplugged: bool) {
        if unplugged { cx.set_connected(false, "the lamp is unplugged") } else { cx.clear_connected() }
    }

    #[function]
    fn fail(&self) -> Result<u8> {
        Ok("x".parse::<u8>()?)
    }

    #[function]
    fn unknown_keys(&self, cx: &Cx<Self>) -> Result {
        cx.status.set_key("input.voltage", &230)
    }
}

async fn started(settings: serde_json::Value, link: Option<u64>) -> Daemon {
    let mut daemon = Daemon::of::<Lamp>().await;
    let answer = daemon.start(1, settings, link).await;
    assert_eq!(answer.kind(), Some(Kind::Done));
    daemon
}

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
fn a_panic_in_a_function_ends_its_module_alone_and_tells_every_caller() {
    run(async {
        let mut daemon = started(json!({}), Some(1)).await;
        daemon.start(2, json!({}), Some(1)).await;
        let other = daemon.begin(1, "forever", json!([])).await;
        let sibling = daemon.begin(2, "forever", json!([])).await;
        let call = daemon.begin(1, "break_down", json!([])).await;
        let mut told = Vec::new();
        for _ in 0..2 {
            let frame = daemon.next().await;
            let failure = answer(&frame).unwrap_err();
            assert_eq!((failure.code.as_str(), failure.message.as_str()), ("panic", "a bulb"));
            told.push(frame.header.correlation);
        }
        told.sort();
        assert_eq!(told, [other, call]);
        let frame = daemon.expect(Kind::ModuleFailed, 0).await;
        let failure: Failure = serde_json::from_slice(&frame.payload).unwrap();
        assert!(failure.place.unwrap().contains("tests/modules.rs:"));
        assert!(failure.backtrace.iter().any(|line| line.contains("break_down")), "{:?}", failure.backtrace);
        assert!(
            !failure
                .backtrace
                .iter()
                .any(|line| line.contains("tokio::") || line.contains("core::panicking")),
            "{:?}",
            failure.backtrace
        );
        assert!(daemon.logged("fatal: panic at "));

        // The sibling works on, and its call is still there; the daemon may not know of the failure yet.
        assert_eq!(daemon.call(2, "power", json!([true])).await.unwrap(), json!(true));
        daemon.send(Kind::Cancel, 2, sibling, "").await;
        assert_eq!(daemon.call(1, "power", json!([true])).await.unwrap_err().code, "stopped");
        daemon.send(Kind::Stop, 1, 9, "").await;
        daemon.expect(Kind::Done, 9).await;
        // A new handle starts it anew.
        assert_eq!(daemon.start(3, json!({}), Some(1)).await.kind(), Some(Kind::Done));
        assert_eq!(daemon.call(3, "power", json!([true])).await.unwrap(), json!(true));
    });
}

#[test]
fn a_panic_in_a_handler_ends_the_module() {
    run(async {
        let mut daemon = started(json!({}), Some(1)).await;
        daemon.received(1, "one\npanic\ntwo\n").await;
        let frame = daemon.expect(Kind::ModuleFailed, 0).await;
        assert!(String::from_utf8_lossy(&frame.payload).contains("a line too many"));
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
fn settings_change_while_the_module_runs_or_are_refused_by_key() {
    run(async {
        let mut daemon = started(json!({"poll_every": 10}), None).await;
        daemon.send(Kind::Settings, 1, 5, r#"{"settings":{"poll_every":-1}}"#).await;
        let failure = answer(&daemon.next().await).unwrap_err();
        assert_eq!(failure.code, "bad_request");
        assert!(
            failure.message.starts_with("setting `poll_every`: invalid value: integer `-1`"),
            "{failure:?}"
        );
        daemon.send(Kind::Settings, 1, 6, r#"{"settings":{"poll_every":20,"unknown":1}}"#).await;
        daemon.expect(Kind::Done, 6).await;
        assert_eq!(daemon.call(1, "log", json!([])).await.unwrap(), json!(["started", "settings 20"]));
    });
}

#[test]
fn a_secret_is_never_shown() {
    run(async {
        let mut daemon = started(json!({"password": "hunter2"}), None).await;
        assert_eq!(daemon.call(1, "secret", json!([])).await.unwrap(), json!("Some(***) hunter2"));
        daemon.send(Kind::Settings, 1, 5, r#"{"settings":{"password":["hunter2"]}}"#).await;
        let failure = answer(&daemon.next().await).unwrap_err();
        assert_eq!(failure.message, "setting `password`: invalid type, expected a string");
    });
}

#[test]
fn a_setting_is_saved_by_the_daemon() {
    run(async {
        let mut daemon = started(json!({}), None).await;
        let call = daemon.begin(1, "save", json!([7])).await;
        let frame = daemon.next().await;
        assert_eq!(frame.kind(), Some(Kind::SaveSetting));
        assert_eq!(frame.payload, r#"{"key":"level","value":7}"#.as_bytes());
        daemon.send(Kind::Failed, 1, frame.header.correlation, r#"{"code":"x","message":"disk full"}"#).await;
        assert_eq!(daemon.result(call).await.unwrap_err().message, "disk full");
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
fn only_what_changed_is_published() {
    run(async {
        let mut daemon = started(json!({}), None).await;
        let mine = |daemon: &mut Daemon| -> Vec<(String, String)> {
            daemon.status.drain(..).map(|(_, key, value)| (key, value)).collect()
        };
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(mine(&mut daemon), [pair("level", "0"), pair("polls", "0")], "what is None is absent");
        daemon.call(1, "power", json!([true])).await.unwrap();
        assert_eq!(mine(&mut daemon), [pair("power", "true")]);
        daemon.call(1, "power", json!({"on": true, "level": 5})).await.unwrap();
        assert_eq!(mine(&mut daemon), [pair("level", "5")]);
        daemon.call(1, "power", json!([true, 5])).await.unwrap();
        assert_eq!(mine(&mut daemon), []);
        daemon.link_up(1, 1).await;
        daemon.link_down(1, "reset", "").await;
        daemon.wait(secs(3)).await;
        assert_eq!(mine(&mut daemon), [pair("power", "")], "None removes the key");
        daemon.call(1, "unknown_keys", json!([])).await.unwrap();
        daemon.call(1, "unknown_keys", json!([])).await.unwrap();
        assert_eq!(mine(&mut daemon), [pair("input.voltage", "230")]);
    });
}

#[test]
fn arguments_that_do_not_fit_are_refused_by_name() {
    run(async {
        let mut daemon = started(json!({}), None).await;
        for (args, message) in [
            (json!([]), "argument `on` of `power` is missing"),
            (json!({}), "argument `on` of `power` is missing"),
            (json!(["yes"]), "argument `on` of `power`: invalid type: string \"yes\", expected a boolean"),
            (json!([true, 1, 2]), "arguments of `power`: it takes 2 (on, level), 3 were given"),
            (json!({"On": true}), "arguments of `power`: it has none named `On`, only: on, level"),
            (
                json!({"on": true, "level": 300}),
                "argument `level` of `power`: invalid value: integer `300`, expected u8",
            ),
            (
                json!("on"),
                "arguments of `power`: invalid type: string \"on\", expected an array of arguments, or an object of named ones",
            ),
        ] {
            let failure = daemon.call(1, "power", args).await.unwrap_err();
            assert_eq!((failure.code.as_str(), failure.message.as_str()), ("bad_request", message));
        }
        let failure = daemon.call(1, "pover", json!([])).await.unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.message.as_str()),
            ("unknown_function", "Lamp has no function `pover`")
        );
        let failure = daemon.call(1, "fail", json!(null)).await.unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.message.as_str()),
            ("driver", "invalid digit found in string")
        );
    });
}

#[test]
fn received_runs_in_order_however_slow_it_is_and_holds_up_nothing_else() {
    run(async {
        let mut daemon = started(json!({}), Some(1)).await;
        daemon.call(1, "log", json!([])).await.unwrap();
        let lines: Vec<String> = (0..500).map(|number| format!("line {number}")).collect();
        for (number, line) in lines.iter().enumerate() {
            if number % 100 == 50 {
                daemon.received(1, "pause\n").await;
            }
            if number == 200 {
                daemon.received(1, "bad\n").await;
            }
            // In pieces that have nothing to do with lines.
            let wire = format!("{line}\n");
            let (start, end) = wire.split_at(number % wire.len());
            daemon.received(1, start).await;
            daemon.received(1, end).await;
        }
        daemon.send(Kind::Received, 1, 77, "last").await;
        // It pauses 25 s in all, and still answers.
        let began = tokio::time::Instant::now();
        assert_eq!(daemon.call(1, "power", json!([true])).await.unwrap(), json!(true));
        assert!(began.elapsed() < secs(1));
        daemon.expect(Kind::Done, 77).await;
        assert!(began.elapsed() >= secs(20), "acknowledged when all before it was taken");
        let mut log = daemon.call(1, "log", json!([])).await.unwrap();
        let log: Vec<String> = serde_json::from_value(log.take()).unwrap();
        let received: Vec<&String> = log.iter().filter(|line| line.starts_with("line")).collect();
        assert_eq!(received, lines.iter().collect::<Vec<_>>());
        assert!(daemon.logged("warn: received: a bad line"));
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
        daemon.wait(secs(100)).await;
        assert!(daemon.status_of(1, "polls").is_some_and(|polls| polls == "0"), "schedules ended as well");
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
