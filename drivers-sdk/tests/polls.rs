//! `#[poll]`: when it runs, and when it does not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use drivers_sdk::prelude::*;
use drivers_sdk::testing::*;

#[derive(Settings)]
struct Options {
    /// Seconds between two polls.
    #[setting(default = 10)]
    poll_seconds: u64,
    /// Of the second poll.
    #[setting(default = 0.0)]
    beat: f64,
}

#[derive(Default, Status)]
struct State {
    /// Runs of the second poll.
    beats: u32,
}

#[derive(Default)]
struct Meter {
    under_way: Cell<u32>,
}

#[driver(
    name = "Meter", module = "Meter", tcp = 5000, framing = lines("\n"), settings = Options, status = State,
    timeout_ms = 500,
)]
impl Meter {
    #[connected]
    async fn meet(&self, cx: &Cx<Self>) -> Result {
        cx.send("HELLO").reply(exact("HI")).await
    }

    #[poll(every = poll_seconds)]
    async fn poll(&self, cx: &Cx<Self>) -> Result {
        assert_eq!(self.under_way.replace(self.under_way.get() + 1), 0, "never twice at a time");
        let result = cx.send("?").reply(exact("=").unless(prefix("ERR"))).timeout(secs(1000)).await;
        self.under_way.set(0);
        result
    }

    #[poll(every = Duration::from_secs_f64(settings.beat))]
    fn beat(&self, cx: &Cx<Self>) {
        cx.status.set(|status| status.beats += 1);
    }

    #[received]
    fn told(&self, cx: &Cx<Self>, line: &str) {
        if line == "CHANGED" {
            cx.poll_soon(secs(2));
        }
    }

    #[disconnected]
    fn left(&self) {
        self.under_way.set(0);
    }

    #[settings_changed]
    async fn changed(&self, cx: &Cx<Self>) -> Result {
        match cx.settings().poll_seconds {
            3 => cx.send("CHANGED").reply(exact("=")).await,
            _ => Ok(()),
        }
    }
}

/// A meter that is met, and waits for the answer to its first poll.
async fn met(settings: Value) -> Harness<Meter> {
    let meter = Harness::<Meter>::with(settings).await;
    meter.connect().await;
    meter.expect("HELLO\n").await;
    meter.reply("HI\n").await;
    meter.expect("?\n").await;
    meter
}

/// What the log says of the poll, but for what helps to debug.
fn told(log: Vec<(Level, String)>) -> Vec<String> {
    log.into_iter()
        .filter(|(level, line)| *level > Level::Debug && line.starts_with("poll"))
        .map(|(_, line)| line)
        .collect()
}

#[tokio::test]
async fn it_runs_when_the_device_is_met_and_at_its_period_until_the_link_goes() {
    let meter = Harness::<Meter>::with(json!({ "beat": 2.5 })).await;
    meter.advance(secs(100)).await;
    meter.connect().await;
    meter.expect("HELLO\n").await;
    meter.expect_nothing(millis(1400)).await;
    meter.expect("HELLO\n").await;
    assert_eq!(meter.status_now("beats"), Some(json!(0)), "the device is not met yet");
    meter.reply("HI\n").await;
    meter.expect("?\n").await;
    meter.reply("=\n").await;
    for _ in 0..3 {
        meter.expect_nothing(millis(9900)).await;
        meter.advance(millis(99)).await;
        meter.expect("?\n").await;
        meter.reply("=\n").await;
    }
    assert_eq!(meter.status_now("beats"), Some(json!(13)), "once, and twelve times in thirty seconds");
    meter.disconnect("closed").await;
    meter.expect_nothing(secs(100)).await;
    assert_eq!(meter.status_now("beats"), Some(json!(13)));

    meter.connect().await;
    meter.expect("HELLO\n").await;
    meter.reply("HI\n").await;
    meter.expect("?\n").await;
    meter.reply("=\n").await;
    meter.expect_nothing(millis(9900)).await;
    meter.stop().await;
    meter.expect_nothing(secs(100)).await;
}

#[tokio::test]
async fn a_slow_one_makes_the_next_wait_for_its_mark() {
    let meter = met(json!({})).await;
    meter.expect_nothing(secs(25)).await;
    meter.reply("=\n").await;
    meter.expect_nothing(millis(4900)).await;
    meter.advance(millis(99)).await;
    meter.expect("?\n").await;
    meter.reply("=\n").await;
}

