//! Modules that panic, processes that die, hang or break the protocol.

use headend::model::{Driver, Module, Role, Settings};
use headend::runtime::{Options, exec, view::State};
use rustix::process::{Pid, Signal};
use serde_json::json;

use crate::peer::Echo;
use crate::world::{World, driver, options, settings, until};

fn kill(pid: u64) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
}

fn alive(pid: u64) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

/// Three modules of one driver, and one of another, each connected to the device.
async fn world(echo: &Echo, options: Options) -> World {
    let world = World::with(options).await;
    world.save(driver("driver-other", "probe", Role::Device)).await;
    for id in ["mod-1", "mod-2", "mod-3"] {
        world.device(id, echo.port).await;
    }
    let other = Module { driver_id: "driver-other".into(), ..crate::world::device("mod-other", echo.port) };
    world.save(other).await;
    for id in ["mod-1", "mod-2", "mod-3", "mod-other"] {
        world.connected(id).await;
    }
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_one_module_and_its_siblings_work_on() {
    let echo = Echo::new().await;
    let world = world(&echo, options()).await;
    let (before, sibling) = (world.instance("mod-1").await, world.instance("mod-2").await);
    assert_eq!(before.0, sibling.0, "one process for all modules of a driver");

    let error = world.exec("mod-1", "panic", "[]").await.unwrap_err();
    assert_eq!(error, exec::Error::Stopped("the module failed: as asked".into()));
    let view = world.module("mod-1", "up again", |view| view.state == State::Running).await;
    let fault = view.last_error.unwrap();
    assert_eq!((fault.code.as_str(), fault.place.as_deref()), ("panic", Some("probe_driver.rs:1:1")));
    let after = world.instance("mod-1").await;
    assert_eq!(after.0, before.0, "the process was not restarted");
    assert_ne!(after.1, before.1);
    assert_eq!(world.instance("mod-2").await, sibling);
    assert_eq!(world.exec("mod-1", "links", "[]").await, Ok(json!(["start 1"])), "its connection was kept");
    assert_eq!(echo.connections(), 4);

    // The document says so, until the module has held.
    until_marked(&world, "mod-1", true).await;
    until_marked(&world, "mod-1", false).await;
    world.runtime.shutdown().await;
}

async fn until_marked(world: &World, id: &str, marked: bool) {
    crate::world::until_async(&format!("has_runtime_error of {id} is {marked}"), async || {
        let module: Module = world.find(id).await;
        module.has_runtime_error == marked && module.error_timestamp.is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_told_of_at_once_and_comes_back_with_its_modules() {
    let echo = Echo::new().await;
    let world = world(&echo, options()).await;
    let before = world.instance("mod-1").await;
    let other = world.instance("mod-other").await;

    let (called, ()) = tokio::join!(world.exec("mod-1", "never", "[]"), async {
        world.status("mod-1", "stuck", "true").await;
        kill(before.0);
    });
    let error = called.unwrap_err();
    assert!(matches!(&error, exec::Error::Stopped(why) if why.contains("signal 9")), "{error:?}");

    // Whoever was busy runs apart now, the others together.
    let suspect =
        world.module("mod-1", "back", |view| view.state == State::Running && view.quarantined).await;
    assert!(suspect.last_error.unwrap().message.contains("signal 9"));
    world.module("mod-2", "back", |view| view.state == State::Running && !view.quarantined).await;
    world.module("mod-3", "back", |view| view.state == State::Running && !view.quarantined).await;
    let (one, two, three) =
        (world.instance("mod-1").await, world.instance("mod-2").await, world.instance("mod-3").await);
    assert_eq!(two.0, three.0);
    assert_ne!(one.0, two.0);
    assert_ne!(two.0, before.0);
    assert_eq!(world.instance("mod-other").await, other, "another driver's process is undisturbed");
    assert_eq!(echo.connections(), 4, "no device was reconnected");
    assert_eq!(world.exec("mod-2", "echo", r#"["hi"]"#).await, Ok(json!("hi")));
    assert_eq!(world.runtime.metrics().processes_failed, 1);
    let processes = world.runtime.processes();
    let quarantine: Vec<_> = processes.iter().filter(|process| process.quarantine).collect();
    assert_eq!(quarantine.len(), 1);
    assert_eq!(quarantine[0].modules, ["mod-1".into()]);

    // A person's restart ends the quarantine.
    world.update::<Module>("mod-1", |module| module.running = false).await;
    world.module("mod-1", "stopped", |view| view.state == State::Stopped).await;
    world.update::<Module>("mod-1", |module| module.running = true).await;
    world.module("mod-1", "running", |view| view.state == State::Running && !view.quarantined).await;
    assert_eq!(world.instance("mod-1").await.0, two.0);
    world.runtime.shutdown().await;
    assert!(!alive(one.0) && !alive(two.0) && !alive(other.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisonous_module_takes_its_siblings_down_once() {
    let echo = Echo::new().await;
    let world = world(&echo, options()).await;
    world.exec("mod-1", "abort", "[]").await.unwrap_err();
    let view = world.module("mod-1", "apart", |view| view.state == State::Running && view.quarantined).await;
    let fault = view.last_error.unwrap();
    assert_eq!(fault.output, ["aborting as asked"], "the last words are kept");
    world.running("mod-2").await;
    let sibling = world.instance("mod-2").await;
    for _ in 0..3 {
        world.exec("mod-1", "abort", "[]").await.unwrap_err();
        world.running("mod-1").await;
    }
    assert_eq!(world.instance("mod-2").await, sibling);
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_hangs_is_killed() {
    let echo = Echo::new().await;
    let world = world(&echo, Options { hung_ms: 300, ..options() }).await;
    let (before, other) = (world.instance("mod-1").await, world.instance("mod-other").await);
    let error = world.exec("mod-1", "hang", "[]").await.unwrap_err();
    assert!(matches!(&error, exec::Error::Stopped(why) if why.contains("hung")), "{error:?}");
    for id in ["mod-1", "mod-2", "mod-3"] {
        world.running(id).await;
        assert_ne!(world.instance(id).await.0, before.0);
    }
    assert!(!alive(before.0));
    assert_eq!(world.instance("mod-other").await, other);
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_frame_closes_that_channel_and_nothing_else() {
    let echo = Echo::new().await;
    let world = world(&echo, options()).await;
    let (before, other) = (world.instance("mod-1").await, world.instance("mod-other").await);
    let error = world.exec("mod-1", "malformed", "[]").await.unwrap_err();
    assert!(
        matches!(&error, exec::Error::Stopped(why) if why.contains("malformed frame header")),
        "{error:?}"
    );
    for id in ["mod-1", "mod-2", "mod-3"] {
        world.running(id).await;
        assert_ne!(world.instance(id).await.0, before.0);
    }
    assert_eq!(world.instance("mod-other").await, other);
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_isolation_every_module_has_a_process_of_its_own() {
    let echo = Echo::new().await;
    let world = World::new().await;
    world.update::<Driver>("driver-probe", |driver| driver.isolation = Some("module".into())).await;
    world.device("mod-1", echo.port).await;
    world.device("mod-2", echo.port).await;
    world.running("mod-1").await;
    world.running("mod-2").await;
    let sibling = world.instance("mod-2").await;
    assert_ne!(world.instance("mod-1").await.0, sibling.0);
    world.exec("mod-1", "abort", "[]").await.unwrap_err();
    world.running("mod-1").await;
    assert_eq!(world.instance("mod-2").await, sibling);
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_refuses_to_start_says_why_and_starts_once_that_is_mended() {
    let echo = Echo::new().await;
    let world = World::with(Options { restart_ms: 3_600_000, restart_max_ms: 3_600_000, ..options() }).await;
    world.save(settings("mod-1", "refuse: no such input")).await;
    world.device("mod-1", echo.port).await;
    let view = world.module("mod-1", "failed", |view| view.state == State::Failed).await;
    assert_eq!(view.detail.as_deref(), Some("it did not start: no such input"));
    assert!(view.next_attempt.unwrap() > view.since + 2_000_000, "not soon");
    let error = world.exec("mod-1", "add", "[1]").await.unwrap_err();
    assert!(error.to_string().contains("no such input; next attempt in"), "{error}");
    // Far sooner than the next attempt.
    world.update::<Settings>("sets-mod-1", |settings| settings.settings_string = "{}".into()).await;
    world.running("mod-1").await;
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_keeps_failing_is_stopped_without_leaving_a_process_behind() {
    let echo = Echo::new().await;
    let world = World::new().await;
    world.save(settings("mod-1", "refuse: never")).await;
    world.device("mod-1", echo.port).await;
    until("it failed twice", || world.runtime.metrics().modules_failed >= 2).await;
    world.update::<Module>("mod-1", |module| module.running = false).await;
    world.module("mod-1", "stopped", |view| view.state == State::Stopped).await;
    until("its process is gone", || world.runtime.processes().is_empty()).await;
    assert_eq!(world.runtime.metrics().processes_failed, 0);
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drivers_are_bound_to_the_daemon_and_limited() {
    let trampoline = env!("CARGO_BIN_EXE_headend");
    let echo = Echo::new().await;
    let world = World::with(Options {
        trampoline: Some(trampoline.into()),
        process_files: 123,
        process_memory_bytes: 1 << 30,
        ..options()
    })
    .await;
    world.device("mod-1", echo.port).await;
    world.connected("mod-1").await;
    assert_eq!(world.exec("mod-1", "echo", r#"["hi"]"#).await, Ok(json!("hi")));
    let (pid, _) = world.instance("mod-1").await;
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let limits = read("limits");
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        line.trim_start_matches(name).split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!(limit("Max open files"), "123");
    assert_eq!(limit("Max core file size"), "0");
    assert_eq!(limit("Max data size"), (1 << 30).to_string());
    assert!(read("status").lines().any(|line| line.split_whitespace().eq(["NoNewPrivs:", "1"])));
    assert_eq!(read("environ").trim_end_matches('\0'), "RUST_BACKTRACE=1");
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let open: Vec<_> = open.map(|file| std::fs::read_link(file.unwrap().path()).unwrap()).collect();
    let sockets = open.iter().filter(|file| file.to_string_lossy().starts_with("socket:")).count();
    assert_eq!(sockets, 1, "its channel, and nothing of the daemon's: {open:?}");
    assert!(!open.iter().any(|file| file.starts_with(world.folder.path())), "{open:?}");
    world.runtime.shutdown().await;

    // One whose daemon is gone does not start: process 1 is not its parent.
    let orphan =
        std::process::Command::new(trampoline).args(["__host", "1", "0", "0", "/bin/true"]).output().unwrap();
    assert!(!orphan.status.success());
    let text = String::from_utf8_lossy(&orphan.stderr).into_owned();
    assert!(text.contains("the daemon (process 1) is gone"), "{text}");
}
