//! What runs: the reconciler, driver processes, the status table.
//!
//! Desired state is the store's; everything here is actual state, derived from live processes and sockets.
//!
//! ```text
//!   store ──changes──▶ directory ──affected──▶ reconciler ◀──built── drivers ◀── repositories
//!                                             │   ▲    │
//!                          starts, ends them  │   │    │ opens, changes, closes
//!                                             ▼   │    ▼
//!   exec ──▶ calls ──▶ modules ◀──────────── host │   links
//!                         │ status, log           │    │
//!   subscriptions ◀───────┘        driver process ┘    └─ devices
//! ```
//!
//! - `directory`: desired state in memory. `drivers`: from documents to built programs. `reconciler`: brings one to the other.
//! - `modules`: the record of a module, and the wire between its link and its process. `host`: driver processes.
//!   `emulator`: emulated devices. `spawner` and [`trampoline`]: how processes are started.
//! - [`exec`], `calls`: calling a function. `channels`: what modules say to whoever listens. `names`: places in systems. `needs`: what those lack. `status`, [`subscriptions`], [`debug`]: following
//!   values and logs. [`view`], [`metrics`]: what is shown. [`options`]: every limit.

mod backoff;
mod calls;
mod channels;
pub mod debug;
mod directory;
mod drivers;
mod emulator;
pub mod exec;
mod host;
pub mod metrics;
mod modules;
mod names;
mod needs;
pub mod options;
mod program;
mod reconciler;
mod shared;
mod spawner;
mod status;
pub mod subscriptions;
pub mod trampoline;
pub mod view;

use std::sync::Arc;
use std::time::Duration;

use drivers_sdk_protocol::Manifest;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub use exec::{Exec, Reply, Target};
pub(crate) use host::{Tail, follow};
pub use needs::Lacks;
pub use options::Options;
pub(crate) use spawner::{Child, Launch, Output, Spawner};
pub use subscriptions::Subscription;
pub use view::{DriverView, ModuleView, ProcessView};

use crate::connections::{Connections, Recorder};
use crate::repositories::Repositories;
use crate::secrets::Vault;
use crate::store;
use drivers::{Drivers, World};
use reconciler::{Event, Parts, Reconciler};
use shared::Shared;

