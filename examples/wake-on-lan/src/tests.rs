//! The driver against a script.

use drivers_sdk::standard_suite;
use drivers_sdk::testing::*;

use crate::emulator::Emulator;
use crate::{Waker, magic};

standard_suite!(Waker, emulator = Emulator, settings = json!({ "targets": { "desk": "00:1b:44:11:3a:b7" } }));

#[tokio::test]
async fn computers_are_woken_by_name_and_by_address() {
    let waker = Harness::<Waker>::with(json!({
        "targets": { "desk": "00:1b:44:11:3a:b7", "wall": "00-1B-44-11-3A-B8" }, "repeat": 2,
    }))
    .await;
    waker.connect().await;
    let (desk, wall) = ([0, 0x1b, 0x44, 0x11, 0x3a, 0xb7], [0, 0x1b, 0x44, 0x11, 0x3a, 0xb8]);
    assert_eq!(waker.call("wake", ("desk",)).await, Ok(Value::Null));
    for packet in [magic(desk), magic(desk)] {
        waker.expect(packet).await;
    }
    assert_eq!(waker.call("wake_all", ()).await, Ok(json!(2)));
    for packet in [magic(desk), magic(desk), magic(wall), magic(wall)] {
        waker.expect(packet).await;
    }
    assert_eq!(waker.call("wake", ("00:00:00:00:00:01",)).await, Ok(Value::Null));
    for packet in [magic([0, 0, 0, 0, 0, 1]), magic([0, 0, 0, 0, 0, 1])] {
        waker.expect(packet).await;
    }
    let refused = waker.call("wake", ("roof",)).await.expect_err("refused");
    assert!(refused.message().contains("\"roof\" is no target"), "{refused:?}");
}

#[tokio::test]
async fn a_wrong_address_is_named_as_soon_as_it_is_set() {
    let waker = Harness::<Waker>::new().await;
    let _ = waker.settings(json!({ "targets": { "desk": "00:1b" } })).await;
    waker.logged("\"00:1b\" is no target").await;
}
