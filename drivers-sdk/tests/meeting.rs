//! What comes of `#[connected]`: that it runs again until it works, and no longer than that.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use drivers_sdk::prelude::*;
use drivers_sdk::testing::*;

#[derive(Settings)]
struct Options {
    /// Which of the lamps.
    #[setting(default = 1)]
    lamp: u32,
}

#[derive(Default, Status)]
struct State {
    /// Runs of a schedule.
    beats: u32,
    /// What was heard of a channel.
    bells: u32,
}

#[derive(Default)]
struct Lamp;

#[driver(
    name = "Lamp", module = "Lamp", tcp = 5000, framing = lines("\n"), settings = Options, status = State,
    timeout_ms = 500,
)]
impl Lamp {
    #[connected]
    async fn meet(&self, cx: &Cx<Self>) -> Result {
        cx.every(secs(100), async |_: &Lamp, cx: &Cx<Lamp>| cx.status.set(|status| status.beats += 1));
        cx.monitor("bell", async |_: &Lamp, cx: &Cx<Lamp>, _: Value| {
            cx.status.set(|status| status.bells += 1)
        });
        let lamp = cx.settings().lamp;
        cx.send(format!("HELLO {lamp}")).reply(exact("HI").unless(prefix("NO"))).await
    }

    #[settings_changed]
    fn changed(&self, cx: &Cx<Self>) {
        cx.info("settings_changed");
    }

    #[stopped]
    fn stopped(&self, cx: &Cx<Self>) {
        cx.info("stopped");
    }
}

/// What the log says of `connected`, but for what helps to debug.
fn told(log: Vec<(Level, String)>) -> Vec<String> {
    let told = log.into_iter().filter(|(level, line)| *level > Level::Debug && line.starts_with("connected"));
    told.map(|(_, line)| line).collect()
}

#[tokio::test]
async fn it_runs_again_after_pauses_that_grow_until_it_works_and_the_log_says_so_once() {
    let lamp = Harness::<Lamp>::new().await;
    lamp.connect().await;
    // No answer for half a second, and the pause.
    for pause in [1, 2, 4, 8, 16, 30, 30, 30] {
        lamp.expect("HELLO 1\n").await;
        lamp.expect_nothing(secs(pause)).await;
        lamp.advance(millis(510)).await;
    }
    lamp.expect("HELLO 1\n").await;
    lamp.reply("HI\n").await;
    lamp.expect_nothing(secs(3600)).await;
    assert_eq!(told(lamp.log()), ["connected: no reply within 500ms", "connected: works again"]);
    let beats = lamp.status_now("beats");
    assert_eq!(beats, Some(json!(36)), "what the runs before have scheduled is over");
}

#[tokio::test]
async fn what_the_device_refuses_is_asked_again_and_each_connection_begins_anew() {
    let lamp = Harness::<Lamp>::new().await;
    for (round, refusal) in ["NO, I am busy\n", "NO, go away\n"].into_iter().enumerate() {
        lamp.connect().await;
        for pause in [1, 2, 4] {
            lamp.expect("HELLO 1\n").await;
            lamp.reply(refusal).await;
            lamp.expect_nothing(secs(pause) - millis(200)).await;
            lamp.advance(millis(200)).await;
        }
        lamp.expect("HELLO 1\n").await;
        lamp.disconnect("it restarts").await;
        lamp.expect_nothing(secs(600)).await;
        assert_eq!(told(lamp.log()).len(), 1, "{round}: that it fails is known");
    }
    lamp.connect().await;
    lamp.expect("HELLO 1\n").await;
    lamp.reply("HI\n").await;
    let [failed, works] = &told(lamp.log())[..] else { panic!("{:?}", lamp.log()) };
    assert!(failed.contains("busy"), "{failed}");
    assert_eq!(works, "connected: works again");

    // It is news again when it fails after that, and when it works.
    lamp.take_log();
    lamp.disconnect("it restarts").await;
    lamp.connect().await;
    for (said, line) in [("NO, go away\n", "NO, go away"), ("HI\n", "connected: works again")] {
        lamp.expect("HELLO 1\n").await;
        lamp.reply(said).await;
        lamp.logged(line).await;
        lamp.advance(secs(1)).await;
    }
}

