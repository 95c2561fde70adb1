//! Driver repositories: the probe, and the examples; built once for all tests.
//!
//! A build takes half a minute where its dependencies have yet to be compiled. So what is built of a commit is kept in
//! the target folder, under the hash of all that went into it, and laid into the data directory of whoever needs it.
//! Tests about builds do build.

use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{Daemon, Setup, builds::kept, git::Work, within};

/// The first build compiles the SDK and what it stands on.
const BUILD: std::time::Duration = std::time::Duration::from_secs(420);

/// A commit of drivers.
pub struct Drivers {
    pub work: Work,
    pub commit: String,
    /// Paths of the packages' manifests, with the name of their modules and their role.
    pub packages: Vec<(&'static str, &'static str, i64)>,
}

/// A repository and its drivers in a daemon.
pub struct Loaded {
    pub repository: String,
    /// In the order of the packages.
    pub drivers: Vec<String>,
}

/// The probe twice: two drivers, so that one can suffer while the other is watched.
pub fn probe() -> Drivers {
    let work = Work::new();
    let manifest = include_str!("../drivers/probe/Cargo.toml");
    let source = include_str!("../drivers/probe/src/main.rs");
    for name in ["probe", "other"] {
        work.write(&format!("{name}/Cargo.toml"), &manifest.replace("\"probe\"", &format!("\"{name}\"")));
        work.write(&format!("{name}/src/main.rs"), source);
    }
    let commit = work.commit("Add the probe");
    Drivers {
        work,
        commit,
        packages: vec![("probe/Cargo.toml", "Probe", 1), ("other/Cargo.toml", "Other", 1)],
    }
}

/// The example repository, of which this driver is built.
pub fn example(name: &str, module: &'static str) -> Drivers {
    let (work, commit) = examples();
    let manifest = format!("examples/{name}/Cargo.toml").leak();
    Drivers { work, commit, packages: vec![(manifest, module, 1)] }
}

/// The example repository as it stands in this work tree, in the folder `examples` of a repository of its own.
pub fn examples() -> (Work, String) {
    let work = Work::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("examples")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true if entry.file_name() == "target" => {}
                true => folders.push(path),
                false => {
                    let text = fs::read_to_string(&path).unwrap();
                    drop(work.write(path.strip_prefix(root).unwrap().to_str().unwrap(), &text));
                }
            }
        }
    }
    let commit = work.commit("Add the examples");
    (work, commit)
}

impl Drivers {
    /// Makes the repository and its drivers in a daemon, built.
    pub async fn load(&self, daemon: &Daemon) -> Loaded {
        let built = self.built().await;
        let repository = create_repository(daemon, &self.work.uri()).await;
        let place = daemon.data().join("repositories/artifacts").join(&repository);
        copy(&built, &place.join(&self.commit));
        let mut drivers = Vec::new();
        for package in &self.packages {
            drivers.push(create_driver(daemon, &repository, package).await);
        }
        for driver in &drivers {
            compiled(daemon, driver).await;
        }
        Loaded { repository, drivers }
    }

    /// The folder that holds what is built of this commit; builds it if nobody has. To be called by whoever starts a
    /// daemon that builds before it does, for one builds at a time.
    pub async fn built(&self) -> PathBuf {
        let place = kept().join("built").join(format!("{:016x}", self.key()));
        let lock = File::create(kept().join("built.lock")).unwrap();
        let _lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await.unwrap().unwrap();
        if place.is_dir() {
            return place;
        }
        let daemon = Setup::default().building().start();
        let repository = create_repository(&daemon, &self.work.uri()).await;
        for package in &self.packages {
            let driver = create_driver(&daemon, &repository, package).await;
            compiled(&daemon, &driver).await;
        }
        let fresh = tempfile::tempdir_in(kept()).unwrap();
        copy(
            &daemon.data().join("repositories/artifacts").join(&repository).join(&self.commit),
            fresh.path(),
        );
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::rename(fresh.keep(), &place).unwrap();
        place
    }

    /// Of all that goes into the build: the sources, what is built of them, the SDK, the compiler.
    fn key(&self) -> u64 {
        let mut hash = DefaultHasher::new();
        self.commit.hash(&mut hash);
        self.packages.hash(&mut hash);
        let compiler = std::process::Command::new("rustc").arg("-V").output().map(|done| done.stdout);
        compiler.unwrap_or_default().hash(&mut hash);
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("drivers-sdk");
        let mut folders = vec![sdk];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                let skipped = path
                    .file_name()
                    .is_some_and(|name| name == "target" || name == "tests" || name == "fuzz");
                match path.is_dir() {
                    true if !skipped => folders.push(path),
                    false => files.push(path),
                    _ => {}
                }
            }
        }
        files.sort();
        for file in files {
            fs::read(file).unwrap().hash(&mut hash);
        }
        hash.finish()
    }
}

pub async fn create_repository(daemon: &Daemon, uri: &str) -> String {
    let body = json!({ "name": "Drivers", "folder_name": "drivers", "uri": uri, "branch": "main" });
    daemon.api.create("repositories", body).await
}

pub async fn create_driver(
    daemon: &Daemon,
    repository: &str,
    (file_name, module_name, role): &(&str, &str, i64),
) -> String {
    let body = json!({
        "name": file_name, "module_name": module_name, "file_name": file_name, "commit": "HEAD",
        "repository_id": repository, "role": role,
    });
    daemon.api.create("drivers", body).await
}

/// Waits until a driver is built.
pub async fn compiled(daemon: &Daemon, driver: &str) {
    let path = format!("/drivers/{driver}/compiled");
    within(BUILD, &format!("driver {driver} is built"), async || {
        let answer = daemon.api.send(reqwest::Method::GET, &path, None).await;
        assert_ne!(answer.status, 503, "the build failed: {}", answer.text);
        answer.status.is_success().then_some(())
    })
    .await;
}

/// Fails if a build did, with what the compiler said.
pub async fn none_failed(daemon: &Daemon) {
    for driver in daemon.api.get("/drivers?limit=100").await.as_array().unwrap() {
        let said = driver["compilation_output"].as_str();
        assert!(said.is_none(), "{}: {}", driver["file_name"], said.unwrap_or_default());
    }
}

impl Daemon {
    /// A module of a device driver, which should run.
    pub async fn module(&self, driver: &str, address: std::net::SocketAddr, extra: Value) -> String {
        let mut body = json!({
            "driver_id": driver, "ip": address.ip().to_string(), "port": address.port(), "running": true,
        });
        for (key, value) in extra.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        self.api.create("modules", body).await
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}
