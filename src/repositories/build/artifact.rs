//! What a build leaves: one folder per (repository, commit, driver), holding `driver`, `manifest.json` and
//! `build.log`. It is prepared beside its place and renamed into it after everything is on disk, so that it exists
//! whole or not at all; whatever a crash leaves behind begins with a dot and counts for nothing.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use drivers_sdk_protocol::Manifest;

use super::super::history::folder_of;
use super::super::{Error, Result};

const EXECUTABLE: &str = "driver";
const MANIFEST: &str = "manifest.json";
const LOG: &str = "build.log";

/// A built driver.
#[derive(Clone, Debug)]
pub struct Artifact {
    pub executable: PathBuf,
    pub manifest: Arc<Manifest>,
    /// Full hash.
    pub commit: String,
    pub built_at: SystemTime,
}

/// The folder of artifacts.
pub(super) struct Shelf {
    root: PathBuf,
}

impl Shelf {
    pub(super) fn new(root: &Path) -> Shelf {
        Shelf { root: root.join("artifacts") }
    }

    fn folder(&self, repository: &str, file_name: &str, commit: &str) -> Option<PathBuf> {
        let hash = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        (hash && plain(repository)).then(|| self.root.join(repository).join(commit).join(encoded(file_name)))
    }

    /// The artifact, if it is there whole.
    pub(super) fn find(&self, repository: &str, file_name: &str, commit: &str) -> Option<Artifact> {
        let folder = self.folder(repository, file_name, commit)?;
        let executable = folder.join(EXECUTABLE);
        let built_at = fs::metadata(&executable).ok()?.modified().ok()?;
        let manifest = fs::read(folder.join(MANIFEST)).ok()?;
        match serde_json::from_slice(&manifest) {
            Ok(manifest) => Some(Artifact {
                executable,
                manifest: Arc::new(manifest),
                commit: commit.to_owned(),
                built_at,
            }),
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "an artifact's manifest cannot be read; it counts for nothing");
                None
            }
        }
    }

    /// Puts an artifact into its place; one that is there already is replaced.
    pub(super) fn store(
        &self,
        repository: &str,
        file_name: &str,
        commit: &str,
        built: &Path,
        manifest: &[u8],
        log: &[u8],
    ) -> Result<()> {
        let Some(place) = self.folder(repository, file_name, commit) else {
            let why = format!("{repository:?} at commit {commit:?} cannot name a folder");
            return Err(Error::Disk { path: self.root.clone(), what: "written", why });
        };
        let parent = place.parent().unwrap_or(&self.root).to_owned();
        let stored = (|| -> io::Result<()> {
            fs::create_dir_all(&parent)?;
            let fresh = tempfile::Builder::new().prefix(".new-").tempdir_in(&parent)?;
            copy(built, &fresh.path().join(EXECUTABLE))?;
            write(&fresh.path().join(MANIFEST), manifest)?;
            write(&fresh.path().join(LOG), log)?;
            File::open(fresh.path())?.sync_all()?;
            // Renaming onto a folder that is not empty fails: the old one steps aside first.
            let aside = tempfile::Builder::new().prefix(".old-").tempdir_in(&parent)?;
            match fs::rename(&place, aside.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            fs::rename(fresh.path(), &place)?;
            let _ = fresh.keep();
            for folder in [Some(parent.as_path()), parent.parent(), Some(&self.root)].into_iter().flatten() {
                File::open(folder)?.sync_all()?;
            }
            Ok(())
        })();
        stored.map_err(|error| Error::disk(&place, "written", &error))
    }

    /// Removes what a crash left half made.
    pub(super) fn sweep(&self) {
        let folders = |path: &Path| {
            let entries = fs::read_dir(path).into_iter().flatten().filter_map(io::Result::ok);
            entries.map(|entry| entry.path()).collect::<Vec<_>>()
        };
        for commit in folders(&self.root).iter().flat_map(|repository| folders(repository)) {
            for folder in folders(&commit) {
                let name = folder.file_name().unwrap_or_default().as_encoded_bytes();
                if name.starts_with(b".new-") || name.starts_with(b".old-") {
                    tracing::info!(folder = %folder.display(), "removing what an interrupted build left");
                    let _ = fs::remove_dir_all(&folder);
                }
            }
        }
    }

    pub(super) fn remove(&self, repository: &str) -> Result<()> {
        if !plain(repository) {
            return Ok(());
        }
        let folder = self.root.join(repository);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::disk(&folder, "removed", &error))
            }
            _ => Ok(()),
        }
    }
}

/// Whether an id can name a folder.
fn plain(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~' | b'.');
    !id.is_empty() && !id.starts_with('.') && id.bytes().all(plain)
}

/// The folder of a package as one file name; different folders give different names.
fn encoded(file_name: &str) -> String {
    let folder = folder_of(file_name);
    if folder.is_empty() {
        return "%".to_owned();
    }
    let mut name = String::with_capacity(folder.len());
    for byte in folder.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && !name.is_empty()) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    name
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    // Keeps the permission to execute.
    fs::copy(from, to)?;
    File::open(to)?.sync_all()
}

fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(contents)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789012345678901234567890123456789";

    #[test]
    fn appears_whole_is_replaced_whole_and_ignores_what_a_crash_left() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path());
        let built = folder.path().join("built");
        fs::write(&built, "program 1").unwrap();
        let manifest = |name: &str| {
            let manifest = Manifest { manifest: 1, name: name.into(), ..Manifest::default() };
            serde_json::to_vec(&manifest).unwrap()
        };
        let place = folder.path().join("artifacts/repo-1").join(COMMIT).join("a%2Fb");
        // What a crash leaves: a folder that was being prepared, and one that lacks its manifest.
        let half = place.with_file_name(".new-abc");
        for folder in [&half, &place] {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join("driver"), "half").unwrap();
        }
        assert!(shelf.find("repo-1", "a/b/Cargo.toml", COMMIT).is_none());
        shelf.sweep();
        assert!(!half.exists());
        for round in ["one", "two"] {
            shelf.store("repo-1", "a/b/Cargo.toml", COMMIT, &built, &manifest(round), b"log").unwrap();
            let artifact = shelf.find("repo-1", "a/b/Cargo.toml", COMMIT).unwrap();
            assert_eq!(artifact.manifest.name, round);
            assert_eq!(artifact.executable, place.join("driver"));
            assert_eq!(fs::read_to_string(&artifact.executable).unwrap(), "program 1");
        }
        let beside: Vec<_> = fs::read_dir(place.parent().unwrap()).unwrap().collect();
        assert_eq!(beside.len(), 1, "{beside:?}");
        shelf.remove("repo-1").unwrap();
        assert!(shelf.find("repo-1", "a/b/Cargo.toml", COMMIT).is_none());
    }

    #[test]
    fn names_never_leave_the_folder_and_never_collide() {
        let names: Vec<_> = [
            "Cargo.toml",
            "a/Cargo.toml",
            "a/b/Cargo.toml",
            "a%2Fb/Cargo.toml",
            "../x/Cargo.toml",
            "./Cargo.toml",
        ]
        .iter()
        .map(|name| encoded(name))
        .collect();
        let different: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len(), "{names:?}");
        assert!(names.iter().all(|name| !name.contains('/') && !name.starts_with('.')), "{names:?}");
        let shelf = Shelf::new(Path::new("/nowhere"));
        assert!(shelf.folder("..", "Cargo.toml", COMMIT).is_none());
        assert!(shelf.folder("repo-1", "Cargo.toml", "main").is_none());
    }
}
