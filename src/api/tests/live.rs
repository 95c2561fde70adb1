//! A driver process behind the API: a Python program in the place of a built driver, so that nothing is compiled.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt, path::PathBuf};

use serde_json::{Value, json};

use super::server::Server;

/// A system with modules `Desk_1` and `Desk_2`, which run.
pub(super) struct Live {
    pub(super) server: Server,
    pub(super) system: String,
    pub(super) modules: [String; 2],
    _work: tempfile::TempDir,
}

/// The interpreter of the driver. Without it these tests are left out, but not under CI.
fn python() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("python3")).find(|path| path.is_file());
    assert!(found.is_some() || std::env::var("CI").as_deref() != Ok("true"), "python3 is missing");
    found
}

fn function(name: &str, params: &[&str], security: &str) -> Value {
    let params: Vec<Value> = params.iter().map(|name| json!({"name": name, "schema": {}})).collect();
    json!({"name": name, "params": params, "security": security})
}

fn hook() -> Value {
    let mut hook = function("hook", &["request"], "administrator");
    hook["webhook"] = json!(true);
    hook
}

fn manifest(kind: &str) -> Value {
    json!({
        "manifest": 1, "name": "Desk", "module": "Desk", "kind": kind,
        "functions": [
            function("set", &["key", "value"], "public"),
            function("echo", &["a", "b"], "public"),
            function("burst", &["key", "n"], "public"),
            function("log", &["n"], "public"),
            function("fail", &[], "public"),
            function("never", &[], "public"),
            function("send", &["text"], "public"),
            function("online", &["connected", "reason"], "public"),
            function("reset", &[], "administrator"),
            hook(),
        ],
        "interfaces": ["Powerable"],
        "requires": if kind == "logic" { json!([{"module": "Display"}, {"interface": "Powerable"}]) } else { json!([]) },
        "optional": if kind == "logic" { json!([{"interface": "Camera"}, {"module": "Desk"}]) } else { json!([]) },
    })
}

/// A git repository with one driver package; its commit.
fn repository(path: &std::path::Path) -> String {
    let repository = git2::Repository::init(path).unwrap();
    fs::create_dir_all(path.join("desk/src")).unwrap();
    let cargo = "[package]\nname = \"desk\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\ndrivers-sdk = \"*\"\n";
    fs::write(path.join("desk/Cargo.toml"), cargo).unwrap();
    fs::write(path.join("desk/src/main.rs"), "fn main() {}\n").unwrap();
    let mut index = repository.index().unwrap();
    index.add_all(["*"], git2::IndexAddOption::DEFAULT, None).unwrap();
    let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
    let author = git2::Signature::now("Test", "test@example.com").unwrap();
    let commit =
        repository.commit(Some("refs/heads/main"), &author, &author, "Add the desk", &tree, &[]).unwrap();
    repository.set_head("refs/heads/main").unwrap();
    commit.to_string()
}

impl Live {
    /// They are logic modules.
    pub(super) async fn start(server: Server) -> Option<Live> {
        Self::of(server, None).await
    }

    /// They have a device at this address, and are connected.
    pub(super) async fn device(server: Server, address: SocketAddr) -> Option<Live> {
        let live = Self::of(server, Some(address)).await?;
        for module in &live.modules {
            live.until(module, "connected", json!(true)).await;
        }
        Some(live)
    }

    async fn of(server: Server, device: Option<SocketAddr>) -> Option<Live> {
        let Some(python) = python() else {
            eprintln!("not tested: python3 is missing");
            return None;
        };
        let work = tempfile::tempdir().unwrap();
        let commit = repository(work.path());
        let uri = format!("file://{}", work.path().display());
        let body = json!({"name": "desks", "folder_name": "desks", "uri": uri, "branch": "main"});
        let repository = server.create("/repositories", body).await;
        let place = server.data().join("repositories/artifacts").join(&repository).join(&commit).join("desk");
        fs::create_dir_all(&place).unwrap();
        let program = place.join("driver");
        fs::write(&program, format!("#!{}\n{}", python.display(), include_str!("driver.py"))).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(
            place.join("manifest.json"),
            manifest(if device.is_some() { "device" } else { "logic" }).to_string(),
        )
        .unwrap();
        let body = json!({
            "name": "Desk", "module_name": "Desk", "file_name": "desk/Cargo.toml", "commit": commit,
            "repository_id": repository, "role": if device.is_some() { "device" } else { "logic" },
        });
        let driver = server.create("/drivers", body).await;
        let system = server.create("/systems", json!({"name": "office"})).await;
        let mut modules = Vec::new();
        for _ in 0..2 {
            let body = match device {
                None => json!({"driver_id": driver, "control_system_id": system, "running": true}),
                Some(at) => json!({"driver_id": driver, "ip": at.ip(), "port": at.port(), "running": true}),
            };
            modules.push(server.create("/modules", body).await);
        }
        let modules: [String; 2] = modules.try_into().unwrap();
        let live = Live { server, system, modules, _work: work };
        for module in &live.modules {
            live.reaches(module, "running").await;
        }
        Some(live)
    }

    /// Waits until a module is in a state.
    pub(super) async fn reaches(&self, module: &str, state: &str) {
        self.until(module, "state", json!(state)).await;
    }

    pub(super) async fn until(&self, module: &str, key: &str, value: Value) {
        let mut last = Value::Null;
        for _ in 0..600 {
            last = self.server.get(&format!("/modules/{module}")).await.json();
            if last["runtime"][key] == value {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("{module} does not reach {key} {value}: {last}");
    }
}
