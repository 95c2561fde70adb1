//! The driver among modules that the test makes up.

use drivers_sdk::testing::*;

use crate::NewDriver;

fn display() -> Fake {
    Fake::new().status("power", false).sets("power", "power")
}

fn room() -> MockSystem {
    MockSystem::new()
        .module("Display", display())
        .module("Display", display())
}

// What every driver has to keep: `headend driver check` shows it as a table.
drivers_sdk::testing::standard_suite!(NewDriver, system = room());

#[tokio::test]
async fn it_turns_every_display_on_and_follows_the_first() {
    let system = room();
    let room = Harness::<NewDriver>::in_system(system.clone()).await;
    room.status("power", false).await;

    assert_eq!(room.call("power", (true,)).await, Ok(json!(2)));
    room.status("power", true).await;
    assert_eq!(system.get("Display", 2, "power"), true);

    // Somebody turns it off by hand.
    system.set("Display", 1, "power", false);
    room.status("power", false).await;
}
