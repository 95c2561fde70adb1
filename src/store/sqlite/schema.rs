//! The database file: how it is opened, and the numbered steps that bring any older one up to date.
//!
//! `PRAGMA user_version` holds the number of the last step that was done. Steps are never edited once released:
//! a change is a new step. All steps that are missing run in one transaction.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::super::error::{Error, Result};

/// Each step takes the schema from its index to its index + 1.
const STEPS: &[&str] = &[
    // 1: documents, their versions, leases.
    "CREATE TABLE documents (
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        revision INTEGER NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (kind, id)
     ) STRICT;
     CREATE TABLE versions (
        revision INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        at INTEGER NOT NULL,
        body TEXT -- NULL: this change deleted the document
     ) STRICT;
     CREATE INDEX versions_of_document ON versions (kind, id, revision);
     CREATE INDEX deletions ON versions (at) WHERE body IS NULL;
     CREATE TABLE sequence (last INTEGER NOT NULL) STRICT;
     INSERT INTO sequence VALUES (0);
     CREATE TABLE leases (
        name TEXT PRIMARY KEY,
        holder TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        expires_at INTEGER NOT NULL -- Unix milliseconds; 0: given back
     ) STRICT;",
];

/// The version that the steps lead to.
pub(super) const VERSION: i64 = STEPS.len() as i64;

/// Marks the file as ours: "HEAD" in ASCII.
const APPLICATION_ID: i64 = 0x4845_4144;

/// How long SQLite waits for another process (a backup tool) that holds the database.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// How large the write-ahead log stays on disk after a burst, in bytes.
const LOG_LIMIT: i64 = 16 << 20;

/// Opens the database, creating it if need be, and brings its schema up to date.
pub(super) fn open(path: &Path) -> Result<Connection> {
    if path != Path::new(":memory:") {
        make_private(path).map_err(|error| Error::Storage {
            action: "create",
            file: path.into(),
            detail: error.to_string(),
            full: error.kind() == std::io::ErrorKind::StorageFull,
        })?;
    }
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection =
        Connection::open_with_flags(path, flags).map_err(|error| failure("open", path, &error))?;
    prepare(&mut connection, path)?;
    Ok(connection)
}

/// Creates the file, if it is not there, so that others cannot read it; SQLite gives its log the same permissions.
fn make_private(path: &Path) -> std::io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Sets up a connection that was just opened.
pub(super) fn prepare(connection: &mut Connection, path: &Path) -> Result<()> {
    let fail = |error: rusqlite::Error| failure("open", path, &error);
    connection.busy_timeout(BUSY_TIMEOUT).map_err(fail)?;
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(fail)?;
    let application: i64 =
        connection.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(fail)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(fail)?;
    if application != APPLICATION_ID && (found != 0 || tables != 0) {
        let detail = "it belongs to another application".into();
        return Err(Error::Corrupt { file: path.into(), detail });
    }
    if found > VERSION {
        return Err(Error::Newer { file: path.into(), found, known: VERSION });
    }
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")
        .and_then(|()| connection.pragma_update(None, "journal_size_limit", LOG_LIMIT))
        .map_err(fail)?;
    check(connection, path)?;
    migrate(connection, found, STEPS).map_err(|error| failure("upgrade", path, &error))
}

fn check(connection: &Connection, path: &Path) -> Result<()> {
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| failure("check", path, &error))?;
    if verdict == "ok" { Ok(()) } else { Err(Error::Corrupt { file: path.into(), detail: verdict }) }
}

/// Does the steps that are missing, all or none.
pub(super) fn migrate(connection: &mut Connection, found: i64, steps: &[&str]) -> rusqlite::Result<()> {
    let missing = steps.get(usize::try_from(found).unwrap_or(0)..).unwrap_or_default();
    if missing.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in missing {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", steps.len() as i64)?;
    transaction.commit()
}

/// SQLite's error in our words.
pub(super) fn failure(action: &'static str, path: &Path, error: &rusqlite::Error) -> Error {
    use rusqlite::ErrorCode::{DatabaseCorrupt, DiskFull, NotADatabase};
    let code = error.sqlite_error_code();
    let detail = error.to_string();
    match code {
        Some(DatabaseCorrupt | NotADatabase) => Error::Corrupt { file: path.into(), detail },
        _ => Error::Storage { action, file: path.into(), detail, full: code == Some(DiskFull) },
    }
}
