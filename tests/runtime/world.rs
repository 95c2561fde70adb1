//! A store, repositories, connections and the runtime over them, with drivers that are built already.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use drivers_sdk_protocol::manifest::Security;
use headend::connections::{self, Connections};
use headend::model::{Driver, Module, Repository, Resource, Role, Settings, System};
use headend::repositories::{self, Repositories};
use headend::runtime::{Exec, ModuleView, Options, Runtime, Target, exec, view};
use headend::secrets::Vault;
use headend::store::{self, Expect, typed};
use serde_json::Value;
use serde_json::value::RawValue;

/// How long a condition may take to become true.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const COMMIT_A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
pub(crate) const COMMIT_B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const DRIVERS: [&str; 7] = ["probe", "logic", "line", "socket", "shell", "service", "room"];
const REPOSITORY: &str = "repo-probe";

pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: store::Handle,
    pub(crate) runtime: Runtime,
}

/// Short pauses, so that tests do not wait long.
pub(crate) fn options() -> Options {
    Options {
        ping_interval_ms: 100,
        hung_ms: 1_000,
        restart_ms: 50,
        restart_max_ms: 500,
        stop_grace_ms: 2_000,
        process_start_ms: 10_000,
        ..Options::default()
    }
}

impl World {
    pub(crate) async fn new() -> World {
        World::with(options()).await
    }

    pub(crate) async fn with(options: Options) -> World {
        let folder = tempfile::tempdir().unwrap();
        for driver in DRIVERS {
            for commit in [COMMIT_A, COMMIT_B] {
                artifact(folder.path(), driver, commit);
            }
        }
        let store = store::sqlite::open(folder.path().join("headend.db")).unwrap();
        let runtime = start(folder.path(), store.clone(), options);
        let world = World { folder, store, runtime };
        world
            .save(Repository {
                id: REPOSITORY.into(),
                name: "probes".into(),
                uri: "/nowhere".into(),
                deployed_commit_hash: Some(COMMIT_A.into()),
                ..Repository::default()
            })
            .await;
        world.save(driver("driver-probe", "probe", Role::Device)).await;
        world.save(driver("driver-logic", "logic", Role::Logic)).await;
        world.save(driver("driver-line", "line", Role::Device)).await;
        world.save(driver("driver-socket", "socket", Role::Websocket)).await;
        world.save(driver("driver-shell", "shell", Role::Ssh)).await;
        world.save(driver("driver-service", "service", Role::Service)).await;
        world
    }

    /// Ends the runtime and starts another on the same data.
    pub(crate) async fn restart(&mut self) {
        self.runtime.shutdown().await;
        self.runtime = start(self.folder.path(), self.store.clone(), options());
    }

    /// Writes a resource and waits until the runtime has acted on it.
    pub(crate) async fn save<R: Resource>(&self, resource: R) {
        let sequence = typed::save(&*self.store, &resource, Expect::Any).await.unwrap();
        self.runtime.settled(sequence).await;
    }

    pub(crate) async fn update<R: Resource>(&self, id: &str, change: impl Fn(&mut R) + Send + Sync) {
        let change = move |resource: &mut R| {
            change(resource);
            true
        };
        let stored = typed::update::<R>(&*self.store, id, change).await.unwrap().unwrap();
        self.runtime.settled(stored.revision).await;
    }

    pub(crate) async fn delete<R: Resource>(&self, id: &str) {
        let sequence = self.store.commit(vec![typed::delete::<R>(id, Expect::Any)]).await.unwrap();
        self.runtime.settled(sequence).await;
    }

    pub(crate) async fn find<R: Resource>(&self, id: &str) -> R {
        typed::find::<R>(&*self.store, id).await.unwrap().unwrap().value
    }

    /// Adds a running device module at this port.
    pub(crate) async fn device(&self, id: &str, port: u16) {
        self.save(device(id, port)).await;
    }