/// The handle of the runtime; cheap to clone.
#[derive(Clone)]
pub struct Runtime(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    drivers: Drivers,
    applied: watch::Receiver<u64>,
    tasks: Vec<JoinHandle<()>>,
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
    /// Starts everything that should run. Returns at once; [`Runtime::settled`] says how far it is.
    pub fn start(
        store: store::Handle,
        vault: Arc<Vault>,
        repositories: Repositories,
        connections: Connections,
        options: Options,
    ) -> Result<Runtime, Error> {
        let (events, inbox) = mpsc::unbounded_channel();
        let (applied, watched) = watch::channel(0);
        let world = World {
            store: store.clone(),
            vault: vault.clone(),
            repositories,
            events: events.clone(),
            retry_ms: options.fetch_retry_ms,
            retry_max_ms: options.fetch_retry_max_ms,
        };
        let (drivers, building) = Drivers::new(world);
        let (shared, publishing) = Shared::new(options, events)?;
        let shared = Arc::new(shared);
        let parts =
            Parts { shared: shared.clone(), store, vault, connections, drivers: drivers.clone(), applied };
        let reconciling = Reconciler::new(parts).run(inbox);
        let tasks = vec![tokio::spawn(building), tokio::spawn(publishing), tokio::spawn(reconciling)];
        Ok(Runtime(Arc::new(Inner { shared, drivers, applied: watched, tasks })))
    }

    /// Stops modules, ends driver processes and closes links; what has not ended after
    /// [`Options::shutdown_ms`] is killed.
    pub async fn shutdown(&self) {
        let Inner { shared, tasks, .. } = &*self.0;
        let (ended, end) = oneshot::channel();
        shared.tell(Event::End { ended });
        shared.processes.close();
        let orderly = async {
            let _ = end.await;
            shared.processes.wait().await;
        };
        let limit = Duration::from_millis(shared.options.shutdown_ms);
        if tokio::time::timeout(limit, orderly).await.is_err() {
            tracing::warn!("driver processes did not end in time and are killed");
            shared.kill.cancel();
            let _ = tokio::time::timeout(Duration::from_secs(1), shared.processes.wait()).await;
        }
        for task in tasks {
            task.abort();
        }
    }

    /// Calls a function of a module. Dropping the future tells the driver to stop working on it.
    pub async fn exec(&self, request: Exec) -> Result<Reply, exec::Error> {
        calls::exec(&self.0.shared, request).await
    }

    /// The id of the `index`-th module (from 1) named `name` in a system.
    pub fn resolve(&self, system: &str, name: &str, index: u32) -> Option<Arc<str>> {
        self.0.shared.names.resolve(system, name, index)
    }

    /// The status of a module: keys in order with the JSON text of their values. `None`: no such module.
    pub fn status(&self, module: &str) -> Option<Vec<(Arc<str>, Arc<str>)>> {
        self.0.shared.modules.get(module).map(|entry| entry.board.all())
    }

    /// One status value, as JSON text.
    pub fn status_value(&self, module: &str, key: &str) -> Option<Arc<str>> {
        self.0.shared.modules.get(module)?.board.get(key)
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
        self.0.shared.registry.subscribe(target, key, sink, token)
    }

    /// Follows a module's log from now on. `None`: no such module.
    pub fn debug(&self, module: &str) -> Option<debug::Stream> {
        self.0.shared.modules.get(module).map(|entry| entry.log.follow(self.0.shared.log_bounds()))
    }

    /// The last lines of a module's log.
    pub fn recent_log(&self, module: &str) -> Vec<debug::Line> {
        self.0.shared.modules.get(module).map(|entry| entry.log.recent()).unwrap_or_default()
    }

    /// What goes over a module's wire. `None`: no such module, or nothing is recorded.
    pub fn recorder(&self, module: &str) -> Option<Arc<Recorder>> {
        self.0.shared.modules.get(module)?.recorder.clone()
    }

    /// A module, as it is now.
    pub fn module(&self, id: &str) -> Option<ModuleView> {
        self.0.shared.modules.get(id).map(|entry| entry.view())
    }

    /// What a module's driver declares about itself; `None` while the driver is not built.
    pub fn manifest(&self, module: &str) -> Option<Arc<Manifest>> {
        let driver = self.0.shared.modules.get(module)?.life().driver?;
        Some(self.0.drivers.shown(&driver)?.program?.manifest.clone())
    }

    /// What a driver declares about itself; `None` while it is not built.
    pub fn driver_manifest(&self, driver: &str) -> Option<Arc<Manifest>> {
        Some(self.0.drivers.shown(driver)?.program?.manifest.clone())
    }

    /// Waits until the reconciler has acted on the store's changes up to `sequence`.
    pub async fn settled(&self, sequence: u64) {
        let _ = self.0.applied.clone().wait_for(|applied| *applied >= sequence).await;
    }

    /// Fetches a repository; the commit that is in use now. Drivers that follow it are built afterwards.
    pub async fn pull(&self, repository: &str) -> Result<String, Error> {
        self.0.drivers.pull(repository).await
    }

    /// Builds a driver (`force`: even if that was done) and says how it is then.
    pub async fn compile(&self, driver: &str, force: bool) -> Result<DriverView, Error> {
        self.0.drivers.compile(driver, force).await
    }

    /// A driver's build, as it is now. `None`: no such driver.
    pub fn driver(&self, id: &str) -> Option<DriverView> {
        self.0.drivers.shown(id).map(|shown| shown.view)
    }

    /// The driver processes, those included that are about to be started again.
    pub fn processes(&self) -> Vec<ProcessView> {
        self.0.shared.process_views()
    }

    /// The counters.
    pub fn metrics(&self) -> metrics::Snapshot {
        self.0.shared.metrics.snapshot()
    }
}