#[tokio::test]
async fn new_settings_do_not_wait_for_the_end_of_the_pause() {
    let lamp = Harness::<Lamp>::new().await;
    lamp.connect().await;
    for pause in [1, 2, 4, 8, 16] {
        lamp.expect("HELLO 1\n").await;
        lamp.reply("NO\n").await;
        lamp.advance(secs(pause)).await;
    }
    lamp.expect("HELLO 1\n").await;
    lamp.reply("NO\n").await;
    lamp.settings(json!({ "lamp": 2 })).await.unwrap();
    lamp.expect("HELLO 2\n").await;
    lamp.reply("HI\n").await;
    lamp.settings(json!({ "lamp": 3 })).await.unwrap();
    lamp.expect_nothing(secs(600)).await;
}

#[tokio::test]
async fn the_end_of_the_module_ends_it() {
    let lamp = Harness::<Lamp>::new().await;
    lamp.connect().await;
    lamp.expect("HELLO 1\n").await;
    lamp.reply("NO\n").await;
    lamp.stop().await;
    lamp.logged("stopped").await;
    lamp.advance(secs(600)).await;
}

#[derive(Default)]
struct Gate;

#[driver(name = "Gate", module = "Gate", tcp = 4001, makebreak, framing = lines("\n"), timeout_ms = 500)]
impl Gate {
    #[connected]
    async fn meet(&self, cx: &Cx<Self>) -> Result {
        cx.send("HELLO").reply(exact("HI")).await
    }
}

#[tokio::test]
async fn where_only_a_command_connects_it_runs_again_without_a_link() {
    let gate = Harness::<Gate>::new().await;
    gate.connect().await;
    gate.expect("HELLO\n").await;
    gate.unreachable("no route").await;
    // Nothing is sent, but it is tried; when that works the device is met.
    gate.advance(secs(600)).await;
    gate.connect().await;
    gate.expect("HELLO\n").await;
    gate.reply("HI\n").await;
    gate.expect_nothing(secs(600)).await;
    assert!(told(gate.log()).is_empty(), "that the device is away is no news: {:?}", gate.log());
}

#[tokio::test]
async fn what_it_listens_to_ends_with_its_connection_and_before_it_runs_again() {
    let system = MockSystem::new();
    let lamp = Harness::<Lamp>::in_system(system.clone()).await;
    let mut bells = 0;
    let mut rings = async |heard: u32| {
        system.publish("bell", 1);
        lamp.advance(millis(1)).await;
        bells += heard;
        assert_eq!(lamp.status_now("bells"), Some(json!(bells)));
    };
    for _ in 0..2 {
        lamp.connect().await;
        for (said, pause) in [("NO\n", 1), ("NO\n", 2), ("HI\n", 0)] {
            lamp.expect("HELLO 1\n").await;
            lamp.reply(said).await;
            rings(1).await;
            lamp.advance(secs(pause)).await;
        }
        lamp.disconnect("closed").await;
        rings(0).await;
    }
}

#[derive(Default)]
struct Signed;

#[driver(name = "Signed", module = "Lamp", tcp = 5000, framing = lines("\n"))]
impl Signed {
    #[login]
    fn sign_in(&self, cx: &Cx<Self>) {
        cx.monitor("bell", async |_: &Signed, cx: &Cx<Signed>, _: Value| cx.info("bell"));
        cx.every(secs(60), async |_: &Signed, cx: &Cx<Signed>| cx.info("beat"));
    }

    #[connected]
    async fn meet(&self, cx: &Cx<Self>) -> Result {
        cx.every(secs(60), async |_: &Signed, cx: &Cx<Signed>| cx.info("met")).while_connected();
        cx.send("HELLO").reply(exact("HI").unless(prefix("NO"))).await
    }
}

#[tokio::test]
async fn what_the_login_has_begun_lasts_as_long_as_the_connection() {
    let system = MockSystem::new();
    let lamp = Harness::<Signed>::in_system(system.clone()).await;
    lamp.connect().await;
    for said in ["NO\n", "HI\n"] {
        lamp.expect("HELLO\n").await;
        lamp.reply(said).await;
    }
    lamp.advance(secs(60)).await;
    system.publish("bell", 1);
    lamp.advance(secs(1)).await;
    lamp.disconnect("closed").await;
    system.publish("bell", 2);
    lamp.advance(secs(3600)).await;
    let count = |what: &str| lamp.log().iter().filter(|(_, line)| line == what).count();
    assert_eq!((count("beat"), count("met"), count("bell")), (1, 1, 1));
}
