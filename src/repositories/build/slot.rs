//! Where cargo works: a checkout and a target folder that outlives it, so that dependencies are compiled once.
//!
//! Invariant: the checkout is made anew for every commit, after the slot's previous build has ended. All its files are
//! therefore newer than anything in the target folder, and cargo's comparison of times is sound even though different
//! commits and repositories take turns in the same place.
//!
//! The slot is locked by an open file that every process of a build inherits. A cargo that outlived a killed daemon
//! keeps the slot locked until it ends (which its broken pipes see to).

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use git2::build::CheckoutBuilder;
use tokio_util::sync::CancellationToken;

use super::super::history::Reader;
use super::super::packages::Package;
use super::super::{Error, Result};

/// How long an orphan of a former daemon may keep a slot.
const ORPHAN: Duration = Duration::from_secs(120);

pub(super) struct Slot {
    folder: PathBuf,
    pub(super) lock: File,
}

impl Slot {
    /// Takes the slot; waits for orphans.
    pub(super) fn take(root: &Path, number: usize, stop: &CancellationToken) -> Result<Slot> {
        let folder = root.join("build").join(format!("slot-{number}"));
        let disk = |error: io::Error| Error::disk(&folder, "made", &error);
        fs::create_dir_all(&folder).map_err(disk)?;
        let lock = File::create(folder.join("lock")).map_err(disk)?;
        let deadline = Instant::now() + ORPHAN;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Slot { folder, lock }),
                Err(TryLockError::Error(error)) => return Err(disk(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            if stop.is_cancelled() {
                return Err(Error::Stopped);
            }
            if Instant::now() > deadline {
                let why =
                    "a build of a former daemon still runs in it. End that process and try again".to_owned();
                return Err(Error::Disk { path: folder, what: "used", why });
            }
            wait(Duration::from_millis(100));
        }
    }

    /// Where the commit is.
    pub(super) fn source(&self) -> PathBuf {
        self.folder.join("src")
    }

    /// Where cargo writes. A repository that brings its crates along has another folder than those that do not: to
    /// cargo the two kinds of the same crate differ, and taking turns in one folder would compile all of them each time.
    pub(super) fn target(&self) -> PathBuf {
        let replaces_sources = |name: &str| {
            fs::read_to_string(self.source().join(".cargo").join(name))
                .is_ok_and(|text| text.contains("[source"))
        };
        let vendored = replaces_sources("config.toml") || replaces_sources("config");
        self.folder.join(if vendored { "target-vendored" } else { "target" })
    }

    /// Puts a commit into the source folder, exactly as git has it.
    pub(super) fn check_out(&self, reader: &Reader, commit: &str, largest_target: u64) -> Result<()> {
        let source = self.source();
        let disk = |error: io::Error| Error::disk(&self.folder, "cleared", &error);
        remove(&source).map_err(disk)?;
        fs::create_dir_all(&source).map_err(disk)?;
        let (_, tree) = reader.tree(commit)?;
        let mut options = CheckoutBuilder::new();
        options.target_dir(&source).force().disable_filters(true).update_index(false);
        let checked_out = reader.repository.checkout_tree(tree.as_object(), Some(&mut options));
        checked_out.map_err(|error| match error.class() {
            git2::ErrorClass::Os => {
                Error::Disk { path: source.clone(), what: "written", why: error.message().to_owned() }
            }
            _ => Error::git(format!("checking out commit {commit} of {}", reader.remote), &error),
        })?;
        let target = self.target();
        if largest_target > 0 && size(&target) > largest_target {
            tracing::info!(folder = %target.display(), "the target folder has outgrown its limit, and starts anew");
            remove(&target).map_err(disk)?;
        }
        Ok(())
    }

    /// Tells cargo where the repository ends. A package without a workspace makes cargo look for one in every folder
    /// above it, which would find a workspace around the data folder.
    pub(super) fn fence(&self, package: &Package) -> Result<()> {
        if package.workspace.is_some() {
            return Ok(());
        }
        let path = self.source().join(&package.file_name);
        let written = fs::OpenOptions::new().append(true).open(&path);
        written
            .and_then(|mut file| file.write_all(b"\n[workspace]\n"))
            .map_err(|error| Error::disk(&path, "written", &error))
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Bytes in a folder; what cannot be read counts for nothing.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(io::Result::ok);
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

/// A pause of a thread that is meant to block.
#[allow(clippy::disallowed_methods)]
pub(super) fn wait(pause: Duration) {
    std::thread::sleep(pause);
}
