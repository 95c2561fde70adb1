//! Schedules: by the clock, by cron, and how long they live.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::SystemTime;

use drivers_sdk::prelude::*;
use drivers_sdk_protocol::Kind;
use serde_json::json;
use support::{Daemon, run};

#[derive(Settings)]
struct Options {
    #[setting(default = 10)]
    every: u64,
    #[setting(default = "0 7 * * MON-FRI")]
    wake: String,
    #[setting(default = "Europe/London")]
    zone: String,
}

thread_local! {
    /// What was done in all, and how many modules are gone.
    static DONE: Cell<u32> = const { Cell::new(0) };
    static GONE: Cell<u32> = const { Cell::new(0) };
}

#[derive(Default)]
struct Clock {
    log: RefCell<Vec<&'static str>>,
}

impl Drop for Clock {
    fn drop(&mut self) {
        GONE.set(GONE.get() + 1);
    }
}

#[driver(name = "Clock", module = "Clock", tcp = 13, framing = lines("\n"), settings = Options)]
impl Clock {
    fn note(&self, what: &'static str) {
        DONE.set(DONE.get() + 1);
        self.log.borrow_mut().push(what);
    }

    fn poll(&self, cx: &Cx<Self>) {
        let period = secs(cx.settings().every);
        cx.every(period, async |clock: &Clock, _: &Cx<Clock>| clock.note("poll")).while_connected();
    }

    #[started]
    fn started(&self, cx: &Cx<Self>) {
        cx.after(secs(25), async |clock: &Clock, _: &Cx<Clock>| clock.note("kept")).keep();
        cx.after(secs(26), async |clock: &Clock, _: &Cx<Clock>| clock.note("cleared"));
        self.poll(cx);
    }

    #[connected]
    fn connected(&self, cx: &Cx<Self>) {
        self.poll(cx);
    }

    #[settings_changed]
    fn settings_changed(&self, cx: &Cx<Self>) {
        if cx.settings().every > 0 {
            cx.clear_schedules();
            self.poll(cx);
        }
    }

    #[function]
    fn wake(&self, cx: &Cx<Self>) -> Result {
        let settings = cx.settings();
        cx.cron_in(&settings.wake, &settings.zone, async |clock: &Clock, _: &Cx<Clock>| clock.note("wake"))
            .map(drop)
    }

    #[function]
    fn at(&self, cx: &Cx<Self>, unix: u64) {
        cx.at(SystemTime::UNIX_EPOCH + secs(unix), async |clock: &Clock, _: &Cx<Clock>| clock.note("at"));
    }

    #[function]
    fn log(&self) -> Vec<&'static str> {
        self.log.take()
    }
}

/// 2026-11-22, a Sunday, 23:00 in London.
const SUNDAY: u64 = 1_795_388_400;

fn set(unix: u64) {
    drivers_sdk::__private::set_wall_clock(SystemTime::UNIX_EPOCH + secs(unix));
}

async fn started(settings: serde_json::Value) -> Daemon {
    let mut daemon = Daemon::of::<Clock>().await;
    daemon.start(1, settings, None).await;
    daemon.wait(secs(30)).await;
    assert_eq!(log(&mut daemon).await, json!(["kept", "cleared"]), "there is no connection, so no poll");
    daemon
}

async fn log(daemon: &mut Daemon) -> serde_json::Value {
    daemon.call(1, "log", json!([])).await.unwrap()
}

#[test]
fn work_is_done_at_its_time_also_if_the_clock_is_set_meanwhile() {
    run(async {
        let mut daemon = started(json!({})).await;
        set(SUNDAY);
        daemon.call(1, "at", json!([SUNDAY + 3600])).await.unwrap();
        daemon.wait(secs(3599)).await;
        assert_eq!(log(&mut daemon).await, json!([]));
        daemon.wait(secs(2)).await;
        assert_eq!(log(&mut daemon).await, json!(["at"]));

        daemon.call(1, "at", json!([SUNDAY + 20_000])).await.unwrap();
        daemon.wait(secs(10)).await;
        set(SUNDAY + 19_000);
        daemon.wait(secs(900)).await;
        assert_eq!(log(&mut daemon).await, json!([]));
        set(SUNDAY + 21_000);
        daemon.wait(secs(61)).await;
        assert_eq!(log(&mut daemon).await, json!(["at"]));
        daemon.call(1, "at", json!([5])).await.unwrap();
        daemon.wait(millis(10)).await;
        assert_eq!(log(&mut daemon).await, json!(["at"]), "at once, as that is over");
    });
}

