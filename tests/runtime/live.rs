//! Status values, subscriptions, logs and device bytes as they flow.

use std::sync::Arc;

use headend::model::Module;
use headend::runtime::subscriptions::Sink;
use headend::runtime::{ModuleView, Options, Target, debug::Item, view::State};
use parking_lot::Mutex;
use serde_json::json;

use crate::peer::Echo;
use crate::world::{World, device, named, options, system, until};

/// Remembers what it was told.
#[derive(Default)]
struct Seen(Mutex<Vec<(u64, Option<String>)>>);

impl Sink for Seen {
    fn changed(&self, token: u64, value: Option<Arc<str>>) {
        self.0.lock().push((token, value.map(|value| value.to_string())));
    }
}

impl Seen {
    fn of(&self, token: u64) -> Vec<Option<String>> {
        self.0.lock().iter().filter(|(of, _)| *of == token).map(|(_, value)| value.clone()).collect()
    }

    async fn last(&self, token: u64, value: Option<&str>) {
        until(&format!("the last value of {token} is {value:?}"), || {
            self.of(token).last().is_some_and(|last| last.as_deref() == value)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_by_place_survives_late_creation_reordering_and_renaming() {
    let echo = Echo::new().await;
    let world = World::new().await;
    let seen = Arc::new(Seen::default());
    // Before there is a system, or a module.
    let _by_place = world.runtime.subscribe(named("sys-1", "Probe", 1), "name", seen.clone(), 1);
    let _by_id = world.runtime.subscribe(Target::Module("mod-2".into()), "name", seen.clone(), 2);
    let dropped = world.runtime.subscribe(named("sys-1", "Probe", 1), "name", seen.clone(), 3);
    assert_eq!(seen.of(1), []);
    world.save(system("sys-1", &["mod-1", "mod-2"])).await;
    for id in ["mod-1", "mod-2"] {
        world.device(id, echo.port).await;
        world.exec(id, "set", &json!(["name", id]).to_string()).await.unwrap();
    }
    seen.last(1, Some("\"mod-1\"")).await;
    seen.last(2, Some("\"mod-2\"")).await;
    seen.last(3, Some("\"mod-1\"")).await;
    drop(dropped);

    world.save(system("sys-1", &["mod-2", "mod-1"])).await;
    seen.last(1, Some("\"mod-2\"")).await;
    world.update::<Module>("mod-2", |module| module.custom_name = Some("Screen".into())).await;
    seen.last(1, Some("\"mod-1\"")).await;
    world.exec("mod-1", "set", r#"["name", "new"]"#).await.unwrap();
    seen.last(1, Some("\"new\"")).await;
    world.save(system("sys-1", &[])).await;
    seen.last(1, None).await;
    assert_eq!(seen.of(3).len(), 2, "{:?}", seen.of(3));
    assert_eq!(seen.of(2).last().unwrap().as_deref(), Some("\"mod-2\""));
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_changes_is_published_first_newest_last() {
    const COUNT: usize = 20_000;
    let echo = Echo::new().await;
    let world = World::new().await;
    world.device("mod-1", echo.port).await;
    let seen = Arc::new(Seen::default());
    let _subscription = world.runtime.subscribe(Target::Module("mod-1".into()), "level", seen.clone(), 1);
    world.exec("mod-1", "flood", &json!(["level", COUNT]).to_string()).await.unwrap();
    seen.last(1, Some(&COUNT.to_string())).await;
    let values: Vec<usize> = seen.of(1).into_iter().map(|value| value.unwrap().parse().unwrap()).collect();
    assert_eq!(values[0], 1, "the first goes out at once");
    assert!(values.is_sorted(), "{values:?}");
    assert!(values.len() < COUNT / 10, "{} of {COUNT} were published", values.len());
    assert_eq!(world.runtime.status_value("mod-1", "level").as_deref(), Some(COUNT.to_string().as_str()));
    assert!(world.runtime.metrics().status_changes >= COUNT as u64);
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_lives_as_long_as_the_instance_that_set_it() {
    let echo = Echo::new().await;
    let world = World::new().await;
    world.device("mod-1", echo.port).await;
    world.connected("mod-1").await;
    let seen = Arc::new(Seen::default());
    let target = || Target::Module("mod-1".into());
    let _one = world.runtime.subscribe(target(), "power", seen.clone(), 1);
    let _two = world.runtime.subscribe(target(), "connected", seen.clone(), 2);
    world.exec("mod-1", "set", r#"["power", true]"#).await.unwrap();
    seen.last(1, Some("true")).await;
    world.exec("mod-1", "panic", "[]").await.unwrap_err();
    seen.last(1, None).await;
    world.running("mod-1").await;
    assert_eq!(world.runtime.status_value("mod-1", "power"), None);
    assert_eq!(seen.of(2), [Some("true".into())], "the device was connected all the time");
    world.update::<Module>("mod-1", |module| module.running = false).await;
    seen.last(2, None).await;
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connected_is_the_truth() {
    let echo = Echo::new().await;
    let world = World::new().await;
    world.device("mod-1", echo.port).await;
    world.status("mod-1", "connected", "true").await;
    echo.send.send(Vec::new()).unwrap();
    until("it was reconnected", || echo.connections() == 2).await;
    world.status("mod-1", "connected", "true").await;
    crate::world::until_async("the module was told", async || {
        world.exec("mod-1", "links", "[]").await == Ok(json!(["up 1", "down closed", "up 2"]))
    })
    .await;

    // A port where nobody listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    world.device("mod-2", free).await;
    let refused = |view: &ModuleView| view.reason == Some("refused") && view.state == State::Running;
    let view = world.module("mod-2", "refused", refused).await;
    assert!(!view.connected);
    assert!(view.detail.unwrap().contains(&free.to_string()));
    world.status("mod-2", "connected", "false").await;
    // It runs all the same.
    assert_eq!(world.exec("mod-2", "add", "[1, 1]").await, Ok(json!(2)));
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_does_not_read_holds_nobody_up_and_is_told_what_it_lost() {
    let echo = Echo::new().await;
    let world = World::with(Options { log_backlog: 100, log_lines: 10, ..options() }).await;
    world.device("mod-1", echo.port).await;
    world.connected("mod-1").await;
    let mut viewer = world.runtime.debug("mod-1").unwrap();
    world.exec("mod-1", "log", r#"["line", 5000]"#).await.unwrap();
    let Some(Item::Dropped(lost)) = viewer.next().await else { panic!("nothing was lost") };
    assert!((4_800..5_000).contains(&lost), "{lost}");
    let Some(Item::Line(line)) = viewer.next().await else { panic!("no line") };
    assert_eq!(&*line.text, format!("line {lost}"));
    let recent = world.runtime.recent_log("mod-1");
    assert_eq!(recent.len(), 10);
    assert_eq!(&*recent[9].text, "line 4999");
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn received_bytes_arrive_all_and_in_order() {
    let echo = Echo::new().await;
    // Small windows, so that the waiting is part of the test.
    let world =
        World::with(Options { received_bytes: 8 * 1024, received_window_bytes: 16 * 1024, ..options() })
            .await;
    world.device("mod-1", echo.port).await;
    world.device("mod-2", echo.port).await;
    world.connected("mod-1").await;
    world.connected("mod-2").await;
    let expected: String = (0..100_000).map(|number| format!("{number};")).collect();
    for chunk in expected.as_bytes().chunks(5_000) {
        echo.send.send(chunk.to_vec()).unwrap();
    }
    for id in ["mod-1", "mod-2"] {
        crate::world::until_async("everything has arrived", async || {
            let received = world.exec(id, "received", "[]").await.unwrap();
            let received = received.as_str().unwrap();
            assert!(expected.starts_with(received), "out of order");
            received.len() == expected.len()
        })
        .await;
    }
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_says_while_its_driver_restarts_is_kept() {
    let echo = Echo::greeting("welcome;").await;
    let world = World::with(Options { restart_ms: 1_000, restart_max_ms: 1_000, ..options() }).await;
    world.device("mod-1", echo.port).await;
    world.connected("mod-1").await;
    let received = async || world.exec("mod-1", "received", "[]").await.unwrap();
    crate::world::until_async("the greeting is there", async || received().await == json!("welcome;")).await;
    world.exec("mod-1", "panic", "[]").await.unwrap_err();
    world.module("mod-1", "failed", |view| view.state == State::Failed).await;
    echo.send.send(b"meanwhile;".to_vec()).unwrap();
    world.running("mod-1").await;
    crate::world::until_async("it is there", async || received().await == json!("meanwhile;")).await;
    assert_eq!(echo.connections(), 1);
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_make_break_module_counts_as_connected_and_connects_to_send() {
    let echo = Echo::new().await;
    let world = World::new().await;
    world.save(Module { makebreak: true, ..device("mod-1", echo.port) }).await;
    world.connected("mod-1").await;
    assert_eq!(echo.connections(), 0);
    assert_eq!(world.exec("mod-1", "echo", r#"["hi"]"#).await, Ok(json!("hi")));
    assert_eq!(echo.connections(), 1);
    assert_eq!(world.exec("mod-1", "links", "[]").await, Ok(json!(["up 1"])));
    world.runtime.shutdown().await;
}
