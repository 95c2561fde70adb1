//! How fast it is; not how right. Ignored: run with `cargo test --release --test runtime -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use headend::model::{Driver, Module};
use headend::runtime::Target;
use headend::store::{Expect, typed};

use crate::peer::Echo;
use crate::world::{World, call, device, until};

/// Resident memory of a process, bytes.
fn resident(pid: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    };
    field("Private_Dirty:") + field("Private_Clean:")
}

async fn many(count: usize, port: u16) -> (World, Duration) {
    let world = World::new().await;
    world.update::<Driver>("driver-probe", |_| ()).await;
    let modules =
        (0..count).map(|number| Module { running: false, ..device(&format!("mod-{number}"), port) });
    let steps = modules.map(|module| typed::put(&module, Expect::Any).unwrap()).collect();
    world.runtime.settled(world.store.commit(steps).await.unwrap()).await;
    println!("daemon with {count} stopped modules: {} KiB private", resident("self") / 1024);
    let modules = (0..count).map(|number| device(&format!("mod-{number}"), port));
    let steps = modules.map(|module| typed::put(&module, Expect::Any).unwrap()).collect();
    world.store.commit(steps).await.unwrap();
    let begun = Instant::now();
    until("all are connected", || {
        (0..count).all(|number| {
            world.runtime.status_value(&format!("mod-{number}"), "connected").as_deref() == Some("true")
        })
    })
    .await;
    let took = begun.elapsed();
    until("all have started", || world.runtime.metrics().modules_started >= count as u64).await;
    (world, took)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn five_thousand_modules() {
    let echo = Echo::new().await;
    let empty = resident("self");
    let (world, took) = many(5_000, echo.port).await;
    let (pid, _) = world.instance("mod-0").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (daemon, driver) = (resident("self"), resident(&pid.to_string()));
    println!("5 000 modules, from the commit to all connected: {took:?}");
    println!(
        "private memory, this process (daemon and devices): {} KiB, before {} KiB",
        daemon / 1024,
        empty / 1024
    );
    println!("private memory, driver process: {} KiB", driver / 1024);
    world.runtime.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn calls() {
    let echo = Echo::new().await;
    let (world, _) = many(100, echo.port).await;
    for in_flight in [1, 10, 100] {
        let begun = Instant::now();
        let mut callers = Vec::new();
        for number in 0..in_flight {
            let runtime = world.runtime.clone();
            callers.push(tokio::spawn(async move {
                let mut took = Vec::new();
                while begun.elapsed() < Duration::from_secs(3) {
                    let one = Instant::now();
                    let call = call(Target::Module(format!("mod-{number}")), "echo", r#"["hello"]"#);
                    runtime.exec(call).await.unwrap();
                    took.push(one.elapsed());
                }
                took
            }));
        }
        let mut all = Vec::new();
        for caller in callers {
            all.extend(caller.await.unwrap());
        }
        let rate = all.len() as f64 / begun.elapsed().as_secs_f64();
        all.sort();
        let at = |part: f64| all[((all.len() - 1) as f64 * part) as usize];
        println!("{in_flight} in flight: {rate:.0}/s, p50 {:?}, p99 {:?}", at(0.5), at(0.99));
    }
    world.runtime.shutdown().await;
}
