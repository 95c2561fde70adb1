//! Many who watch at once, and one who stops reading.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Daemon, Socket, device::Device, drivers};

/// A building's panel binds about this much.
const BINDINGS: i64 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_stops_reading_holds_up_nobody() {
    let daemon = Daemon::start();
    let device = Device::start().await;
    let loaded = drivers::probe().load(&daemon).await;
    let module = daemon.module(&loaded.drivers[0], device.address, json!({})).await;
    let system = daemon.api.create("systems", json!({ "name": "Room", "modules": [module] })).await;
    daemon.api.reaches(&module, "running", true).await;

    let mut reader = Socket::open(&daemon.api).await;
    let mut stalled = Socket::open(&daemon.api).await;
    for socket in [&mut reader, &mut stalled] {
        // Most are of modules that do not exist (yet), as on any panel.
        for index in 2..BINDINGS {
            socket.command("bind", &system, ("Probe", index), "tick", Value::Null).await;
        }
        for name in ["tick", "ballast", "count"] {
            let id = socket.command("bind", &system, ("Probe", 1), name, Value::Null).await;
            assert_eq!(socket.reply(id).await["type"], "success");
        }
    }
    // Enough to fill every buffer between the daemon and the one that does not read.
    let api = daemon.api.clone();
    let flooded = module.clone();
    let flood = tokio::spawn(async move { api.exec(&flooded, "flood", json!([3000, 20_000])).await });
    let last =
        reader.find(|message| message["meta"]["name"] == "tick" && message["value"] == json!(3000)).await;
    assert_eq!(last["meta"], json!({ "sys": system, "mod": "Probe", "index": 1, "name": "tick" }));
    assert_eq!(flood.await.unwrap().json(), json!(3000));

    // The others are served as before.
    let id = reader.command("exec", &system, ("Probe", 1), "add", json!([5])).await;
    let mut expected = vec![json!("success"), json!("notify")];
    while !expected.is_empty() {
        // In whichever order they come.
        let of_count = |message: &Value| message["meta"]["name"] == "count" && message["type"] == "notify";
        let message = reader.find(|message| of_count(message) || message["id"] == json!(id)).await;
        assert_eq!(message["value"], json!(5), "{message}");
        expected.retain(|kind| *kind != message["type"]);
    }
    // The one that stopped reading either catches up with the last value, or was cut off.
    let caught_up = async {
        loop {
            let Some(Ok(frame)) = futures_util::StreamExt::next(&mut stalled.stream).await else { return };
            let Ok(text) = frame.to_text() else { return };
            let message: Value = serde_json::from_str(text).unwrap_or_default();
            if message["meta"]["name"] == "tick" && message["value"] == json!(3000) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), caught_up).await.expect("neither caught up nor cut off");
}

#[tokio::test(flavor = "multi_thread")]
async fn bindings_follow_a_module_to_its_new_place() {
    let daemon = Daemon::start();
    let device = Device::start().await;
    let loaded = drivers::probe().load(&daemon).await;
    let [first, second] = [
        daemon.module(&loaded.drivers[0], device.address, json!({})).await,
        daemon.module(&loaded.drivers[0], device.address, json!({})).await,
    ];
    let system = daemon.api.create("systems", json!({ "name": "Room", "modules": [first, second] })).await;
    for (module, count) in [(&first, 1), (&second, 2)] {
        daemon.api.reaches(module, "running", true).await;
        daemon.api.exec(module, "add", json!([count])).await;
    }
    let mut socket = Socket::open(&daemon.api).await;
    socket.text("ping").await;
    assert_eq!(socket.next_text().await, "pong");
    socket.command("bind", &system, ("Probe", 1), "count", Value::Null).await;
    socket.find(|message| message["type"] == "notify" && message["value"] == json!(1)).await;
    let version = daemon.api.get(&format!("/systems/{system}")).await["version"].clone();
    daemon
        .api
        .patch(&format!("/systems/{system}?version={version}"), json!({ "modules": [second, first] }))
        .await;
    socket.find(|message| message["type"] == "notify" && message["value"] == json!(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_debug_session_shows_what_the_driver_logs() {
    let daemon = Daemon::start();
    let device = Device::start().await;
    let loaded = drivers::probe().load(&daemon).await;
    let module = daemon.module(&loaded.drivers[0], device.address, json!({})).await;
    let system = daemon.api.create("systems", json!({ "name": "Room", "modules": [module] })).await;
    daemon.api.reaches(&module, "running", true).await;
    let mut socket = Socket::open(&daemon.api).await;
    let id = socket.command("debug", &system, (&module, 1), "debug", Value::Null).await;
    assert_eq!(socket.reply(id).await["type"], "success");
    socket.command("exec", &system, ("Probe", 1), "say", json!(["hello there"])).await;
    let line = socket.find(|message| message["type"] == "debug" && message["msg"] == "hello there").await;
    assert_eq!((&line["level"], &line["mod"], &line["id"]), (&json!("info"), &json!(module), &json!(id)));
}
