//! Calling functions.

use std::time::Duration;

use drivers_sdk_protocol::manifest::Security;
use headend::runtime::{Options, Target, exec};
use serde_json::json;

use crate::peer::Echo;
use crate::world::{World, call, device, logic, named, options, system};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_to_the_device_and_back() {
    let echo = Echo::new().await;
    let world = World::new().await;
    world.device("mod-1", echo.port).await;
    world.save(system("sys-1", &["mod-1"])).await;
    world.connected("mod-1").await;
    assert_eq!(world.exec("mod-1", "echo", r#"["hello"]"#).await, Ok(json!("hello")));
    world.status("mod-1", "last", "\"hello\"").await;
    world.status("mod-1", "connected", "true").await;
    assert_eq!(world.exec_on(named("sys-1", "Probe", 1), "add", "[1, 2]").await, Ok(json!(3)));
    assert_eq!(world.exec("mod-1", "add", "[5]").await, Ok(json!(5)));
    let metrics = world.runtime.metrics();
    assert_eq!((metrics.execs_done, metrics.execs_failed, metrics.modules_started), (3, 0, 1));
    world.runtime.shutdown().await;
    assert_eq!(world.runtime.processes().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_called_is_refused_with_the_reason() {
    let world = World::new().await;
    let echo = Echo::new().await;
    world.device("mod-1", echo.port).await;
    world.save(headend::model::Module { running: false, ..device("mod-2", 1) }).await;
    world.save(system("sys-1", &["mod-1"])).await;
    world.connected("mod-1").await;

    let refused = async |target: Target, function: &str, args: &str| {
        world.exec_on(target, function, args).await.unwrap_err()
    };
    let by_id = |id: &str| Target::Module(id.into());
    assert_eq!(
        refused(named("sys-9", "Probe", 1), "add", "[1]").await,
        exec::Error::SystemNotFound("sys-9".into())
    );
    for missing in [by_id("mod-9"), named("sys-1", "Probe", 2), named("sys-1", "Other", 1)] {
        let error = refused(missing, "add", "[1]").await;
        assert!(matches!(error, exec::Error::ModuleNotFound(_)), "{error:?}");
    }
    let error = refused(by_id("mod-1"), "fly", "[]").await;
    assert_eq!(error, exec::Error::UnknownFunction { module: "mod-1".into(), function: "fly".into() });
    let error = refused(by_id("mod-1"), "guarded", "[]").await;
    assert_eq!(error, exec::Error::Denied { function: "guarded".into(), needed: "support" });
    let error = refused(by_id("mod-1"), "add", "[1, 2, 3]").await;
    assert_eq!(error.to_string(), "add takes 1 to 2 arguments (a, b), not 3");
    let error = refused(by_id("mod-2"), "add", "[1]").await;
    assert_eq!(error.to_string(), "mod-2 is not running: it is stopped; start it first");
    assert_eq!(error.status(), 503);

    let mut allowed = call(by_id("mod-1"), "guarded", "[]");
    allowed.clearance = Security::Support;
    assert_eq!(&world.runtime.exec(allowed).await.unwrap().value[..], b"\"secret\"");
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_late_or_given_up_is_answered_and_the_driver_told() {
    let world = World::new().await;
    let echo = Echo::new().await;
    world.device("mod-1", echo.port).await;
    world.running("mod-1").await;

    let mut late = call(Target::Module("mod-1".into()), "never", "[]");
    late.deadline = Some(Duration::from_millis(100));
    let error = world.runtime.exec(late.clone()).await.unwrap_err();
    assert_eq!(error.to_string(), "never of mod-1 did not answer within 100 ms");
    world.status("mod-1", "cancelled", "true").await;

    world.exec("mod-1", "set", r#"["cancelled", null]"#).await.unwrap();
    late.deadline = None;
    let given_up = tokio::time::timeout(Duration::from_millis(50), world.runtime.exec(late)).await;
    assert!(given_up.is_err());
    world.status("mod-1", "cancelled", "true").await;
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_calls_ends_when_the_first_caller_gives_up() {
    let world = World::new().await;
    let echo = Echo::new().await;
    world.device("mod-1", echo.port).await;
    world.save(system("sys-1", &["mod-1", "mod-logic"])).await;
    world.save(logic("mod-logic", "sys-1")).await;
    world.connected("mod-1").await;
    world.connected("mod-logic").await;

    // Three deep: the logic module calls itself, and then the device's module. By itself the innermost has 30 s.
    let args = r#"["Logic", "call", ["Probe", "never", []]]"#;
    let mut chain = call(Target::Module("mod-logic".into()), "call", args);
    chain.deadline = Some(Duration::from_secs(2));
    let error = world.runtime.exec(chain).await.unwrap_err();
    // All three deadlines are the same moment but for the milliseconds on the way; any of them may be told first.
    assert!(error.to_string().contains(" did not answer within "), "{error}");
    world.status("mod-1", "cancelled", "true").await;
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_works_on_so_many_calls_and_no_more() {
    let world = World::with(Options { calls_in_flight: 8, ..options() }).await;
    let echo = Echo::new().await;
    world.device("mod-1", echo.port).await;
    world.connected("mod-1").await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..9 {
        let (runtime, never) = (world.runtime.clone(), call(Target::Module("mod-1".into()), "never", "[]"));
        calls.spawn(async move { runtime.exec(never).await });
    }
    let refused = calls.join_next().await.unwrap().unwrap().unwrap_err();
    assert!(refused.to_string().contains("working on 8 calls"), "{refused}");
    assert_eq!(refused.status(), 503);
    // The others are given up, and there is room again.
    calls.shutdown().await;
    assert_eq!(world.exec("mod-1", "add", "[1, 1]").await, Ok(json!(2)));
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_is_about_to_run_is_waited_for() {
    let world = World::new().await;
    let echo = Echo::new().await;
    world.device("mod-1", echo.port).await;
    // Its process has only just been started.
    assert_eq!(world.exec("mod-1", "add", "[1, 1]").await, Ok(json!(2)));
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logic_module_calls_reads_and_follows_others_of_its_system() {
    let world = World::new().await;
    let echo = Echo::new().await;
    world.device("mod-1", echo.port).await;
    world.save(system("sys-1", &["mod-1", "mod-logic"])).await;
    world.save(logic("mod-logic", "sys-1")).await;
    world.connected("mod-1").await;
    world.connected("mod-logic").await;
    world.status("mod-logic", "connected", "true").await;

    let seen = world.exec("mod-logic", "system", "[]").await.unwrap();
    assert_eq!(seen, json!({"id": "sys-1", "name": "SYS-1", "modules": {"Logic": 1, "Probe": 1}}));
    let relayed = world.exec("mod-logic", "call", r#"["Probe", "echo", ["over"]]"#).await;
    assert_eq!(relayed, Ok(json!("over")));
    assert_eq!(world.exec("mod-logic", "read", r#"["Probe", "last"]"#).await, Ok(json!("over")));
    assert_eq!(world.exec("mod-logic", "read", r#"["Probe", "nothing"]"#).await, Ok(json!(null)));

    world.exec("mod-logic", "follow", r#"["Probe", "last"]"#).await.unwrap();
    world.status("mod-logic", "followed", "\"over\"").await;
    world.exec("mod-1", "echo", r#"["again"]"#).await.unwrap();
    world.status("mod-logic", "followed", "\"again\"").await;

    let error = world.exec("mod-logic", "call", r#"["Probe", "add", []]"#).await.unwrap_err();
    assert_eq!(error, exec::Error::BadRequest("add takes 1 to 2 arguments (a, b), not 0".into()));
    let error = world.exec("mod-logic", "call", r#"["Screen", "up", []]"#).await.unwrap_err();
    assert!(matches!(&error, exec::Error::Raised(failure) if failure.code == "not_found"), "{error:?}");

    // The places of the system changed: the logic module is told.
    world.save(system("sys-1", &["mod-logic"])).await;
    world.status("mod-logic", "followed", "null").await;
    let seen = world.exec("mod-logic", "system", "[]").await.unwrap();
    assert_eq!(seen["modules"], json!({"Logic": 1}));
    world.runtime.shutdown().await;
}
