//! What runs: the reconciler, driver processes, the status table.
//!
//! Desired state is the store's; everything here is actual state, derived from live processes and sockets.
//!
//! - [`exec`]: calling a function. [`subscriptions`], [`debug`]: following status values and logs. [`view`]: what is shown.
//! - `modules`: the record of a module and its life. `status`: a module's values. `names`: places in systems.

pub mod debug;
pub mod exec;
mod modules;
mod names;
pub mod options;
mod status;
pub mod subscriptions;
pub mod view;

use std::sync::Arc;

use dashmap::DashMap;
use drivers_sdk_protocol::Manifest;

pub use exec::{Exec, Reply, Target};
pub use options::Options;
pub use subscriptions::Subscription;
pub use view::{DriverView, ModuleView, ProcessView};

use modules::Entry;
use names::Names;

/// The handle of the runtime; cheap to clone.
#[derive(Clone)]
pub struct Runtime(Arc<Shared>);

/// What the parts of the runtime share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) names: Arc<Names>,
    pub(crate) registry: Arc<subscriptions::Registry>,
    pub(crate) modules: DashMap<Arc<str>, Arc<Entry>>,
}

/// Why something that was asked of the runtime was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No such resource.
    #[error("there is no {kind} {id}")]
    NotFound {
        /// `repository`, `driver`.
        kind: &'static str,
        /// What was asked for.
        id: String,
    },
    /// Git or the compiler failed; the text is for people.
    #[error("{0}")]
    Failed(String),
    /// The runtime is shutting down.
    #[error("the daemon is stopping")]
    Stopping,
}

impl Runtime {
    /// Calls a function of a module.
    pub async fn exec(&self, request: Exec) -> Result<Reply, exec::Error> {
        let entry = self.0.find(&request.target)?;
        let life = entry.life();
        let why = life.detail.map_or_else(|| life.state.as_str().to_owned(), |detail| detail.to_string());
        Err(exec::Error::NotRunning { module: entry.id.to_string(), why })
    }

    /// The id of the `index`-th module (from 1) named `name` in a system.
    pub fn resolve(&self, system: &str, name: &str, index: u32) -> Option<Arc<str>> {
        self.0.names.resolve(system, name, index)
    }

    /// The status of a module: keys in order with the JSON text of their values. `None`: no such module.
    pub fn status(&self, module: &str) -> Option<Vec<(Arc<str>, Arc<str>)>> {
        self.0.modules.get(module).map(|entry| entry.board.all())
    }

    /// One status value, as JSON text.
    pub fn status_value(&self, module: &str, key: &str) -> Option<Arc<str>> {
        self.0.modules.get(module)?.board.get(key)
    }

    /// Follows a status value, by module or by place in a system, also of one that does not exist yet.
    ///
    /// The current value, if there is one, is delivered before this returns.
    pub fn subscribe(
        &self,
        target: Target,
        key: &str,
        sink: Arc<dyn subscriptions::Sink>,
        token: u64,
    ) -> Subscription {
        self.0.registry.subscribe(target, key, sink, token)
    }

    /// Follows a module's log from now on. `None`: no such module.
    pub fn debug(&self, module: &str) -> Option<debug::Stream> {
        self.0.modules.get(module).map(|entry| entry.log.follow(self.0.log_bounds()))
    }

    /// The last lines of a module's log.
    pub fn recent_log(&self, module: &str) -> Vec<debug::Line> {
        self.0.modules.get(module).map(|entry| entry.log.recent()).unwrap_or_default()
    }

    /// A module, as it is now.
    pub fn module(&self, id: &str) -> Option<ModuleView> {
        let entry = self.0.modules.get(id)?.clone();
        let life = entry.life();
        Some(ModuleView {
            id: entry.id.clone(),
            state: life.state,
            since: life.since,
            connected: false,
            reason: None,
            detail: life.detail.map(|detail| detail.to_string()),
            last_error: life.last_error,
            next_attempt: life.next_attempt,
            process: life.process,
            quarantined: life.quarantined,
            emulated: life.emulated,
            commit: life.commit,
        })
    }
}

/// Until the reconciler and the builds are part of this: each says so.
impl Runtime {
    /// What a module's driver declares about itself; `None` while it is not built.
    pub fn manifest(&self, _module: &str) -> Option<Arc<Manifest>> {
        None
    }

    /// Waits until the reconciler has acted on the store's changes up to `sequence`.
    pub async fn settled(&self, _sequence: u64) {}

    /// Fetches a repository; the commit that is in use now.
    pub async fn pull(&self, _repository: &str) -> Result<String, Error> {
        Err(Error::Failed("repositories are not part of this build yet".into()))
    }

    /// Builds a driver, `force`: even if that was done. Returns what it is now.
    pub async fn compile(&self, _driver: &str, _force: bool) -> Result<DriverView, Error> {
        Err(Error::Failed("builds are not part of this build yet".into()))
    }

    /// A driver's build, as it is now. `None`: no such driver.
    pub fn driver(&self, _id: &str) -> Option<DriverView> {
        None
    }

    /// The driver processes.
    pub fn processes(&self) -> Vec<ProcessView> {
        Vec::new()
    }

    /// Ends driver processes and closes links.
    pub async fn shutdown(&self) {}
}

impl Shared {
    fn find(&self, target: &Target) -> Result<Arc<Entry>, exec::Error> {
        match target {
            Target::Module(id) => self
                .modules
                .get(id.as_str())
                .map(|entry| entry.clone())
                .ok_or_else(|| exec::Error::ModuleNotFound(id.clone())),
            Target::Named { system, name, index } => {
                let id = self.names.resolve(system, name, *index).ok_or_else(|| {
                    match self.names.places(system) {
                        Some(_) => exec::Error::ModuleNotFound(format!("{name}_{index} in {system}")),
                        None => exec::Error::SystemNotFound(system.clone()),
                    }
                })?;
                let entry = self.modules.get(&id).map(|entry| entry.clone());
                entry.ok_or_else(|| exec::Error::ModuleNotFound(id.to_string()))
            }
        }
    }

    fn log_bounds(&self) -> debug::Bounds {
        debug::Bounds {
            lines: self.options.log_lines,
            backlog: self.options.log_backlog,
            line_bytes: self.options.log_line_bytes,
        }
    }
}
