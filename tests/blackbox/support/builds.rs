//! Where the daemons of all tests compile, one at a time: what was compiled of the SDK and its dependencies is kept from
//! test to test and from run to run.

use std::{
    fs::{self, DirBuilder, File},
    os::unix::fs::{DirBuilderExt as _, symlink},
    path::{Path, PathBuf},
};

/// The right to compile there; what it left of repositories is removed when it ends.
pub struct Builds {
    _lock: File,
}

/// What tests keep from run to run.
pub fn kept() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("blackbox");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Where the cargo of drivers' authors compiles, whatever their repository.
pub fn authors_target() -> PathBuf {
    kept().join("author-target")
}

impl Builds {
    /// Waits until nobody else compiles, and puts the common folder into a data directory.
    pub fn take(data: &Path) -> Builds {
        let (common, own) = (kept().join("repositories"), data.join("repositories"));
        let lock = File::create(kept().join("repositories.lock")).unwrap();
        lock.lock().unwrap();
        fs::create_dir_all(&common).unwrap();
        if !data.is_dir() {
            DirBuilder::new().mode(0o700).create(data).unwrap();
        }
        if !own.exists() {
            symlink(common, own).unwrap();
        }
        Builds { _lock: lock }
    }
}

impl Drop for Builds {
    fn drop(&mut self) {
        for folder in ["mirrors", "artifacts"] {
            let _ = fs::remove_dir_all(kept().join("repositories").join(folder));
        }
    }
}
