//! Driver processes that die, hang or panic, and those that must not outlive the daemon.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Daemon, device::Device, drivers, processes, until};

/// Far below the 30 s that a call may take: whoever waits for a dead driver must be told, not time out.
const AT_ONCE: Duration = Duration::from_secs(10);

async fn process(daemon: &Daemon, module: &str) -> u32 {
    let module = daemon.api.get(&format!("/modules/{module}")).await;
    u32::try_from(module["runtime"]["process"].as_u64().unwrap_or_else(|| panic!("no process: {module}")))
        .unwrap()
}

fn kill(pid: u32) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_driver_process_disturbs_no_other_and_its_modules_come_back() {
    let daemon = Daemon::start();
    let (device, other_device) = (Device::start().await, Device::start().await);
    let loaded = drivers::probe().load(&daemon).await;
    let victims = [
        daemon.module(&loaded.drivers[0], device.address, json!({})).await,
        daemon.module(&loaded.drivers[0], device.address, json!({})).await,
    ];
    let other = daemon.module(&loaded.drivers[1], other_device.address, json!({})).await;
    for module in [&victims[0], &victims[1], &other] {
        daemon.api.reaches(module, "running", true).await;
    }
    let (pid, other_pid) = (process(&daemon, &victims[0]).await, process(&daemon, &other).await);
    assert_ne!(pid, other_pid);
    daemon.api.exec(&other, "add", json!([1])).await;

    let (api, module) = (daemon.api.clone(), victims[0].clone());
    let slow = tokio::spawn(async move { api.exec(&module, "slow", json!([25_000])).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let killed = Instant::now();
    kill(pid);
    let answer = slow.await.unwrap();
    assert!(killed.elapsed() < AT_ONCE, "the caller was told after {:?}", killed.elapsed());
    assert!(!answer.status.is_success(), "{answer:?}");
    assert!(answer.text.contains("process") || answer.text.contains("ended"), "{answer:?}");

    for module in &victims {
        let what = format!("{module} is back in another process");
        until(&what, async || {
            let live = daemon.api.get(&format!("/modules/{module}")).await["runtime"].clone();
            (live["connected"] == json!(true) && live["process"].is_u64() && live["process"] != json!(pid))
                .then_some(())
        })
        .await;
        let echo = daemon.api.exec(module, "echo", json!(["back"])).await;
        assert_eq!(echo.json(), json!("back"));
    }
    assert_eq!(process(&daemon, &other).await, other_pid);
    assert_eq!(other_device.connections(), 1);
    assert_eq!(daemon.api.exec(&other, "add", json!([1])).await.json(), json!(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_one_module_and_its_siblings_work_on() {
    let daemon = Daemon::start();
    let device = Device::start().await;
    let loaded = drivers::probe().load(&daemon).await;
    let one = daemon.module(&loaded.drivers[0], device.address, json!({})).await;
    let sibling = daemon.module(&loaded.drivers[0], device.address, json!({})).await;
    for module in [&one, &sibling] {
        daemon.api.reaches(module, "running", true).await;
    }
    let pid = process(&daemon, &sibling).await;
    assert_eq!(daemon.api.exec(&sibling, "add", json!([7])).await.json(), json!(7));

    let answer = daemon.api.exec(&one, "boom", json!([])).await;
    assert!(!answer.status.is_success(), "{answer:?}");
    assert!(answer.text.contains("boom, as asked"), "{answer:?}");

    // The sibling: the same process, its state, no new connection for it.
    assert_eq!(daemon.api.exec(&sibling, "add", json!([1])).await.json(), json!(8));
    assert_eq!(process(&daemon, &sibling).await, pid);

    let fault = daemon.api.get(&format!("/modules/{one}")).await["runtime"]["last_error"].clone();
    assert!(fault["message"].as_str().is_some_and(|text| text.contains("boom, as asked")), "{fault}");
    assert!(fault["place"].as_str().is_some_and(|place| place.contains("main.rs")), "{fault}");
    daemon.api.reaches(&one, "running", true).await;
    assert_eq!(daemon.api.exec(&one, "echo", json!(["again"])).await.json(), json!("again"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_hangs_is_ended_and_its_modules_come_back() {
    let daemon = Daemon::start();
    let device = Device::start().await;
    let loaded = drivers::probe().load(&daemon).await;
    let module = daemon.module(&loaded.drivers[0], device.address, json!({})).await;
    daemon.api.reaches(&module, "running", true).await;
    let pid = process(&daemon, &module).await;
    let answer = daemon.api.exec(&module, "hang", json!([])).await;
    assert!(!answer.status.is_success(), "{answer:?}");
    until("the module runs in another process", async || {
        let live = daemon.api.get(&format!("/modules/{module}")).await["runtime"].clone();
        (live["connected"] == json!(true) && live["process"].is_u64() && live["process"] != json!(pid))
            .then_some(())
    })
    .await;
    assert_eq!(daemon.api.exec(&module, "echo", json!(["alive"])).await.json(), json!("alive"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_driver_process_outlives_the_daemon() {
    for end in ["SIGTERM", "SIGKILL"] {
        let mut daemon = Daemon::start();
        let device = Device::start().await;
        let loaded = drivers::probe().load(&daemon).await;
        for driver in &loaded.drivers {
            let module = daemon.module(driver, device.address, json!({})).await;
            daemon.api.reaches(&module, "running", true).await;
        }
        // Drivers are started from the artifacts of this data directory.
        let artifacts =
            daemon.data().canonicalize().unwrap().join("repositories/artifacts").display().to_string();
        assert!(processes(&artifacts).len() >= 2, "no driver runs from {artifacts}");
        if end == "SIGTERM" {
            let (status, took) = daemon.stop();
            assert!(status.success(), "{status}");
            assert!(took < Duration::from_secs(10), "it took {took:?}");
            assert_eq!(processes(&artifacts), [0u32; 0], "after {end}");
        } else {
            daemon.kill();
            until("no driver is left", async || processes(&artifacts).is_empty().then_some(())).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raised_error_reaches_the_caller_with_its_words() {
    let daemon = Daemon::start();
    let device = Device::start().await;
    let loaded = drivers::probe().load(&daemon).await;
    let module = daemon.module(&loaded.drivers[0], device.address, json!({})).await;
    daemon.api.reaches(&module, "running", true).await;
    let answer = daemon.api.exec(&module, "fail", json!([])).await;
    assert_eq!(answer.status, 409, "{answer:?}");
    assert_eq!(
        (&answer.json()["code"], &answer.json()["error"]),
        (&json!("asked"), &json!("failed, as asked"))
    );
    for (function, arguments) in
        [("nothing", json!([])), ("add", json!(["seven"])), ("add", json!([1, 2, 3]))]
    {
        let answer = daemon.api.exec(&module, function, arguments.clone()).await;
        assert_eq!(answer.status, 400, "{function}{arguments}: {answer:?}");
        assert!(answer.json()["error"].is_string() || answer.json()["message"].is_string(), "{answer:?}");
    }
    let state: Value = daemon.api.get(&format!("/modules/{module}/state")).await;
    assert_eq!(state["count"], json!("0"));
}
