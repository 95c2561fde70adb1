//! Changes of what users configure, and what they disturb: nothing that they do not concern.

use headend::model::{Driver, Module, Repository, Role, Settings, System, Zone};
use headend::runtime::{ModuleView, view::State};
use serde_json::{Value, json};

use crate::peer::Echo;
use crate::world::{COMMIT_A, COMMIT_B, World, driver, line, logic, named, settings, system, until};

#[tokio::test(flavor = "multi_thread")]
async fn new_settings_reach_a_running_module_without_a_restart() {
    let echo = Echo::new().await;
    let world = World::new().await;
    world.save(settings("driver-probe", "volume: 1\nname: all")).await;
    world.device("mod-1", echo.port).await;
    world.device("mod-2", echo.port).await;
    world.connected("mod-1").await;
    world.connected("mod-2").await;
    let before = (world.instance("mod-1").await, world.instance("mod-2").await);

    world.save(settings("mod-1", "volume: 2")).await;
    assert_eq!(world.exec("mod-1", "settings", "[]").await, Ok(json!({"volume": 2, "name": "all"})));
    assert_eq!(world.exec("mod-2", "settings", "[]").await, Ok(json!({"volume": 1, "name": "all"})));
    world.save(settings("driver-probe", "volume: 1\nname: any")).await;
    assert_eq!(world.exec("mod-2", "settings", "[]").await, Ok(json!({"volume": 1, "name": "any"})));

    // A refusal is shown; the module goes on with what it has.
    world.save(settings("mod-1", "refuse: too loud")).await;
    let view = world.module("mod-1", "complaining", |view| view.last_error.is_some()).await;
    assert_eq!(view.state, State::Running);
    assert!(view.last_error.unwrap().message.contains("too loud"));
    assert_eq!(world.exec("mod-1", "settings", "[]").await, Ok(json!({"volume": 2, "name": "any"})));

    world.delete::<Settings>("sets-mod-1").await;
    assert_eq!(world.exec("mod-1", "settings", "[]").await, Ok(json!({"volume": 1, "name": "any"})));
    assert_eq!((world.instance("mod-1").await, world.instance("mod-2").await), before);
    assert_eq!(echo.connections(), 2);
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logic_module_gets_the_settings_and_the_time_zone_of_its_zones_and_system() {
    let world = World::new().await;
    let zones = ["zone-org", "zone-floor"];
    for zone in zones {
        world.save(Zone { id: zone.into(), name: zone.into(), ..Zone::default() }).await;
        world.save(settings(zone, &format!("from: {zone}\n{}: true", zone.replace('-', "_")))).await;
    }
    let zones = zones.map(str::to_owned).to_vec();
    world.save(System { zones: zones.clone(), ..system("sys-1", &["mod-logic"]) }).await;
    world.save(logic("mod-logic", "sys-1")).await;
    world.running("mod-logic").await;
    let before = world.instance("mod-logic").await;
    let seen = async || world.exec("mod-logic", "settings", "[]").await.unwrap();
    assert_eq!(seen().await, json!({"from": "zone-floor", "zone_org": true, "zone_floor": true}));
    // The order of the zones counts.
    let turned: Vec<String> = zones.into_iter().rev().collect();
    world.update::<System>("sys-1", move |system| system.zones = turned.clone()).await;
    assert_eq!(seen().await["from"], json!("zone-org"));
    world.save(settings("sys-1", "from: system")).await;
    assert_eq!(seen().await["from"], json!("system"));

    // So does its time zone, of which it is told as it changes.
    let told = async || world.exec("mod-logic", "system", "[]").await.unwrap()["timezone"].clone();
    assert_eq!(told().await, Value::Null);
    world.update::<Zone>("zone-floor", |zone| zone.timezone = Some("Asia/Tokyo".into())).await;
    assert_eq!(told().await, json!("Asia/Tokyo"));
    world.update::<Zone>("zone-org", |zone| zone.timezone = Some("Europe/Berlin".into())).await;
    assert_eq!(told().await, json!("Europe/Berlin"), "that of the last zone");
    world.update::<System>("sys-1", |system| system.timezone = Some("Europe/London".into())).await;
    assert_eq!(told().await, json!("Europe/London"));
    assert_eq!(world.instance("mod-logic").await, before);
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_saves_its_own_setting() {
    let echo = Echo::new().await;
    let world = World::new().await;
    world.save(settings("mod-1", "# mine\nvolume: 1\n")).await;
    world.device("mod-1", echo.port).await;
    world.device("mod-2", echo.port).await;
    world.running("mod-1").await;
    world.running("mod-2").await;
    assert_eq!(world.exec("mod-1", "save", r#"["volume", 7]"#).await, Ok(Value::Null));
    let saved: Settings = world.find("sets-mod-1").await;
    assert_eq!(saved.settings_string, "# mine\nvolume: 7\n");
    until_settings(&world, "mod-1", json!({"volume": 7})).await;
    // One that has no settings yet gets some.
    assert_eq!(world.exec("mod-2", "save", r#"["presets", {"a": [1]}]"#).await, Ok(Value::Null));
    until_settings(&world, "mod-2", json!({"presets": {"a": [1]}})).await;
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_driver_of_the_sdk_saves_it_knows_at_once_and_after_a_restart() {
    let echo = Echo::new().await;
    let mut world = World::new().await;
    world.save(settings("mod-1", "# mine\npassword: in\n")).await;
    world.save(line("mod-1", echo.port)).await;
    world.running("mod-1").await;
    assert_eq!(world.exec("mod-1", "remember", r#"["loud"]"#).await, Ok(Value::Null));
    let knows = async |world: &World, note: &str| {
        let note = Ok(json!(note));
        crate::world::until_async("it knows its note", async || {
            world.exec("mod-1", "note", "[]").await == note
        })
        .await;
    };
    knows(&world, "loud").await;
    assert_eq!(world.exec("mod-1", "remember", r#"["louder"]"#).await, Ok(json!("loud")));
    knows(&world, "louder").await;
    let saved: Settings = world.find("sets-mod-1").await;
    assert_eq!(saved.settings_string, "# mine\npassword: in\nnote: \"louder\"\n");
    world.restart().await;
    world.running("mod-1").await;
    knows(&world, "louder").await;
    world.runtime.shutdown().await;
}

async fn until_settings(world: &World, id: &str, wanted: Value) {
    crate::world::until_async(&format!("settings of {id} are {wanted}"), async || {
        world.exec(id, "settings", "[]").await.as_ref() == Ok(&wanted)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_stops_starts_and_goes_without_disturbing_another() {
    let echo = Echo::new().await;
    let world = World::new().await;
    world.device("mod-1", echo.port).await;
    world.device("mod-2", echo.port).await;
    world.connected("mod-1").await;
    world.connected("mod-2").await;
    let innocent = world.instance("mod-2").await;

    world.update::<Module>("mod-1", |module| module.running = false).await;
    let view = world.module("mod-1", "stopped", |view| view.state == State::Stopped).await;
    assert!(!view.connected);
    until("its status is gone", || world.runtime.status("mod-1").unwrap().is_empty()).await;
    world.update::<Module>("mod-1", |module| module.running = true).await;
    world.connected("mod-1").await;
    assert_eq!(echo.connections(), 3);

    world.delete::<Module>("mod-1").await;
    until("it is gone", || world.runtime.module("mod-1").is_none()).await;
    assert_eq!(world.runtime.status("mod-1"), None);
    assert_eq!(world.instance("mod-2").await, innocent);

    // The last module of a driver takes the process along.
    world.delete::<Module>("mod-2").await;
    until("the process is gone", || world.runtime.processes().is_empty()).await;
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_address_changes_the_link_and_nothing_else() {
    let (first, second) = (Echo::new().await, Echo::new().await);
    let world = World::new().await;
    world.device("mod-1", first.port).await;
    world.device("mod-2", first.port).await;
    world.connected("mod-1").await;
    world.connected("mod-2").await;
    let before = world.instance("mod-1").await;
    let port = second.port;
    world.update::<Module>("mod-1", move |module| module.port = port.into()).await;
    until("it is connected there", || second.connections() == 1).await;
    crate::world::until_async("the module was told", async || {
        let links = world.exec("mod-1", "links", "[]").await.unwrap();
        links.as_array().unwrap().last().is_some_and(|link| link == "up 2")
    })
    .await;
    assert_eq!(world.instance("mod-1").await, before);
    assert_eq!(first.connections(), 2);

    // Notes are nobody's business.
    world.update::<Module>("mod-1", |module| module.notes = "in the rack".into()).await;
    assert_eq!(world.instance("mod-1").await, before);
    assert_eq!((first.connections(), second.connections()), (2, 1));
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_is_upgraded_without_dropping_a_connection() {
    let echo = Echo::new().await;
    let world = World::new().await;
    world.save(driver("driver-other", "probe", Role::Device)).await;
    world.device("mod-1", echo.port).await;
    world.device("mod-2", echo.port).await;
    world.save(Module { driver_id: "driver-other".into(), ..crate::world::device("mod-3", echo.port) }).await;
    for id in ["mod-1", "mod-2", "mod-3"] {
        world.connected(id).await;
    }
    let (before, innocent) = (world.instance("mod-1").await, world.instance("mod-3").await);
    assert_eq!(world.running("mod-1").await.commit.as_deref(), Some(COMMIT_A));

    world.update::<Driver>("driver-probe", |driver| driver.commit = COMMIT_B.into()).await;
    // Whoever calls meanwhile waits and does not notice.
    assert_eq!(world.exec("mod-1", "echo", r#"["during"]"#).await, Ok(json!("during")));
    for id in ["mod-1", "mod-2"] {
        world
            .module(id, "upgraded", |view| {
                view.state == State::Running && view.commit.as_deref() == Some(COMMIT_B)
            })
            .await;
        assert_ne!(world.instance(id).await.0, before.0);
        assert_eq!(world.exec(id, "links", "[]").await, Ok(json!(["start 1"])));
    }
    assert_eq!(world.instance("mod-3").await, innocent);
    assert_eq!(echo.connections(), 3);
    until("the old process is gone", || !std::path::Path::new(&format!("/proc/{}", before.0)).exists()).await;
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_finishes_what_it_was_asked_before_it_moves() {
    let echo = Echo::new().await;
    let world = World::new().await;
    world.device("mod-1", echo.port).await;
    world.connected("mod-1").await;
    let (heard, ()) = tokio::join!(world.exec("mod-1", "listen", "[]"), async {
        world.status("mod-1", "listening", "true").await;
        world.update::<Driver>("driver-probe", |driver| driver.commit = COMMIT_B.into()).await;
        world.module("mod-1", "about to move", |view| view.state == State::Stopping).await;
        echo.send.send(b"at last\n".to_vec()).unwrap();
    });
    assert_eq!(heard, Ok(json!("at last")));
    let moved = |view: &ModuleView| view.state == State::Running && view.commit.as_deref() == Some(COMMIT_B);
    world.module("mod-1", "upgraded", moved).await;
    assert_eq!(echo.connections(), 1);
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_goes_on_running_when_its_upgrade_is_broken() {
    let echo = Echo::new().await;
    let world = World::new().await;
    world.device("mod-1", echo.port).await;
    world.connected("mod-1").await;
    let before = world.instance("mod-1").await;
    let place =
        world.folder.path().join("repositories/artifacts/repo-probe").join(COMMIT_B).join("probe/driver");
    std::fs::remove_file(&place).unwrap();
    std::os::unix::fs::symlink("/bin/false", &place).unwrap();

    world.update::<Driver>("driver-probe", |driver| driver.commit = COMMIT_B.into()).await;
    until("the new program was tried twice", || world.runtime.metrics().processes_failed >= 2).await;
    assert_eq!(world.instance("mod-1").await, before);
    // Back to the commit that works: nothing happened.
    world.update::<Driver>("driver-probe", |driver| driver.commit = "HEAD".into()).await;
    until("the broken one is given up", || world.runtime.processes().len() == 1).await;
    assert_eq!(world.instance("mod-1").await, before);
    assert_eq!(echo.connections(), 1);
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_is_not_built_makes_its_modules_wait_with_the_reason() {
    let world = World::new().await;
    world.save(driver("driver-missing", "missing", Role::Device)).await;
    world.save(Module { driver_id: "driver-missing".into(), ..crate::world::device("mod-1", 1) }).await;
    let view = world
        .module("mod-1", "waiting with a reason", |view| {
            view.state == State::Waiting
                && view.detail.as_deref().is_some_and(|why| why.contains("could not be built"))
        })
        .await;
    assert!(!view.connected);
    let shown = world.runtime.driver("driver-missing").unwrap();
    assert!(!shown.compiled && shown.output.is_some());
    crate::world::until_async("the driver's document says so", async || {
        world.find::<Driver>("driver-missing").await.compilation_output == shown.output
    })
    .await;
    // A repository that cannot be fetched says so on its document.
    world.runtime.pull("repo-probe").await.unwrap_err();
    crate::world::until_async("the repository's document says so", async || {
        let repository: Repository = world.find("repo-probe").await;
        repository.has_runtime_error && repository.error_message.is_some_and(|text| text.contains("/nowhere"))
    })
    .await;
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_daemon_brings_back_what_should_run() {
    let echo = Echo::new().await;
    let mut world = World::new().await;
    world.device("mod-1", echo.port).await;
    world.save(Module { running: false, ..crate::world::device("mod-2", echo.port) }).await;
    world.save(system("sys-1", &["mod-1"])).await;
    world.connected("mod-1").await;
    let before = world.instance("mod-1").await;
    world.restart().await;
    assert!(!std::path::Path::new(&format!("/proc/{}", before.0)).exists());
    world.connected("mod-1").await;
    assert_eq!(world.runtime.module("mod-2").unwrap().state, State::Stopped);
    assert_eq!(world.exec_on(named("sys-1", "Probe", 1), "add", "[2, 2]").await, Ok(json!(4)));
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emulated_module_is_connected_to_the_emulator_of_its_driver() {
    let world = World::new().await;
    world.save(settings("mod-1", "colour: blue")).await;
    world
        .save(Module { emulated: true, ip: String::new(), port: 0, ..crate::world::device("mod-1", 1) })
        .await;
    let view = world.connected("mod-1").await;
    assert!(view.emulated);
    assert_eq!(world.exec("mod-1", "echo", r#"["hi"]"#).await, Ok(json!("emulated hi")));
    until("the emulator's words are in the log", || {
        let log = world.runtime.recent_log("mod-1");
        log.iter().any(|line| &*line.text == r#"emulator: emulating with {"colour":"blue"}"#)
    })
    .await;
    // To the real device, and back.
    let echo = Echo::new().await;
    let port = echo.port;
    world
        .update::<Module>("mod-1", move |module| {
            (module.emulated, module.ip, module.port) = (false, "127.0.0.1".into(), port.into());
        })
        .await;
    until("it is connected to the device", || echo.connections() == 1).await;
    world.connected("mod-1").await;
    crate::world::until_async("the device answers", async || {
        world.exec("mod-1", "echo", r#"["hi"]"#).await == Ok(json!("hi"))
    })
    .await;
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_cannot_run_as_configured_says_so_and_lets_its_device_go() {
    let echo = Echo::new().await;
    let world = World::new().await;
    world.device("mod-1", echo.port).await;
    world.connected("mod-1").await;
    world.update::<Module>("mod-1", |module| module.ip = String::new()).await;
    let view = world.module("mod-1", "waiting", |view| view.state == State::Waiting).await;
    assert_eq!(view.detail.as_deref(), Some("it has no address; set its ip"));
    world.status("mod-1", "connected", "false").await;
    let error = world.exec("mod-1", "add", "[1]").await.unwrap_err();
    assert_eq!(error.to_string(), "mod-1 is not running: it has no address; set its ip");
    world.update::<Module>("mod-1", |module| module.ip = "localhost".into()).await;
    world.connected("mod-1").await;
    assert_eq!(echo.connections(), 2);
    world.runtime.shutdown().await;
}
