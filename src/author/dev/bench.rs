//! The daemon's own parts over a store that is gone at the end: one driver, one module.
//!
//! A program counts as a commit, named by its hash. So a new program is an upgrade, as it is in the daemon, and the link
//! stays; going back to one that was is one too.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use drivers_sdk_protocol::Manifest;
use drivers_sdk_protocol::manifest::{Kind, Security};
use serde_json::value::RawValue;

use super::{Options, follow};
use crate::author::scratch::Scratch;
use crate::author::{Error, Result};
use crate::connections::recorder::format::{About, Format, Writer};
use crate::connections::{self, Connections};
use crate::model::{Driver, Module, Repository, Resource, Role, Settings, System};
use crate::repositories::{self, Repositories};
use crate::runtime::{self, Exec, Runtime, Target, exec};
use crate::secrets::Vault;
use crate::store::{self, Expect, typed};

pub(super) const MODULE: &str = "mod-dev";
const DRIVER: &str = "driver-dev";
const REPOSITORY: &str = "repo-dev";
const SYSTEM: &str = "sys-dev";
const FILE: &str = "driver/Cargo.toml";
/// Records that `wire` shows.
const SHOWN: usize = 20;

pub(super) struct Bench {
    pub(super) runtime: Runtime,
    repositories: Repositories,
    store: store::Handle,
    folder: Scratch,
}

impl Bench {
    /// Runs this program's module.
    pub(super) async fn start(program: &Path, manifest: &Manifest, options: &Options) -> Result<Bench> {
        let module = module(manifest, options)?;
        let settings = settings(options)?;
        let folder = Scratch::new("headend-dev-");
        let folder = folder.map_err(Error::disk(&std::env::temp_dir(), "written"))?;
        let failed = |what: &'static str, why: String| Error::place(folder.path(), format!("{what}: {why}"));
        let store = store::sqlite::open(folder.path().join("headend.db"));
        let store = store.map_err(|error| failed("the store does not open", error.to_string()))?;
        let vault = Vault::open(folder.path())
            .map_err(|error| failed("the vault does not open", error.to_string()))?;
        let repositories =
            Repositories::open(folder.path().join("repositories"), repositories::Options::default());
        let repositories =
            repositories.map_err(|error| failed("the repositories do not open", error.to_string()))?;
        let known_hosts = Some(folder.path().join("known_hosts"));
        let connections =
            Connections::new(connections::Options { known_hosts, ..connections::Options::default() });
        let limits = runtime::Options {
            run_dir: folder.path().join("run"),
            trampoline: options.trampoline.clone(),
            ..runtime::Options::default()
        };
        let runtime =
            Runtime::start(store.clone(), Arc::new(vault), repositories.clone(), connections, limits);
        let runtime = runtime.map_err(|error| failed("the runtime does not start", error.to_string()))?;
        let bench = Bench { runtime, repositories, store, folder };
        let commit = bench.put(program, manifest)?;
        bench
            .save(&Repository {
                id: REPOSITORY.into(),
                name: manifest.name.clone(),
                uri: "/nowhere".into(),
                deployed_commit_hash: Some(commit.clone()),
                ..Repository::default()
            })
            .await?;
        let driver = Driver {
            id: DRIVER.into(),
            name: manifest.name.clone(),
            module_name: manifest.module.clone(),
            file_name: FILE.into(),
            commit,
            repository_id: REPOSITORY.into(),
            role: role(manifest.kind),
            default_uri: manifest.uri.clone(),
            default_port: manifest.port.map(i64::from),
            ..Driver::default()
        };
        bench.save(&driver).await?;
        bench.save(&settings).await?;
        if driver.role == Role::Logic {
            let (id, name, modules) = (SYSTEM.into(), "Development".into(), vec![MODULE.into()]);
            bench.save(&System { id, name, modules, ..System::default() }).await?;
        }
        let mut module = module;
        module.adopt(&driver);
        bench.save(&module).await?;
        Ok(bench)
    }

    /// Lets another program take over; whether it is another.
    pub(super) async fn load(&self, program: &Path, manifest: &Manifest) -> Result<bool> {
        let commit = self.put(program, manifest)?;
        let changed = |driver: &mut Driver| {
            let is_new = driver.commit != commit;
            driver.commit.clone_from(&commit);
            is_new
        };
        let before =
            typed::find::<Driver>(&*self.store, DRIVER).await.map_err(|error| self.failed(&error))?;
        let is_new = before.is_none_or(|before| before.value.commit != commit);
        if let Some(stored) =
            typed::update(&*self.store, DRIVER, changed).await.map_err(|error| self.failed(&error))?
        {
            self.runtime.settled(stored.revision).await;
        }
        Ok(is_new)
    }