    pub(crate) async fn running(&self, id: &str) -> ModuleView {
        self.module(id, "running", |view| view.state == view::State::Running).await
    }

    pub(crate) async fn connected(&self, id: &str) -> ModuleView {
        self.module(id, "connected", |view| view.state == view::State::Running && view.connected).await
    }

    /// Waits until a module is as `wanted` says.
    pub(crate) async fn module(
        &self,
        id: &str,
        what: &str,
        wanted: impl Fn(&ModuleView) -> bool,
    ) -> ModuleView {
        let mut last = None;
        until(&format!("{id} is {what}"), || {
            last = self.runtime.module(id);
            last.as_ref().is_some_and(&wanted)
        })
        .await;
        last.unwrap()
    }

    pub(crate) async fn status(&self, id: &str, key: &str, value: &str) {
        until(&format!("{key} of {id} is {value}"), || {
            self.runtime.status_value(id, key).as_deref() == Some(value)
        })
        .await;
    }

    pub(crate) async fn exec(&self, id: &str, function: &str, args: &str) -> Result<Value, exec::Error> {
        self.exec_on(Target::Module(id.into()), function, args).await
    }

    pub(crate) async fn exec_on(
        &self,
        target: Target,
        function: &str,
        args: &str,
    ) -> Result<Value, exec::Error> {
        let reply = self.runtime.exec(call(target, function, args)).await?;
        Ok(serde_json::from_slice(&reply.value).unwrap())
    }

    /// Process id and handle of a module's instance: another instance has another pair.
    pub(crate) async fn instance(&self, id: &str) -> (u64, u64) {
        let instance = self.exec(id, "instance", "[]").await.unwrap();
        (instance["pid"].as_u64().unwrap(), instance["handle"].as_u64().unwrap())
    }
}

fn start(folder: &Path, store: store::Handle, options: Options) -> Runtime {
    let vault = Arc::new(Vault::open(folder).unwrap());
    let repositories =
        Repositories::open(folder.join("repositories"), repositories::Options::default()).unwrap();
    let connections =
        Connections::new(connections::Options { refused_pause_ms: 100, ..connections::Options::default() });
    let options = Options { run_dir: folder.join("run"), ..options };
    Runtime::start(store, vault, repositories, connections, options).unwrap()
}

pub(crate) fn call(target: Target, function: &str, args: &str) -> Exec {
    Exec {
        target,
        function: function.into(),
        args: RawValue::from_string(args.into()).unwrap(),
        user: None,
        clearance: Security::Public,
        deadline: Some(Duration::from_secs(20)),
    }
}

pub(crate) fn driver(id: &str, folder: &str, role: Role) -> Driver {
    Driver {
        id: id.into(),
        name: folder.into(),
        module_name: "Probe".into(),
        file_name: format!("{folder}/Cargo.toml"),
        commit: "HEAD".into(),
        repository_id: REPOSITORY.into(),
        role,
        ..Driver::default()
    }
}

pub(crate) fn device(id: &str, port: u16) -> Module {
    Module {
        id: id.into(),
        driver_id: "driver-probe".into(),
        name: "Probe".into(),
        role: Role::Device,
        ip: "127.0.0.1".into(),
        port: port.into(),
        running: true,
        ..Module::default()
    }
}

/// A module of the driver that is made with the SDK.
pub(crate) fn line(id: &str, port: u16) -> Module {
    Module { driver_id: "driver-line".into(), name: "Line".into(), ..device(id, port) }
}

pub(crate) fn logic(id: &str, system: &str) -> Module {
    Module {
        id: id.into(),
        driver_id: "driver-logic".into(),
        name: "Logic".into(),
        role: Role::Logic,
        control_system_id: Some(system.into()),
        running: true,
        ..Module::default()
    }
}

pub(crate) fn system(id: &str, modules: &[&str]) -> System {
    let modules = modules.iter().map(|id| (*id).to_owned()).collect();
    System { id: id.into(), name: id.to_uppercase(), modules, ..System::default() }
}

