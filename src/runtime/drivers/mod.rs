//! From driver and repository documents to programs: which commit is in use, and whether it is built.
//!
//! One task owns this. It is level-triggered: whatever changes, it looks at what a driver should be built from and
//! does the next step.
//!
//! ```text
//!  repository:  new or changed ──▶ fetching ──▶ deployed commit known
//!                                   │    ▲              │ pull
//!                                   ▼    │ back-off     ▼
//!                                  failed ┘          fetching
//!
//!  driver:      commit known ──▶ artifact there ─────────────▶ program
//!                                      │ not                      ▲
//!                                      ▼                          │
//!                                   building ─────────────────────┘
//!                                      │
//!                                      ▼
//!                                   failed: what ran goes on running; built again when the commit changes, the
//!                                   repository is pulled, or somebody asks
//! ```
//!
//! After a restart of the daemon the commit that was deployed is used without asking the remote.

mod job;
mod records;
mod repository;
mod task;

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::{mpsc, oneshot};

use crate::model::{Driver, Repository};
use crate::repositories::Repositories;
use crate::secrets::Vault;
use crate::store;

use super::Error;
use super::directory::Id;
use super::program::Program;
use super::reconciler::Event;
use super::view::DriverView;

/// The handle.
#[derive(Clone)]
pub(crate) struct Drivers {
    shown: Arc<DashMap<Id, Shown>>,
    inbox: mpsc::UnboundedSender<Request>,
}

/// What everyone may know of a driver.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    pub(crate) view: DriverView,
    pub(crate) program: Option<Arc<Program>>,
}

pub(crate) enum Request {
    Driver(Id, Option<Arc<Driver>>),
    Repository(Id, Option<Arc<Repository>>),
    Pull(Id, oneshot::Sender<Result<String, Error>>),
    Compile(Id, bool, oneshot::Sender<Result<DriverView, Error>>),
}

/// What the task needs of the world.
pub(crate) struct World {
    pub(crate) store: store::Handle,
    pub(crate) vault: Arc<Vault>,
    pub(crate) repositories: Repositories,
    pub(crate) events: mpsc::UnboundedSender<Event>,
    pub(crate) retry_ms: u64,
    pub(crate) retry_max_ms: u64,
}

impl Drivers {
    /// The handle, and the work of the task.
    pub(crate) fn new(world: World) -> (Drivers, impl Future<Output = ()> + Send + 'static) {
        let shown = Arc::new(DashMap::new());
        let (inbox, requests) = mpsc::unbounded_channel();
        let (records, recorded) = mpsc::unbounded_channel();
        let writing = records::write(world.store.clone(), recorded);
        let task = task::Task::new(world, shown.clone(), records);
        let work = async {
            tokio::spawn(writing);
            task.run(requests).await;
        };
        (Drivers { shown, inbox }, work)
    }

    /// A driver's document changed; `None`: deleted.
    pub(crate) fn driver(&self, id: Id, document: Option<Arc<Driver>>) {
        let _ = self.inbox.send(Request::Driver(id, document));
    }

    /// A repository's document changed; `None`: deleted.
    pub(crate) fn repository(&self, id: Id, document: Option<Arc<Repository>>) {
        let _ = self.inbox.send(Request::Repository(id, document));
    }

    /// What a driver's modules run.
    pub(crate) fn shown(&self, driver: &str) -> Option<Shown> {
        self.shown.get(driver).map(|shown| shown.clone())
    }

    pub(crate) async fn pull(&self, repository: &str) -> Result<String, Error> {
        let (answer, answered) = oneshot::channel();
        let request = Request::Pull(repository.into(), answer);
        self.inbox.send(request).map_err(|_| Error::Stopping)?;
        answered.await.map_err(|_| Error::Stopping)?
    }

    pub(crate) async fn compile(&self, driver: &str, force: bool) -> Result<DriverView, Error> {
        let (answer, answered) = oneshot::channel();
        let request = Request::Compile(driver.into(), force, answer);
        self.inbox.send(request).map_err(|_| Error::Stopping)?;
        answered.await.map_err(|_| Error::Stopping)?
    }
}
