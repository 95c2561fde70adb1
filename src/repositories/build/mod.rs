//! From a commit to a program.
//!
//! ```text
//! build() ──► Queued ──► Running ──► Done | Failed        requests for one key share a job
//!              │            ▲
//!              └─ a worker ─┘   as many workers as slots; each takes the oldest job, with all others of its
//!                               repository and commit, and ends when nothing waits
//! ```
//!
//! Only a worker moves a job past Queued. A job outlives the callers that wait for it.

mod artifact;
mod cargo;
mod error;
mod job;
mod process;
pub(crate) mod sdk;
mod slot;
mod work;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use drivers_sdk_protocol::Manifest;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::mirror::Mirrors;
use super::packages::{self, Package};
use super::{Options, Source};
pub use artifact::Artifact;
use artifact::Shelf;
pub use error::{Error, Kind};
use job::{Job, Key};

/// How many builds that have ended are remembered for `builds()`.
const REMEMBERED: usize = 64;

/// A build, for people to watch.
#[derive(Clone, Debug)]
pub struct Build {
    /// Id of the repository.
    pub repository: String,
    pub file_name: String,
    /// Full hash.
    pub commit: String,
    pub state: State,
    pub requested_at: SystemTime,
}

/// How far a build is.
#[derive(Clone, Debug)]
pub enum State {
    Queued,
    Running {
        /// Since it left the queue.
        elapsed: Duration,
        /// What the compiler said last.
        line: String,
    },
    Done {
        took: Duration,
    },
    Failed {
        took: Duration,
        error: Error,
    },
}

/// All builds of this daemon.
pub(super) struct Queue {
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

struct Shared {
    root: PathBuf,
    options: Options,
    shelf: Shelf,
    stop: CancellationToken,
    jobs: Mutex<Jobs>,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Arc<Job>>,
    running: Vec<Arc<Job>>,
    ended: VecDeque<Arc<Job>>,
    /// Numbers of slots with a worker.
    workers: Vec<usize>,
}

impl Queue {
    pub(super) fn new(root: &Path, options: Options, stop: CancellationToken) -> super::Result<Queue> {
        let shelf = Shelf::new(root);
        shelf.sweep();
        let shared = Shared { root: root.to_owned(), options, shelf, stop, jobs: Mutex::default() };
        Ok(Queue { shared: Arc::new(shared), tasks: TaskTracker::new() })
    }

    pub(super) async fn build(
        &self,
        mirrors: &Mirrors,
        source: &Source,
        file_name: &str,
        commit: &str,
        force: bool,
    ) -> Result<Artifact, Error> {
        if !force && let Some(artifact) = self.artifact(&source.id, file_name, commit) {
            return Ok(artifact);
        }
        let (hash, path) = (commit.to_owned(), file_name.to_owned());
        let found = mirrors.read_or_fetch(source, move |reader| {
            Ok((reader.resolve(&hash)?, packages::find_one(reader, &hash, &path)?))
        });
        let (commit, package) = found.await?;
        let key = Key { repository: source.id.clone(), commit, file_name: file_name.to_owned() };
        let job = self.enqueue(key, package, mirrors.place(source)?);
        job.result().await
    }

    /// The job of that key that has not ended, or a new one; sees to it that somebody works.
    fn enqueue(&self, key: Key, package: Package, place: super::mirror::Place) -> Arc<Job> {
        let mut jobs = self.shared.jobs.lock();
        // A job that has ended stays among the running until its batch has.
        let same = |job: &&Arc<Job>| job.key == key && !job.has_ended();
        let same = jobs.waiting.iter().chain(&jobs.running).find(same).cloned();
        if let Some(job) = same {
            return job;
        }
        let job = Arc::new(Job::new(key, package, place));
        if self.shared.stop.is_cancelled() {
            job.end(Err(Error::new(Kind::Stopped, super::Error::Stopped.to_string())));
            return job;
        }
        jobs.waiting.push_back(job.clone());
        let slots = self.shared.options.builds.max(1);
        if let Some(slot) = (0..slots).find(|slot| !jobs.workers.contains(slot)) {
            jobs.workers.push(slot);
            let shared = self.shared.clone();
            self.tasks.spawn_blocking(move || work::run(&shared, slot));
        }
        job
    }

    pub(super) fn artifact(&self, repository: &str, file_name: &str, commit: &str) -> Option<Artifact> {
        self.shared.shelf.find(repository, file_name, commit)
    }

    pub(super) fn put(
        &self,
        repository: &str,
        file_name: &str,
        commit: &str,
        program: &Path,
        manifest: &Manifest,
    ) -> super::Result<()> {
        // It was read from JSON, or made by a program.
        let manifest = serde_json::to_vec(manifest).unwrap_or_default();
        self.shared.shelf.store(repository, file_name, commit, program, &manifest, &[])
    }

    pub(super) fn list(&self) -> Vec<Build> {
        let jobs = self.shared.jobs.lock();
        jobs.ended.iter().chain(&jobs.running).chain(&jobs.waiting).map(|job| job.show()).collect()
    }

    pub(super) async fn remove(&self, repository: &str) -> super::Result<()> {
        let (shared, repository) = (self.shared.clone(), repository.to_owned());
        let removed = tokio::task::spawn_blocking(move || shared.shelf.remove(&repository));
        removed.await.unwrap_or(Err(super::Error::Stopped))
    }

    /// Returns when no worker is left. To be called after `stop` was cancelled.
    pub(super) async fn drained(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}
