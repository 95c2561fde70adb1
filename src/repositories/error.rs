//! What can go wrong between the daemon and a repository. Each text says what was tried, on what, and what to do.
//! Remotes are named without their user information: no text ever holds a credential.

use std::path::{Path, PathBuf};

/// A failure of a repository.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("{uri:?} is not the address of a git repository: {why}")]
    Uri { uri: String, why: String },

    #[error("could not reach {remote}: {why}. Check the address and the network; the next pull tries again")]
    Unreachable { remote: String, why: String },

    #[error("{remote} refused the credentials: {why}")]
    Credentials { remote: String, why: String },

    #[error("the identity of {remote} could not be confirmed: {why}")]
    HostKey { remote: String, why: String },

    #[error("{remote} is not a git repository that can be read: {why}")]
    NotARepository { remote: String, why: String },

    #[error("{remote}: {what} took longer than {} s and was given up. The next pull tries again", .ms / 1000)]
    Timeout { remote: String, what: &'static str, ms: u64 },

    #[error("{remote} has no branch {branch:?}; it has {known}")]
    NoSuchBranch { remote: String, branch: String, known: String },

    #[error(
        "{remote} has no commit, branch or tag {revision:?}: {why}. Pull the repository, or choose another commit"
    )]
    NoSuchCommit { remote: String, revision: String, why: String },

    #[error("commit {commit} of {remote} has no file {path:?}")]
    NoSuchFile { remote: String, commit: String, path: String },

    #[error("{file_name:?} in commit {commit} of {remote} is not a driver: {why}")]
    NotADriver { remote: String, commit: String, file_name: String, why: String },

    #[error("{remote} has not been fetched yet. Pull the repository first")]
    NotFetched { remote: String },

    #[error("{} could not be {what}: {why}", path.display())]
    Disk { path: PathBuf, what: &'static str, why: String },

    #[error("git failed {what}: {why}")]
    Git { what: String, why: String },

    #[error("the daemon is stopping")]
    Stopped,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Whether the same request may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Error::Unreachable { .. } | Error::Timeout { .. } | Error::Stopped)
    }

    /// A failed operation on a file; says so plainly when the disk is full.
    pub(super) fn disk(path: &Path, what: &'static str, error: &std::io::Error) -> Self {
        let why = match error.kind() {
            std::io::ErrorKind::StorageFull => "the disk is full; make room and try again".to_owned(),
            std::io::ErrorKind::QuotaExceeded => {
                "the disk quota is used up; make room and try again".to_owned()
            }
            _ => error.to_string(),
        };
        Error::Disk { path: path.to_owned(), what, why }
    }

    /// A failure inside libgit2.
    pub(super) fn git(what: impl Into<String>, error: &git2::Error) -> Self {
        Error::Git { what: what.into(), why: error.message().to_owned() }
    }
}
