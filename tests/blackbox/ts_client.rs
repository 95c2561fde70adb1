//! The npm client `@placeos/ts-client`, unmodified, under Node: what panels and admin tools are built on.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;

use super::support::{Daemon, device::Device, drivers};

/// Whether npm and Node are there. Under CI they must be.
fn has_node() -> bool {
    let there =
        |program| Command::new(program).arg("--version").output().is_ok_and(|done| done.status.success());
    let both = there("node") && there("npm");
    assert!(both || std::env::var("CI").as_deref() != Ok("true"), "node and npm are missing");
    both
}

/// The client and the script that drives it, installed in the target folder.
fn installed() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ts-client");
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ts-client");
    fs::create_dir_all(&place).unwrap();
    let lock = fs::read(source.join("package-lock.json")).unwrap();
    let same = fs::read(place.join("package-lock.json")).is_ok_and(|other| other == lock);
    for file in ["package.json", "run.mjs"] {
        fs::copy(source.join(file), place.join(file)).unwrap();
    }
    if !same || !place.join("node_modules").is_dir() {
        fs::copy(source.join("package-lock.json"), place.join("package-lock.json")).unwrap();
        let done = Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(&place)
            .output()
            .unwrap();
        assert!(done.status.success(), "npm ci: {}", String::from_utf8_lossy(&done.stderr));
    }
    place
}

#[tokio::test]
async fn the_npm_client_works_unmodified() {
    if !has_node() {
        eprintln!("not tested: node and npm are missing");
        return;
    }
    let place = installed();
    let daemon = Daemon::start();
    let loaded = drivers::probe().load(&daemon).await;
    let device = Device::start().await;
    let module = daemon.module(&loaded.drivers[0], device.address, json!({})).await;
    let system = daemon.api.create("systems", json!({ "name": "Room", "modules": [module] })).await;
    daemon.api.reaches(&module, "running", true).await;
    let host = daemon.url.trim_start_matches("http://").to_owned();
    let key = daemon.api.key.clone();
    let done = tokio::task::spawn_blocking(move || {
        Command::new("node")
            .args(["run.mjs", &host, &key, &system, "Probe", "count", "add", "5=5", "-3=2", "40=42"])
            .current_dir(place)
            .output()
            .unwrap()
    })
    .await
    .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}\n{}\n{}", String::from_utf8_lossy(&done.stderr), daemon.log());
    assert!(said.contains("ok Probe.add over WebSocket and REST"), "{said}");
}