    /// Calls a function, as an administrator.
    pub(super) fn call(
        &self,
        function: &str,
        args: Box<RawValue>,
    ) -> impl Future<Output = Result<String, exec::Error>> + use<> {
        let runtime = self.runtime.clone();
        let call = Exec {
            target: Target::Module(MODULE.into()),
            function: function.to_owned(),
            args,
            user: None,
            clearance: Security::Administrator,
            deadline: None,
        };
        async move { Ok(String::from_utf8_lossy(&runtime.exec(call).await?.value).into_owned()) }
    }

    /// Everything that the module shows, a line for each.
    pub(super) fn status(&self) -> String {
        let mut lines = Vec::new();
        if let Some(view) = self.runtime.module(MODULE) {
            lines.push(follow::word(view.state.as_str(), view.detail.as_deref()));
        }
        let status = self.runtime.status(MODULE).unwrap_or_default();
        lines.extend(status.iter().map(|(key, value)| format!("  {key} = {value}")));
        lines.join("\n")
    }

    /// The last of what went over the wire.
    pub(super) fn wire(&self) -> String {
        let records = self.runtime.recorder(MODULE).map(|recorder| recorder.records()).unwrap_or_default();
        if records.is_empty() {
            return "nothing has gone over the wire yet".into();
        }
        let mut writer = Writer::new(Format::Text, &About::default(), false);
        records.iter().skip(records.len().saturating_sub(SHOWN)).for_each(|record| writer.record(record));
        String::from_utf8_lossy(&writer.finish()).trim_end().to_owned()
    }

    pub(super) async fn stop(self) {
        tokio::join!(self.runtime.shutdown(), self.repositories.shutdown());
    }

    /// Puts a program where a build would have put it; the commit that it counts as.
    fn put(&self, program: &Path, manifest: &Manifest) -> Result<String> {
        let bytes = fs::read(program).map_err(Error::disk(program, "read"))?;
        let hash = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &bytes);
        let commit: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        if self.repositories.artifact(REPOSITORY, FILE, &commit).is_none() {
            let put = self.repositories.put(REPOSITORY, FILE, &commit, program, manifest);
            put.map_err(|error| self.failed(&error))?;
        }
        Ok(commit)
    }

    async fn save<R: Resource>(&self, resource: &R) -> Result<()> {
        let saved = typed::save(&*self.store, resource, Expect::Any).await;
        self.runtime.settled(saved.map_err(|error| self.failed(&error))?).await;
        Ok(())
    }

    fn failed(&self, error: &dyn std::error::Error) -> Error {
        Error::place(self.folder.path(), error.to_string())
    }
}

fn role(kind: Kind) -> Role {
    match kind {
        Kind::Ssh => Role::Ssh,
        Kind::Device => Role::Device,
        Kind::Service => Role::Service,
        Kind::Websocket => Role::Websocket,
        Kind::Logic => Role::Logic,
    }
}

fn settings(options: &Options) -> Result<Settings> {
    let mut settings = Settings {
        id: "sets-dev".into(),
        parent_id: MODULE.into(),
        settings_string: options.settings.clone().unwrap_or_else(|| "{}".into()),
        ..Settings::default()
    };
    crate::model::settings::parse(&settings.settings_string)
        .map_err(|error| Error::Usage(format!("--settings: {error}")))?;
    settings.normalize();
    Ok(settings)
}

/// Where the driver finds its device.
pub(super) fn module(manifest: &Manifest, options: &Options) -> Result<Module> {
    let mut module = Module {
        id: MODULE.into(),
        running: true,
        udp: manifest.udp,
        makebreak: manifest.makebreak,
        ..Module::default()
    };
    let wrong = |why: &str| Error::Usage(format!("{}: {why}", manifest.name));
    match &options.connect {
        _ if manifest.kind == Kind::Logic => module.control_system_id = Some(SYSTEM.into()),
        None if manifest.emulator => {
            module.emulated = true;
            module.ip = "127.0.0.1".into();
            module.port = manifest.port.map_or(1, i64::from);
            module.uri = manifest.uri.clone().unwrap_or_default();
        }
        None => {
            let why =
                "it carries no model of its device. Say where the device is: --connect HOST:PORT, or a URI";
            return Err(wrong(why));
        }
        Some(uri) if uri.contains("://") => module.uri.clone_from(uri),
        Some(host) if manifest.kind == Kind::Service => module.uri = format!("http://{host}"),
        Some(host) if manifest.kind == Kind::Websocket => module.uri = format!("ws://{host}"),
        Some(address) => {
            let (host, port) = match address.rsplit_once(':') {
                Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                    let port = port.parse::<u16>().map_err(|_| wrong(&format!("{port:?} is no port")))?;
                    (host, Some(port))
                }
                _ => (address.as_str(), None),
            };
            let port = port.or(manifest.port).ok_or_else(|| wrong("say the port: --connect HOST:PORT"))?;
            module.ip = host.trim_matches(['[', ']']).to_owned();
            module.port = port.into();
        }
    }
    Ok(module)
}
