//! Why a driver could not be built.

use super::super::Error as Repository;

/// A build that failed, and what the compiler said.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    pub kind: Kind,
    /// One sentence or two for people: what was tried, what went wrong, what to do.
    pub message: String,
    /// The end of the compiler's output; empty if it never ran.
    pub output: String,
}

/// Where a build failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The commit could not be read from the repository.
    Repository,
    /// There is no driver at that path in that commit.
    NotADriver,
    /// The compiler refused the code, or a dependency could not be had.
    Compile,
    /// It built, but does not print a valid manifest.
    Manifest,
    Timeout,
    /// A process of the build ran out of memory.
    Memory,
    /// There is no cargo to build with.
    CargoMissing,
    Disk,
    Stopped,
}

impl Error {
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), output: String::new() }
    }

    /// Whether the same build may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, Kind::Timeout | Kind::Memory | Kind::Disk | Kind::Stopped)
    }
}

impl From<Repository> for Error {
    fn from(error: Repository) -> Self {
        let kind = match &error {
            Repository::NotADriver { .. } => Kind::NotADriver,
            Repository::Disk { .. } => Kind::Disk,
            Repository::Stopped => Kind::Stopped,
            _ => Kind::Repository,
        };
        Error::new(kind, error.to_string())
    }
}
