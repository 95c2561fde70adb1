//! What can go wrong with the store, in words for people.

use std::path::PathBuf;

use super::{Expect, Kind};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the store did not do something. Cheap to clone: one failed transaction answers many callers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Somebody else changed the document in between. Nothing of the commit was done.
    #[error("{kind} {id} {}", conflict(*.expected, *.found))]
    Conflict {
        kind: Kind,
        id: String,
        expected: Expect,
        /// The revision there is.
        found: Option<u64>,
    },
    /// A fenced commit came from a holder that no longer has the lease. Nothing of it was done.
    #[error("the lease {lease} is no longer held at epoch {epoch}")]
    Fenced { lease: String, epoch: u64 },
    /// The feed no longer reaches back to where the reader was.
    #[error(
        "the change feed starts after change {oldest}, and change {after} was asked for: list the documents instead"
    )]
    TooOld { after: u64, oldest: u64 },
    /// The disk or the database refused. Reads go on; the write was not done.
    #[error("could not {action} {}: {detail}{}", file.display(), if *full { ". Free some space; nothing was changed" } else { "" })]
    Storage { action: &'static str, file: PathBuf, detail: String, full: bool },
    /// The file is damaged, or is no database.
    #[error(
        "{} is damaged or is not a Headend database ({detail}). Put it aside and restore a backup in its place",
        file.display()
    )]
    Corrupt { file: PathBuf, detail: String },
    /// The file was written by a newer Headend.
    #[error(
        "{} has schema version {found}, and this Headend knows versions up to {known}: start a newer Headend on it, \
         or restore a backup from before the upgrade",
        file.display()
    )]
    Newer { file: PathBuf, found: i64, known: i64 },
    /// A document's body is not what its kind says.
    #[error("{kind} {id} cannot be read: {detail}")]
    Unreadable { kind: Kind, id: String, detail: String },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

fn conflict(expected: Expect, found: Option<u64>) -> String {
    match (expected, found) {
        (Expect::Absent, _) => "exists already".into(),
        (_, None) => "does not exist any more".into(),
        (Expect::Revision(expected), Some(found)) => {
            format!("was changed by someone else (expected revision {expected}, found {found})")
        }
        (Expect::Any, Some(found)) => format!("is at revision {found}"),
    }
}
