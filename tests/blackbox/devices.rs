//! Devices that go away and come back.

use std::time::Duration;

use serde_json::json;

use crate::support::{Daemon, device::Device, drivers, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_goes_away_is_connected_again_without_anybody_asking() {
    let daemon = Daemon::start();
    let loaded = drivers::probe().load(&daemon).await;
    let outages = [500, 3_000, 10_000, 30_000].map(Duration::from_millis);
    let mut cases = Vec::new();
    for outage in outages {
        let device = Device::start().await;
        let module = daemon.module(&loaded.drivers[0], device.address, json!({})).await;
        daemon.api.reaches(&module, "running", true).await;
        cases.push((outage, device, module));
    }
    let mut waiting = Vec::new();
    for (outage, mut device, module) in cases {
        let api = daemon.api.clone();
        waiting.push(async move {
            let before = device.connections();
            device.go_away();
            let offline = until("the module is offline, with a reason", async || {
                let live = api.get(&format!("/modules/{module}")).await["runtime"].clone();
                (live["connected"] == json!(false) && live["reason"].is_string()).then_some(live)
            })
            .await;
            assert_eq!(offline["state"], "running", "{offline}");
            assert_eq!(api.status(&module, "connected").await, json!(false));
            // Whoever calls is told so, not kept waiting.
            let answer = api.exec(&module, "echo", json!(["hello?"])).await;
            assert!(!answer.status.is_success(), "{answer:?}");
            tokio::time::sleep(outage).await;
            device.come_back().await;
            api.reaches(&module, "running", true).await;
            assert_eq!(api.exec(&module, "echo", json!(["hello"])).await.json(), json!("hello"));
            assert!(device.connections() > before);
            assert_eq!(api.status(&module, "connected").await, json!(true));
        });
    }
    futures_util::future::join_all(waiting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_address_can_be_mended_while_the_module_is_offline() {
    let daemon = Daemon::start();
    let loaded = drivers::probe().load(&daemon).await;
    let device = Device::start().await;
    let mut gone = Device::start().await;
    gone.go_away();
    let module = daemon.module(&loaded.drivers[0], gone.address, json!({})).await;
    until("the module is offline", async || {
        let live = daemon.api.get(&format!("/modules/{module}")).await["runtime"].clone();
        (live["reason"] == "refused").then_some(())
    })
    .await;
    daemon.api.patch(&format!("/modules/{module}"), json!({ "port": device.address.port() })).await;
    daemon.api.reaches(&module, "running", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_reach_a_running_module() {
    let daemon = Daemon::start();
    let loaded = drivers::probe().load(&daemon).await;
    let device = Device::start().await;
    let module = daemon.module(&loaded.drivers[0], device.address, json!({})).await;
    daemon.api.reaches(&module, "running", true).await;
    let shows = async |label: &str| {
        until(&format!("the label is {label}"), async || {
            (daemon.api.status(&module, "label").await == json!(label)).then_some(())
        })
        .await;
    };
    shows("none").await;
    let of = |parent: &str, level: i64, text: &str| json!({ "parent_id": parent, "encryption_level": level, "settings_string": text });
    daemon.api.post("/settings", of(&loaded.drivers[0], 0, "label: of the driver")).await;
    shows("of the driver").await;
    let own = daemon.api.create("settings", of(&module, 2, "label: its own")).await;
    shows("its own").await;
    daemon.api.delete(&format!("/settings/{own}")).await;
    shows("of the driver").await;
    assert_eq!(device.connections(), 1, "new settings cost a connection");
}
