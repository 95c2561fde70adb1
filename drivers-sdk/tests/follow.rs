//! `#[follow]`: when it runs, and what becomes of its last run.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use drivers_sdk::prelude::*;
use drivers_sdk::testing::*;

#[derive(Settings)]
struct Options {
    /// Name of the modules.
    #[setting(default = "Lamp")]
    module: String,
}

#[derive(Default)]
struct Room;

#[driver(name = "Room", module = "Room", logic, settings = Options)]
impl Room {
    #[started]
    fn started(&self, cx: &Cx<Self>) {
        cx.info("started");
    }

    #[settings_changed]
    fn changed(&self, cx: &Cx<Self>) {
        cx.info("settings_changed");
    }

    #[follow]
    async fn follow(&self, cx: &Cx<Self>) {
        sleep(secs(1)).await;
        let module = cx.settings().module.clone();
        cx.info(format!("follow {module}"));
        for index in 1..=cx.system().count(&module) {
            let said = async move |_: &Room, cx: &Cx<Room>, power: Option<bool>| {
                cx.info(format!("{index} is {power:?}"));
            };
            cx.system().module(&module, index).subscribe("power", said);
        }
        cx.monitor("bell", async |_: &Room, cx: &Cx<Room>, rings: u32| cx.info(format!("bell {rings}")));
        cx.every(secs(10), async |_: &Room, cx: &Cx<Room>| cx.info("beat"));
        cx.after(secs(100), async |_: &Room, cx: &Cx<Room>| cx.info("kept")).keep();
    }
}

/// What was logged since the last time.
fn new(room: &Harness<Room>) -> Vec<String> {
    room.take_log().into_iter().map(|(_, line)| line).collect()
}

#[tokio::test]
async fn it_runs_at_the_start_and_anew_with_other_settings_or_modules() {
    let lamp = Fake::new().status("power", true);
    let system = MockSystem::new().module("Lamp", lamp.clone()).module("Screen", lamp.clone());
    let room = Harness::<Room>::in_system(system.clone()).await;
    room.advance(secs(2)).await;
    assert_eq!(new(&room), ["started", "follow Lamp", "1 is Some(true)"]);
    system.publish("bell", 1);
    room.advance(secs(10)).await;
    assert_eq!(new(&room), ["bell 1", "beat"]);

    system.add("Lamp", lamp);
    room.advance(secs(2)).await;
    assert_eq!(new(&room), ["follow Lamp", "1 is Some(true)", "2 is Some(true)"]);

    room.settings(json!({ "module": "Screen" })).await.unwrap();
    room.advance(secs(2)).await;
    assert_eq!(new(&room), ["settings_changed", "follow Screen", "1 is Some(true)"]);
    // What the runs before have begun is over, but for what was to be kept.
    system.set("Lamp", 1, "power", false);
    system.set("Screen", 1, "power", false);
    system.publish("bell", 2);
    room.advance(secs(15)).await;
    assert_eq!(new(&room), ["1 is Some(false)", "bell 2", "beat"]);
    room.advance(secs(100)).await;
    let kept = new(&room).iter().filter(|line| *line == "kept").count();
    assert_eq!(kept, 3, "of every run");
}
