//! A folder for as long as a command runs, and what ends it.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use tempfile::TempDir;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Gone when it is dropped. A command that is killed leaves it behind: then the next of its kind removes it.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: TempDir,
    /// Held for as long as the folder is somebody's.
    _lock: File,
}

const LOCK: &str = "lock";

impl Scratch {
    /// In the system's temporary folder.
    pub(super) fn new(prefix: &str) -> io::Result<Scratch> {
        Scratch::within(&std::env::temp_dir(), prefix)
    }

    fn within(place: &Path, prefix: &str) -> io::Result<Scratch> {
        for left in fs::read_dir(place)?.flatten() {
            let ours = left.file_name().as_encoded_bytes().starts_with(prefix.as_bytes());
            let lock = File::open(left.path().join(LOCK)).ok().filter(|_| ours);
            if lock.is_some_and(|lock| lock.try_lock().is_ok()) {
                let _ = fs::remove_dir_all(left.path());
            }
        }
        loop {
            let folder = tempfile::Builder::new().prefix(prefix).tempdir_in(place)?;
            let lock = File::create(folder.path().join(LOCK))?;
            lock.lock()?;
            // Somebody else may have taken it for left behind before it was locked.
            if folder.path().join(LOCK).exists() {
                return Ok(Scratch { folder, _lock: lock });
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// SIGINT, SIGTERM, and SIGHUP: the terminal is closed.
pub(super) struct End([Signal; 3]);

impl End {
    pub(super) fn listen() -> io::Result<End> {
        let [one, two, three] = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        Ok(End([signal(one)?, signal(two)?, signal(three)?]))
    }

    pub(super) async fn told(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_one_left_is_removed_and_what_is_in_use_is_not() {
        let place = tempfile::tempdir().unwrap();
        let names = || {
            let entries = fs::read_dir(place.path()).unwrap();
            entries.map(|entry| entry.unwrap().path()).collect::<std::collections::BTreeSet<_>>()
        };
        let running = Scratch::within(place.path(), "a-").unwrap();
        // Killed: its lock is gone, and its folder is not.
        let Scratch { folder, _lock } = Scratch::within(place.path(), "a-").unwrap();
        drop(_lock);
        let left = folder.keep();
        fs::create_dir(place.path().join("a-strangers")).unwrap();
        assert_eq!(names().len(), 3);

        let next = Scratch::within(place.path(), "a-").unwrap();
        assert!(!left.exists() && running.path().exists() && next.path().exists());
        drop((running, next));
        assert_eq!(names(), [place.path().join("a-strangers")].into());
    }
}
