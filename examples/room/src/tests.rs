//! The driver in a room of fake modules.

use drivers_sdk::testing::*;

use crate::Room;

fn display() -> Fake {
    Fake::new().status("power_state", "standby").answer("power", |args| Ok(args[0].clone()))
}

fn music() -> Fake {
    let silent = ["stop", "clear", "add", "volume", "play"];
    silent.iter().fold(Fake::new().status("state", None::<String>), |fake, name| {
        fake.answer(name, |_| Ok(Value::Null))
    })
}

drivers_sdk::testing::standard_suite!(
    Room,
    system = MockSystem::new().module("Display", display()).module("Music", music()),
);

#[tokio::test]
async fn a_display_that_warms_up_is_asked_again() {
    let warming = Fake::new()
        .status("power_state", "cooling")
        .answer("power", |_| Err(Error::device("it is cooling down")));
    let system = MockSystem::new().module("Display", display()).module("Display", warming);
    let room = Harness::<Room>::in_system(system.clone()).await;
    room.status("power", false).await;
    assert_eq!(room.call("power", (true,)).await, Ok(json!(true)));
    room.status("failed", json!({"Display_2": "it is cooling down"})).await;
    assert_eq!(system.take_calls().len(), 2);

    system.set("Display", 2, "power_state", "standby");
    room.advance(secs(1)).await;
    let again = system.take_calls();
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].module.as_str(), &again[0].args), ("Display_2", &json!([true])));
}

#[tokio::test]
async fn music_plays_what_the_settings_say() {
    let system = MockSystem::new().module("Music", music());
    let settings = json!({"music_folder": "lobby", "music_volume": 20});
    let room = Harness::<Room>::in_system_with(system.clone(), settings).await;
    room.call("power", (true,)).await.unwrap();
    let calls: Vec<String> = system.take_calls().into_iter().map(|call| call.function).collect();
    assert_eq!(calls, ["clear", "add", "volume", "play"]);
    system.set("Music", 1, "state", "play");
    room.status("power", true).await;
}
