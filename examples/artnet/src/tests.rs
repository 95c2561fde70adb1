//! The driver against a script, and against the package's node.

use drivers_sdk::standard_suite;
use drivers_sdk::testing::*;

use crate::Lights;
use crate::emulator::Emulator;
use crate::packet::{dmx, poll};

standard_suite!(Lights, emulator = Emulator, settings = settings());

fn settings() -> Value {
    json!({
        "universe": 3, "fade_ms": 0, "refresh_ms": 1000,
        "fixtures": {
            "desk": { "channels": [1] }, "wall": { "channels": [2, 3] }, "stage": { "channels": [512], "area": 2 },
        },
        "scenes": { "1": { "desk": 100, "wall": 40, "stage": 20 }, "2": { "wall": 0 } },
    })
}

/// The universe whose first three channels and last one are at these levels.
fn universe(number: u8, [a, b, c, last]: [u8; 4]) -> Vec<u8> {
    let mut levels = [0; 512];
    (levels[0], levels[1], levels[2], levels[511]) = (a, b, c, last);
    dmx(number, 3, &levels)
}

#[tokio::test]
async fn levels_are_sent_faded_and_sent_again() {
    let lights = Harness::<Lights>::with(settings()).await;
    lights.connect().await;
    lights.expect(poll()).await;
    lights.expect_nothing(millis(1050)).await;
    assert_eq!(
        lights.call("level", json!({ "fixture": "wall", "level": 40, "fade_ms": 100 })).await,
        Ok(Value::Null)
    );
    lights.expect(universe(1, [0; 4])).await;
    for (number, level) in [(2, 26), (3, 51), (4, 77), (5, 102)] {
        lights.advance(millis(25)).await;
        lights.expect(universe(number, [0, level, level, 0])).await;
    }
    lights.expect_nothing(millis(800)).await;
    lights.advance(millis(50)).await;
    lights.expect(universe(6, [0, 102, 102, 0])).await;
    assert_eq!(lights.call("blackout", (true,)).await, Ok(json!(true)));
    lights.expect(universe(7, [0; 4])).await;
    assert_eq!(lights.call("blackout", (false,)).await, Ok(json!(false)));
    lights.expect(universe(8, [0, 102, 102, 0])).await;
}

#[tokio::test]
async fn scenes_are_lit_by_area() {
    let lights = Harness::<Lights>::emulated::<Emulator>(settings()).await;
    lights.status("node", "Emulated").await;
    assert_eq!(lights.call("scene", (1,)).await, Ok(Value::Null));
    lights.status("levels", json!({ "desk": 100.0, "wall": 40.0, "stage": 20.0 })).await;
    lights.status("lighting_scene", json!({ "1": 1, "2": 1 })).await;
    lights.status("lighting_level", json!({ "1": 70.0, "2": 20.0 })).await;
    assert_eq!(lights.call("scene", (2, 1)).await, Ok(Value::Null));
    lights.status("lighting_scene", json!({ "1": 2, "2": 1 })).await;
    assert_eq!(lights.call("light", (60, 2)).await, Ok(Value::Null));
    lights.status("levels", json!({ "desk": 100.0, "wall": 0.0, "stage": 60.0 })).await;
    let refused = lights.call("scene", (9,)).await.expect_err("refused");
    assert_eq!(refused.message(), "setting `scenes` has no 9");
    let refused = lights.call("level", ("roof", 1)).await.expect_err("refused");
    assert_eq!(refused.message(), "setting `fixtures` has no \"roof\"");
}
