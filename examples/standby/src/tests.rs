//! Two encoders in a system that go and come.

use drivers_sdk::testing::*;

use super::Standby;

fn encoder() -> Fake {
    Fake::new().status("connected", true).status("live", false).sets("live", "live")
}

fn encoders() -> MockSystem {
    MockSystem::new().module("Encoder", encoder()).module("Encoder", encoder())
}

fn settings(more: Value) -> Value {
    let mut settings = json!({
        "module": "Encoder",
        "functions": ["live"],
        "on_take_over": [{ "function": "live", "args": [true] }],
        "on_stand_by": [{ "function": "live", "args": [false] }],
    });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    settings
}

#[tokio::test]
async fn the_backup_takes_over_and_the_master_comes_back() {
    let system = encoders();
    let standby = Harness::<Standby>::in_system_with(system.clone(), settings(json!({}))).await;
    standby.status("online", json!({ "1": true, "2": true })).await;
    standby.status("in_charge", 1).await;
    standby.status("redundant", true).await;
    standby.call("forward", ("live", [true])).await.unwrap();
    assert_eq!(
        (system.get("Encoder", 1, "live"), system.get("Encoder", 2, "live")),
        (json!(true), json!(false))
    );

    // A moment is nothing.
    system.set("Encoder", 1, "connected", false);
    standby.advance(secs(4)).await;
    system.set("Encoder", 1, "connected", true);
    standby.advance(secs(10)).await;
    standby.status("in_charge", 1).await;

    system.set("Encoder", 1, "connected", false);
    standby.advance(secs(4)).await;
    standby.status("in_charge", 1).await;
    standby.status("in_charge", 2).await;
    standby.status("failed_over", true).await;
    standby.status("redundant", false).await;
    // The one that is away is told nothing.
    assert_eq!(
        (system.get("Encoder", 1, "live"), system.get("Encoder", 2, "live")),
        (json!(true), json!(true))
    );

    // It comes and goes: only when it has stayed does it take over.
    system.set("Encoder", 1, "connected", true);
    standby.advance(secs(20)).await;
    system.set("Encoder", 1, "connected", None::<bool>);
    standby.advance(secs(20)).await;
    system.set("Encoder", 1, "connected", true);
    standby.advance(secs(29)).await;
    standby.status("in_charge", 2).await;
    standby.advance(secs(1)).await;
    standby.status("in_charge", 1).await;
    standby.status("failed_over", false).await;
    assert_eq!(
        (system.get("Encoder", 1, "live"), system.get("Encoder", 2, "live")),
        (json!(true), json!(false))
    );
}

#[tokio::test]
async fn without_fail_back_people_decide() {
    let system = encoders();
    let settings = settings(json!({ "fail_back": false, "grace_seconds": 0 }));
    let standby = Harness::<Standby>::in_system_with(system.clone(), settings).await;
    standby.status("redundant", true).await;
    system.set("Encoder", 1, "connected", false);
    standby.status("in_charge", 2).await;
    assert_eq!(standby.call("take_over", (1,)).await.unwrap_err().code(), "bad_request");
    system.set("Encoder", 1, "connected", true);
    standby.advance(secs(600)).await;
    standby.status("in_charge", 2).await;
    standby.call("take_over", (1,)).await.unwrap();
    standby.status("in_charge", 1).await;
    // The master fails while nobody is there to take over.
    system.set("Encoder", 2, "connected", false);
    system.set("Encoder", 1, "connected", false);
    standby.advance(secs(60)).await;
    standby.status("in_charge", 1).await;
    system.set("Encoder", 2, "connected", true);
    standby.status("in_charge", 2).await;
}

#[tokio::test]
async fn what_fails_is_named_and_the_system_may_change() {
    let system = MockSystem::new()
        .module("Encoder", encoder())
        .module("Encoder", Fake::new().status("connected", true));
    let standby = Harness::<Standby>::in_system_with(system.clone(), settings(json!({}))).await;
    standby.call("take_over", (2,)).await.unwrap();
    let failed = standby.status_now("failed").unwrap();
    assert!(failed[0].as_str().unwrap().starts_with("Encoder_2.live: "), "{failed}");
    assert_eq!(standby.call("forward", ("reboot",)).await.unwrap_err().code(), "bad_request");

    system.remove("Encoder", 2);
    standby.status("in_charge", 1).await;
    standby.status("redundant", false).await;
    system.remove("Encoder", 1);
    standby.status("in_charge", None::<u32>).await;
    assert_eq!(standby.call("forward", ("live", [true])).await.unwrap_err().code(), "offline");
}

standard_suite!(Standby, settings = json!({ "module": "Encoder" }), system = encoders());