pub(crate) fn settings(parent: &str, text: &str) -> Settings {
    let mut settings = Settings {
        id: format!("sets-{parent}"),
        parent_id: parent.into(),
        settings_string: text.into(),
        ..Settings::default()
    };
    settings.normalize();
    settings
}

pub(crate) fn named(system: &str, name: &str, index: u32) -> Target {
    Target::Named { system: system.into(), name: name.into(), index }
}

/// Waits until something is true.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until something that has to be asked for is true.
pub(crate) async fn until_async<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Puts a driver where a build would have put it.
fn artifact(folder: &Path, driver: &str, commit: &str) {
    static MANIFESTS: OnceLock<BTreeMap<&str, Vec<u8>>> = OnceLock::new();
    let manifests = MANIFESTS.get_or_init(|| {
        let manifest = |driver: &str| {
            let kind = if driver == "logic" { "logic" } else { "device" };
            let output = match driver {
                "probe" | "logic" => Command::new(program(driver)).args(["--manifest", kind]).output(),
                _ => Command::new(program(driver)).arg("--manifest").output(),
            };
            let manifest = output.unwrap().stdout;
            let kind = match driver {
                "socket" => r#""kind": "websocket""#,
                "shell" => r#""kind": "ssh""#,
                _ => return manifest,
            };
            // Whatever its way to a device is, the driver is the same.
            let manifest = String::from_utf8(manifest).unwrap();
            manifest.replace(r#""kind": "device""#, kind).into_bytes()
        };
        DRIVERS.map(|driver| (driver, manifest(driver))).into()
    });
    let place = folder.join("repositories/artifacts").join(REPOSITORY).join(commit).join(driver);
    std::fs::create_dir_all(&place).unwrap();
    std::os::unix::fs::symlink(program(driver), place.join("driver")).unwrap();
    std::fs::write(place.join("manifest.json"), &manifests[driver]).unwrap();
}

/// The program of a driver: an example, built with this test.
fn program(driver: &str) -> &'static Path {
    static PROBE: OnceLock<PathBuf> = OnceLock::new();
    static LINE: OnceLock<PathBuf> = OnceLock::new();
    static SERVICE: OnceLock<PathBuf> = OnceLock::new();
    static ROOM: OnceLock<PathBuf> = OnceLock::new();
    match driver {
        "line" | "socket" | "shell" => LINE.get_or_init(|| example("drivers-sdk", "line_driver")),
        "room" => ROOM.get_or_init(|| example("drivers-sdk", "room_driver")),
        "service" => SERVICE.get_or_init(|| example("drivers-sdk", "service_driver")),
        _ => PROBE.get_or_init(|| example("drivers-sdk-protocol", "probe_driver")),
    }
}

/// When a file, or the newest in a folder, was changed.
fn changed(path: &Path) -> Option<std::time::SystemTime> {
    match std::fs::read_dir(path) {
        Ok(folder) => folder.flatten().filter_map(|entry| changed(&entry.path())).max(),
        Err(_) => path.metadata().and_then(|file| file.modified()).ok(),
    }
}

fn example(package: &str, name: &str) -> PathBuf {
    // target/debug/deps/runtime-… → target/debug/examples/…
    let path = std::env::current_exe().unwrap();
    let path = path.parent().unwrap().parent().unwrap().join("examples").join(name);
    // Not every way of running this test builds the examples too, and one that is stale would be tested in silence.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = vec![format!("tests/fixtures/{name}.rs"), "drivers-sdk/protocol/src".into()];
    if package == "drivers-sdk" {
        sources.extend(["drivers-sdk/src".into(), "drivers-sdk/macros/src".into()]);
    }
    if changed(&path) < sources.iter().map(|source| changed(&root.join(source))).max().flatten() {
        let release = (!cfg!(debug_assertions)).then_some("--release");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "-p", package, "--example", name]).args(release);
        assert!(cargo.current_dir(root).status().unwrap().success());
    }
    path
}