#[tokio::test]
async fn new_settings_pace_it_anew_after_settings_changed() {
    let meter = met(json!({})).await;
    meter.reply("=\n").await;
    meter.advance(secs(5)).await;
    meter.settings(json!({ "poll_seconds": 3 })).await.unwrap();
    meter.expect("CHANGED\n").await;
    meter.expect_nothing(millis(100)).await;
    meter.reply("=\n").await;
    for _ in 0..3 {
        meter.expect("?\n").await;
        meter.reply("=\n").await;
        meter.expect_nothing(millis(2900)).await;
        meter.advance(millis(99)).await;
    }
    // While it runs: it is not dropped, and runs again.
    meter.expect("?\n").await;
    meter.settings(json!({ "poll_seconds": 0 })).await.unwrap();
    meter.expect_nothing(secs(10)).await;
    meter.reply("=\n").await;
    meter.expect("?\n").await;
    meter.reply("=\n").await;
    // Never, until somebody says how often.
    meter.expect_nothing(secs(3600)).await;
    meter.settings(json!({ "poll_seconds": 60 })).await.unwrap();
    meter.expect("?\n").await;
    meter.reply("=\n").await;
    meter.disconnect("closed").await;
    meter.settings(json!({ "poll_seconds": 5 })).await.unwrap();
    meter.expect_nothing(secs(3600)).await;
}

#[tokio::test]
async fn many_changes_make_it_run_once_more_and_those_that_come_while_it_runs_once_again() {
    let meter = met(json!({})).await;
    meter.reply("=\n").await;
    for _ in 0..3 {
        meter.push("CHANGED\n").await;
        meter.expect_nothing(millis(600)).await;
    }
    meter.expect("?\n").await;
    meter.push("CHANGED\nCHANGED\n").await;
    meter.expect_nothing(secs(5)).await;
    meter.reply("=\n").await;
    meter.expect("?\n").await;
    meter.reply("=\n").await;
    // It is paced from there.
    meter.expect_nothing(millis(9900)).await;
    meter.expect("?\n").await;
    meter.reply("=\n").await;
    // What was to come is over with the connection.
    meter.push("CHANGED\n").await;
    meter.disconnect("closed").await;
    meter.expect_nothing(secs(100)).await;
    meter.connect().await;
    meter.expect("HELLO\n").await;
    meter.reply("HI\n").await;
    meter.expect("?\n").await;
    meter.reply("=\n").await;
    meter.push("CHANGED\n").await;
    meter.expect_nothing(millis(1900)).await;
    meter.expect("?\n").await;
    meter.reply("=\n").await;
}

#[tokio::test]
async fn the_log_says_when_it_begins_to_fail_and_when_it_works() {
    let meter = met(json!({})).await;
    for answer in ["ERR 1", "ERR 1", "ERR 2", "ERR 1", "=", "="] {
        meter.reply(format!("{answer}\n")).await;
        meter.advance(secs(10)).await;
        meter.expect("?\n").await;
    }
    assert_eq!(told(meter.take_log()), ["poll: the device answered ERR 1", "poll: works again"]);
    // And the next time.
    for (answer, line) in [("ERR 1", "the device answered ERR 1"), ("=", "works again")] {
        meter.reply(format!("{answer}\n")).await;
        meter.logged(format!("poll: {line}")).await;
        meter.advance(secs(10)).await;
        meter.expect("?\n").await;
    }
}

#[derive(Default)]
struct Ups;

#[driver(name = "UPS", module = "Power", tcp = 3493, makebreak, framing = lines("\n"), timeout_ms = 500)]
impl Ups {
    #[poll(every = secs(10))]
    async fn poll(&self, cx: &Cx<Self>) -> Result {
        cx.send("?").reply(exact("=")).await
    }
}

#[tokio::test]
async fn where_a_command_connects_it_goes_on_without_a_link() {
    let ups = Harness::<Ups>::new().await;
    ups.connect().await;
    for _ in 0..2 {
        ups.expect("?\n").await;
        ups.reply("=\n").await;
        ups.disconnect("it is idle").await;
        ups.advance(secs(10)).await;
    }
    ups.expect("?\n").await;
    ups.unreachable("no route").await;
    ups.advance(secs(100)).await;
    assert!(told(ups.log()).is_empty(), "that it is away is no news: {:?}", ups.log());
    ups.connect().await;
    ups.expect("?\n").await;
    ups.reply("=\n").await;
    ups.expect_nothing(secs(9)).await;
}