#[test]
fn cron_runs_by_the_clock_of_the_place_and_not_after_the_module() {
    run(async {
        let mut daemon = started(json!({})).await;
        set(SUNDAY);
        daemon.call(1, "wake", json!([])).await.unwrap();
        daemon.wait(secs(8 * 3600 - 1)).await;
        assert_eq!(log(&mut daemon).await, json!([]));
        daemon.wait(secs(2)).await;
        assert_eq!(log(&mut daemon).await, json!(["wake"]));
        // Up to the next Sunday at seven: four more.
        daemon.wait(secs(6 * 86_400)).await;
        assert_eq!(log(&mut daemon).await, json!(["wake", "wake", "wake", "wake"]));
        // The machine slept until Monday noon.
        set(SUNDAY + 7 * 86_400 + 13 * 3600);
        daemon.wait(secs(61)).await;
        assert_eq!(log(&mut daemon).await, json!([]));
        // Its clock was set back to the first day.
        set(SUNDAY);
        daemon.wait(secs(8 * 3600 + 60)).await;
        assert_eq!(log(&mut daemon).await, json!(["wake"]));

        let done = DONE.get();
        daemon.wait(secs(86_400)).await;
        assert_eq!(DONE.get(), done + 1, "it goes on");
        daemon.send(Kind::Stop, 1, 9, "").await;
        daemon.expect(Kind::Done, 9).await;
        daemon.wait(secs(7 * 86_400)).await;
        assert_eq!((DONE.get(), GONE.get()), (done + 1, 1));
        assert!(!daemon.has_frames());
    });
}

#[test]
fn a_cron_expression_that_makes_no_sense_is_the_callers_error() {
    run(async {
        let mut daemon = started(json!({"wake": "0 25 * * *"})).await;
        let failure = daemon.call(1, "wake", json!([])).await.unwrap_err();
        let told = "cron `0 25 * * *`: the hour `25` is not from 0 to 23";
        assert_eq!((failure.code.as_str(), failure.message.as_str()), ("bad_request", told));
    });
}

#[test]
fn a_period_of_nothing_is_never() {
    run(async {
        let mut daemon = Daemon::of::<Clock>().await;
        daemon.start(1, json!({"every": 0}), Some(1)).await;
        daemon.wait(secs(30)).await;
        assert_eq!(log(&mut daemon).await, json!(["kept", "cleared"]));
    });
}

#[test]
fn a_settings_update_ends_the_schedules_that_the_author_clears_and_no_other() {
    run(async {
        let mut daemon = Daemon::of::<Clock>().await;
        daemon.start(1, json!({}), Some(1)).await;
        // Made in `started` and once more in `connected`, both for the connection.
        daemon.wait(secs(11)).await;
        assert_eq!(
            log(&mut daemon).await,
            json!(["poll"]),
            "a connection begins with none of the last one's"
        );
        daemon.send(Kind::Settings, 1, 5, r#"{"settings": {"every": 0}}"#).await;
        daemon.expect(Kind::Done, 5).await;
        daemon.wait(secs(10)).await;
        assert_eq!(log(&mut daemon).await, json!(["poll"]), "as the author says nothing, it goes on");
        daemon.send(Kind::Settings, 1, 6, r#"{"settings": {"every": 7}}"#).await;
        daemon.expect(Kind::Done, 6).await;
        daemon.wait(secs(15)).await;
        assert_eq!(log(&mut daemon).await, json!(["kept", "poll", "poll"]));
        daemon.link_down(1, "closed", "").await;
        daemon.wait(secs(30)).await;
        assert_eq!(log(&mut daemon).await, json!([]), "it was made for the connection");
    });
}
