//! What was acknowledged is there after kill -9, and what should run does.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{Daemon, device::Device, drivers, until};

const WRITERS: u64 = 8;

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_write_survives_kill_9_and_every_module_that_should_run_does() {
    let mut daemon = Daemon::start();
    let device = Device::start().await;
    let loaded = drivers::probe().load(&daemon).await;
    let mut running = Vec::new();
    for _ in 0..20 {
        running.push(daemon.module(&loaded.drivers[0], device.address, json!({})).await);
    }
    let stopped = daemon.module(&loaded.drivers[0], device.address, json!({ "running": false })).await;

    let over = Arc::new(AtomicBool::new(false));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (api, over) = (daemon.api.clone(), over.clone());
        // Of each zone, the last count that was acknowledged, and the one that was last sent.
        writers.spawn(async move {
            let mut written: HashMap<String, (i64, i64)> = HashMap::new();
            for round in 0.. {
                let body = json!({ "name": format!("Zone {writer}-{round}"), "count": 0 });
                let Ok(answer) = api.try_send(Method::POST, "/zones", Some(body)).await else { break };
                assert_eq!(answer.status, 201, "{}", answer.text);
                let id = answer.json()["id"].as_str().unwrap().to_owned();
                let entry = written.entry(id.clone()).or_default();
                for count in 1..5 {
                    entry.1 = count;
                    let path = format!("/zones/{id}");
                    let Ok(answer) =
                        api.try_send(Method::PATCH, &path, Some(json!({ "count": count }))).await
                    else {
                        return written;
                    };
                    assert_eq!(answer.status, 200, "{}", answer.text);
                    entry.0 = count;
                }
                if over.load(Ordering::Relaxed) {
                    break;
                }
            }
            written
        });
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    daemon.kill();
    over.store(true, Ordering::Relaxed);
    let written: HashMap<String, (i64, i64)> = writers.join_all().await.into_iter().flatten().collect();
    assert!(written.len() > WRITERS as usize, "only {} zones were written", written.len());

    let daemon = daemon.again();
    for (id, (acknowledged, sent)) in &written {
        let count = daemon.api.get(&format!("/zones/{id}")).await["count"].as_i64().unwrap();
        assert!(
            (*acknowledged..=*sent).contains(&count),
            "{id} is at {count}, acknowledged {acknowledged}, sent {sent}"
        );
    }
    for module in &running {
        daemon.api.reaches(module, "running", true).await;
    }
    let echo = daemon.api.exec(&running[0], "echo", json!(["still here"])).await;
    assert_eq!((echo.status.as_u16(), echo.json()), (200, json!("still here")));
    until("the stopped module is stopped", async || {
        let module = daemon.api.get(&format!("/modules/{stopped}")).await;
        (module["runtime"]["state"] == "stopped").then_some(())
    })
    .await;
}
