//! From a commit to a program: the queue of builds, and what they leave.

mod artifact;
mod error;

use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use super::mirror::Mirrors;
use super::{Options, Source};
pub use artifact::Artifact;
use artifact::Shelf;
pub use error::{Error, Kind};

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
    shelf: Shelf,
}

impl Queue {
    pub(super) fn new(root: &Path, _options: Options, _stop: CancellationToken) -> super::Result<Queue> {
        let shelf = Shelf::new(root);
        shelf.sweep();
        Ok(Queue { shelf })
    }

    pub(super) async fn build(
        &self,
        _mirrors: &Mirrors,
        source: &Source,
        file_name: &str,
        commit: &str,
        force: bool,
    ) -> Result<Artifact, Error> {
        if !force && let Some(artifact) = self.artifact(&source.id, file_name, commit) {
            return Ok(artifact);
        }
        Err(Error::new(Kind::CargoMissing, "this version of the daemon cannot build drivers yet"))
    }

    pub(super) fn artifact(&self, repository: &str, file_name: &str, commit: &str) -> Option<Artifact> {
        self.shelf.find(repository, file_name, commit)
    }

    pub(super) fn list(&self) -> Vec<Build> {
        Vec::new()
    }

    pub(super) async fn remove(&self, repository: &str) -> super::Result<()> {
        self.shelf.remove(repository)
    }

    pub(super) async fn drained(&self) {}
}
