//! `MockSystem`: what a test gets wrong fails it, and other systems are others.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use drivers_sdk::prelude::*;
use drivers_sdk::testing::*;

#[derive(Default, Status)]
struct State {
    /// What the lamp next door says.
    next_door: Option<bool>,
    /// How many lamps there are here.
    lamps: u32,
}

#[derive(Settings)]
struct Options {
    /// The id of the system next door.
    next_door: String,
}

#[derive(Default)]
struct Hall;

#[driver(name = "Hall", module = "Hall", logic, settings = Options, status = State)]
impl Hall {
    #[follow]
    fn follow(&self, cx: &Cx<Self>) {
        let lamp = cx.system_by_id(&cx.settings().next_door).module("Lamp", 1);
        lamp.subscribe("power", async |_: &Hall, cx: &Cx<Hall>, power: Option<bool>| {
            cx.status.set(|status| status.next_door = power);
        });
        let lamps = cx.system().count("Lamp");
        cx.status.set(|status| status.lamps = lamps);
    }

    /// Switches the lamp next door; what it says of itself then.
    #[function]
    async fn power(&self, cx: &Cx<Self>, on: bool) -> Result<Option<bool>> {
        let lamp = cx.system_by_id(&cx.settings().next_door).module("Lamp", 1);
        lamp.call("power", (on,)).await?;
        lamp.status("power").await
    }
}

/// A system with lamps that say this of themselves.
fn lamps(power: &[bool]) -> MockSystem {
    let lamp = |on| Fake::new().status("power", on).sets("power", "power");
    power.iter().fold(MockSystem::new(), |system, on| system.module("Lamp", lamp(on)))
}

async fn hall(system: &MockSystem, next_door: &str) -> Harness<Hall> {
    Harness::<Hall>::in_system_with(system.clone(), json!({ "next_door": next_door })).await
}

#[tokio::test]
async fn another_system_has_modules_and_calls_of_its_own() {
    let next_door = lamps(&[false, true]);
    let here = lamps(&[true]).other("sys-9", next_door.clone());
    let hall = hall(&here, "sys-9").await;
    hall.status("next_door", false).await;
    hall.status("lamps", 1).await;
    assert_eq!(hall.call("power", (true,)).await, Ok(json!(true)));
    hall.status("next_door", true).await;
    assert_eq!((next_door.take_calls().len(), here.take_calls().len()), (1, 0));

    // What changes there is followed, and nothing of what changes here.
    here.set("Lamp", 1, "power", false);
    hall.advance(secs(1)).await;
    hall.status("next_door", true).await;
    next_door.set("Lamp", 1, "power", false);
    hall.status("next_door", false).await;
    next_door.reorder("Lamp", &[2, 1]);
    hall.status("next_door", true).await;
    next_door.remove("Lamp", 1);
    hall.status("next_door", false).await;
    next_door.remove("Lamp", 1);
    hall.status("next_door", None::<bool>).await;
    hall.status("lamps", 1).await;
    assert_eq!(hall.call("power", (true,)).await.unwrap_err().code(), "not_found");
}

#[tokio::test]
async fn a_system_that_nobody_made_is_not_found() {
    let here = lamps(&[true]).other("sys-9", lamps(&[true]));
    let hall = hall(&here, "sys-8").await;
    hall.status("next_door", None::<bool>).await;
    let error = hall.call("power", (true,)).await.unwrap_err();
    assert_eq!(error.code(), "not_found");
    assert!(error.message().starts_with("there is no system sys-8"), "{error}");
    assert_eq!(here.take_calls(), []);

    // The system's own id is as good as none.
    hall.settings(json!({ "next_door": "sys-test" })).await.unwrap();
    hall.status("next_door", true).await;
    assert_eq!(hall.call("power", (false,)).await, Ok(json!(false)));
    assert_eq!(here.get("Lamp", 1, "power"), false);
}

#[test]
fn what_does_not_exist_fails_the_test_and_is_told_what_does() {
    let system =
        lamps(&[true, true]).module("Screen", Fake::new().status("input", "hdmi").status("lamp", true));
    let wrong = |what: &dyn Fn()| -> String {
        let panic = catch_unwind(AssertUnwindSafe(what)).unwrap_err();
        *panic.downcast::<String>().unwrap()
    };
    let there = "it has Lamp_1, Lamp_2, Screen_1";
    for (what, missing) in [
        (&|| system.set("Lam", 1, "power", true) as (), "Lam_1"),
        (&|| system.set("Lamp", 3, "power", true), "Lamp_3"),
        (&|| drop(system.get("Lamp", 0, "power")), "Lamp_0"),
        (&|| system.remove("Lamp", 3), "Lamp_3"),
        (&|| system.reorder("Lam", &[1]), "Lam_1"),
    ] as [(&dyn Fn(), &str); 5]
    {
        assert_eq!(wrong(what), format!("there is no module {missing} in this system: {there}"));
    }
    let no_key =
        "Screen_1 has no status `power`: it has input, lamp; Fake::status gives it one, also without a value";
    assert_eq!(wrong(&|| system.set("Screen", 1, "power", true)), no_key);
    assert_eq!(wrong(&|| drop(system.get("Screen", 1, "power"))), no_key);
    for order in [&[1][..], &[1, 1], &[1, 2, 3], &[0, 1]] {
        let said = format!("{order:?} is no order of Lamp_1 to Lamp_2: each has to be there once");
        assert_eq!(wrong(&|| system.reorder("Lamp", order)), said);
    }

    let own = "sys-test is the id of the system that the module under test is in";
    assert_eq!(wrong(&|| drop(system.clone().other("sys-test", MockSystem::new()))), own);

    // A key without a value is one, and so is what a function sets.
    let system =
        MockSystem::new().module("Lamp", Fake::new().status("level", None::<u8>).sets("power", "power"));
    assert_eq!(system.get("Lamp", 1, "power"), Value::Null);
    system.set("Lamp", 1, "level", 3);
    assert_eq!(system.get("Lamp", 1, "level"), 3);
}
