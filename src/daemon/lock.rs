//! The data directory, which one daemon has at a time.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// The lock's file in the data directory; it holds the daemon's process id, for people.
const FILE: &str = "lock";

/// The right to use a data directory, until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "the data directory {} is in use by another headend (process {pid}). Stop that one first, or give this one \
         a directory of its own with --data DIR",
        dir.display()
    )]
    InUse { dir: PathBuf, pid: String },
    #[error("cannot use the data directory {}: {cause}", dir.display())]
    Unusable { dir: PathBuf, cause: std::io::Error },
}

impl Lock {
    /// Makes the directory, if need be, and takes it.
    pub(super) fn take(dir: &Path) -> Result<Lock, Error> {
        let unusable = |cause| Error::Unusable { dir: dir.into(), cause };
        make(dir).map_err(unusable)?;
        let path = dir.join(FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                return Err(Error::InUse { dir: dir.into(), pid: pid.trim().to_owned() });
            }
            Err(TryLockError::Error(cause)) => return Err(unusable(cause)),
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(unusable)?;
        Ok(Lock { _file: file })
    }
}

/// Makes the directory for its owner only; one that is there is left as it is.
fn make(dir: &Path) -> std::io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn one_at_a_time_has_it_and_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("var/headend");
        let first = Lock::take(&dir).unwrap();
        assert_eq!(dir.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        let error = Lock::take(&dir).unwrap_err();
        assert!(error.to_string().contains(&format!("(process {})", std::process::id())), "{error}");
        drop(first);
        Lock::take(&dir).unwrap();
    }

    #[test]
    fn what_is_no_directory_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(Lock::take(&file), Err(Error::Unusable { .. })));
    }
}
