//! Logic modules made with the SDK: by interface, in other systems, over channels, and for whom they work.

use headend::model::{Module, Role};
use headend::runtime::{Target, view::State};
use serde_json::json;

use crate::world::{World, call, driver, logic, system};

/// `mod-1` and `mod-2` in `sys-1`, `mod-3` in `sys-2`.
async fn rooms() -> World {
    let world = World::new().await;
    world.save(driver("driver-room", "room", Role::Logic)).await;
    world.save(system("sys-1", &["mod-1", "mod-2"])).await;
    world.save(system("sys-2", &["mod-3"])).await;
    for (id, system) in [("mod-1", "sys-1"), ("mod-2", "sys-1"), ("mod-3", "sys-2")] {
        let room = Module { driver_id: "driver-room".into(), name: "Room".into(), ..logic(id, system) };
        world.save(room).await;
    }
    for id in ["mod-1", "mod-2", "mod-3"] {
        world.running(id).await;
    }
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_are_found_by_interface_and_what_is_lacking_is_said() {
    let world = rooms().await;
    for (id, others) in [("mod-1", "1"), ("mod-2", "1"), ("mod-3", "0")] {
        world.status(id, "powerable", others).await;
    }
    assert_eq!(world.exec("mod-1", "all", "[true]").await.unwrap(), json!(1));
    world.status("mod-2", "power", "true").await;
    assert_eq!(world.runtime.status_value("mod-1", "power"), None, "it does not call itself");
    let lacks = |id: &str, system: &str| json!(world.runtime.lacks(id, system).unwrap());
    let display = json!({"module": "Display"});
    assert_eq!(lacks("mod-1", "sys-1"), json!({"required": [], "optional": [display]}));
    let powerable = json!({"interface": "Powerable"});
    assert_eq!(lacks("mod-3", "sys-2"), json!({"required": [powerable], "optional": [display]}));

    // A module comes, and one gets a driver without the interface.
    world.save(system("sys-2", &["mod-3", "mod-1"])).await;
    world.status("mod-3", "powerable", "1").await;
    world.update::<Module>("mod-1", |module| module.driver_id = "driver-logic".into()).await;
    world.status("mod-3", "powerable", "0").await;
    world.status("mod-2", "powerable", "0").await;
    world.update::<Module>("mod-1", |module| module.driver_id = "driver-room".into()).await;
    world.status("mod-3", "powerable", "1").await;
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_system_is_called_read_and_followed_by_its_id() {
    let world = rooms().await;
    world.exec("mod-1", "listen", r#"["sys-2"]"#).await.unwrap();
    world.exec("mod-2", "listen", r#"["sys-9"]"#).await.unwrap();
    assert_eq!(world.exec("mod-1", "elsewhere", r#"["sys-2", true]"#).await.unwrap(), json!(true));
    world.status("mod-3", "power", "true").await;
    world.status("mod-1", "next_door", "true").await;
    let error = world.exec("mod-1", "elsewhere", r#"["sys-9", true]"#).await.unwrap_err();
    assert!(error.to_string().contains("sys-9"), "{error}");

    // Whoever has the place is followed; so is a system that comes later.
    world.exec("mod-2", "power", "[false]").await.unwrap();
    world.save(system("sys-2", &["mod-2", "mod-3"])).await;
    world.status("mod-1", "next_door", "false").await;
    assert_eq!(world.runtime.status_value("mod-2", "next_door"), None, "there is no sys-9");
    world.save(system("sys-9", &["mod-3"])).await;
    world.status("mod-2", "next_door", "true").await;
    world.exec("mod-3", "power", "[false]").await.unwrap();
    world.status("mod-2", "next_door", "false").await;
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_heard_everywhere_also_after_a_restart() {
    let world = rooms().await;
    world.exec("mod-1", "say", r#"["one"]"#).await.unwrap();
    for id in ["mod-1", "mod-2", "mod-3"] {
        world.status(id, "heard", r#"["one"]"#).await;
    }
    world.exec("mod-2", "fall", "[]").await.unwrap_err();
    world
        .module("mod-2", "running again", |view| view.state == State::Running && view.last_error.is_some())
        .await;
    world.exec("mod-3", "say", r#"[{"two": 2}]"#).await.unwrap();
    world.status("mod-2", "heard", r#"[{"two":2}]"#).await;
    world.status("mod-1", "heard", r#"["one",{"two":2}]"#).await;
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drivers_subscription_follows_its_place_through_reordering_and_restarts() {
    let world = rooms().await;
    world.exec("mod-1", "power", "[true]").await.unwrap();
    world.status("mod-2", "neighbour", "true").await;
    world.exec("mod-2", "power", "[false]").await.unwrap();
    world.save(system("sys-1", &["mod-2", "mod-1"])).await;
    world.status("mod-2", "neighbour", "false").await;
    world.status("mod-1", "neighbour", "false").await;
    // The one that is followed falls; then the one that follows.
    world.exec("mod-2", "fall", "[]").await.unwrap_err();
    world
        .module("mod-2", "running again", |view| view.state == State::Running && view.last_error.is_some())
        .await;
    world.exec("mod-2", "power", "[true]").await.unwrap();
    world.status("mod-1", "neighbour", "true").await;
    world.exec("mod-1", "fall", "[]").await.unwrap_err();
    world
        .module("mod-1", "running again", |view| view.state == State::Running && view.last_error.is_some())
        .await;
    world.status("mod-1", "neighbour", "true").await;
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_user_is_known_along_the_whole_chain() {
    let world = rooms().await;
    for (function, args) in [("who", "[]"), ("who_there", "[2]")] {
        let mut request = call(Target::Module("mod-1".into()), function, args);
        request.user = Some("user-ann".into());
        let reply = world.runtime.exec(request).await.unwrap();
        assert_eq!(reply.value, &b"\"user-ann\""[..], "{function}");
        assert_eq!(world.exec("mod-1", function, args).await.unwrap(), json!(null));
    }
    world.runtime.shutdown().await;
}
