//! One build that somebody asked for, and those who wait for it.

use std::time::{Instant, SystemTime};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::super::mirror::Place;
use super::super::packages::Package;
use super::{Artifact, Build, Error, Kind, State};

/// Longest line of the compiler's that is shown as progress, characters.
const LONGEST_LINE: usize = 200;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) repository: String,
    pub(super) commit: String,
    pub(super) file_name: String,
}

pub(super) struct Job {
    pub(super) key: Key,
    pub(super) package: Package,
    pub(super) place: Place,
    requested_at: SystemTime,
    progress: Mutex<Progress>,
    result: watch::Sender<Option<Result<Artifact, Error>>>,
}

#[derive(Default)]
struct Progress {
    started: Option<Instant>,
    ended: Option<Instant>,
    line: String,
}

impl Job {
    pub(super) fn new(key: Key, package: Package, place: Place) -> Job {
        Job {
            key,
            package,
            place,
            requested_at: SystemTime::now(),
            progress: Mutex::default(),
            result: watch::Sender::new(None),
        }
    }

    pub(super) fn start(&self) {
        self.progress.lock().started = Some(Instant::now());
    }

    pub(super) fn heard(&self, line: &str) {
        let line = line.chars().take(LONGEST_LINE).collect();
        self.progress.lock().line = line;
    }

    pub(super) fn end(&self, result: Result<Artifact, Error>) {
        self.progress.lock().ended = Some(Instant::now());
        self.result.send_replace(Some(result));
    }

    pub(super) fn has_ended(&self) -> bool {
        self.result.borrow().is_some()
    }

    /// Waits for the end.
    pub(super) async fn result(&self) -> Result<Artifact, Error> {
        let mut receiver = self.result.subscribe();
        let stopped = || Err(Error::new(Kind::Stopped, super::super::Error::Stopped.to_string()));
        match receiver.wait_for(Option::is_some).await {
            Ok(result) => result.clone().unwrap_or_else(stopped),
            Err(_) => stopped(),
        }
    }

    pub(super) fn show(&self) -> Build {
        let progress = self.progress.lock();
        let elapsed = progress.started.map(|started| match progress.ended {
            Some(ended) => ended - started,
            None => started.elapsed(),
        });
        let took = elapsed.unwrap_or_default();
        let state = match (&*self.result.borrow(), elapsed) {
            (Some(Ok(_)), _) => State::Done { took },
            (Some(Err(error)), _) => State::Failed { took, error: error.clone() },
            (None, Some(elapsed)) => State::Running { elapsed, line: progress.line.clone() },
            (None, None) => State::Queued,
        };
        Build {
            repository: self.key.repository.clone(),
            file_name: self.key.file_name.clone(),
            commit: self.key.commit.clone(),
            state,
            requested_at: self.requested_at,
        }
    }
}
