//! Whether files were saved: by looking at them. A look at the few hundred files of a driver repository costs a millisecond
//! or two, works on every file system, and sees what editors do that replace files.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

pub(super) struct Watch {
    folder: PathBuf,
    seen: Option<u64>,
}

impl Watch {
    /// Of everything in a folder, except what cargo writes and what is hidden.
    pub(super) fn new(folder: &Path) -> Watch {
        Watch { folder: folder.to_owned(), seen: None }
    }

    /// Whether something changed since this was asked last; it did before the first time.
    pub(super) fn changed(&mut self) -> bool {
        let now = print(&self.folder);
        self.seen.replace(now) != Some(now)
    }
}

/// A number that is another one if a file was made, written, renamed or removed.
fn print(folder: &Path) -> u64 {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Ok(known) = entry.metadata() else { continue };
            if name.as_encoded_bytes().starts_with(b".") || name == "Cargo.lock" {
                continue;
            }
            // Whatever its name: cargo marks the folders that it writes to.
            match known.is_dir() {
                true if entry.path().join("CACHEDIR.TAG").exists() => {}
                true => folders.push(entry.path()),
                false => files.push((entry.path(), known.len(), known.modified().ok())),
            }
        }
    }
    files.sort();
    let mut hash = DefaultHasher::new();
    files.hash(&mut hash);
    hash.finish()
}
