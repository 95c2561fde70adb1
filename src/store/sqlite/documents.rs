//! Documents and their versions in the database. Everything here runs inside a transaction that the writer holds.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::leases;
use super::schema::failure;
use crate::store::{Change, Document, Error, Expect, HISTORY, Kind, Op, Result, Version};

/// How long the history of a deleted document is kept, in seconds: 90 days.
const DELETED_KEPT: i64 = 90 * 24 * 3600;

/// Why a commit was not done: by its own fault, or by the disk's.
pub(super) enum Undone {
    Refused(Error),
    Disk(rusqlite::Error),
}

impl From<rusqlite::Error> for Undone {
    fn from(error: rusqlite::Error) -> Self {
        Undone::Disk(error)
    }
}

/// The changes of a transaction, as they are numbered.
pub(super) struct Changes {
    /// The number of the newest change.
    pub(super) sequence: u64,
    pub(super) made: Vec<Change>,
    /// Unix milliseconds.
    pub(super) now: i64,
}

impl Changes {
    fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Forgets the newest changes, down to `count` of them.
    pub(super) fn truncate(&mut self, count: usize) {
        self.sequence -= self.made.len().saturating_sub(count) as u64;
        self.made.truncate(count);
    }
}

/// Reads all live documents and the number of the last change.
pub(super) fn load(connection: &Connection, path: &Path) -> Result<(Vec<Document>, u64)> {
    let fail = |error: rusqlite::Error| failure("read", path, &error);
    let head = connection.query_row("SELECT last FROM sequence", [], |row| row.get(0)).map_err(fail)?;
    let mut statement = connection.prepare("SELECT kind, id, revision, body FROM documents").map_err(fail)?;
    let mut rows = statement.query([]).map_err(fail)?;
    let mut documents = Vec::new();
    while let Some(row) = rows.next().map_err(fail)? {
        let name: String = row.get(0).map_err(fail)?;
        let kind = Kind::from_name(&name).ok_or_else(|| Error::Corrupt {
            file: path.into(),
            detail: format!("it has a document of the unknown kind {name}"),
        })?;
        let body: String = row.get(3).map_err(fail)?;
        let (id, revision) = (row.get(1).map_err(fail)?, row.get(2).map_err(fail)?);
        documents.push(Document { kind, id, revision, body: body.into() });
    }
    Ok((documents, head))
}

/// Forgets the history of documents that were deleted long ago.
pub(super) fn tidy(connection: &Connection, now: i64) -> rusqlite::Result<usize> {
    connection.execute(
        "DELETE FROM versions WHERE revision IN (
            SELECT version.revision FROM versions AS deletion
            JOIN versions AS version ON version.kind = deletion.kind AND version.id = deletion.id
            WHERE deletion.body IS NULL AND deletion.at < ?1
                AND NOT EXISTS (SELECT 1 FROM versions AS later WHERE later.kind = deletion.kind
                    AND later.id = deletion.id AND later.revision > deletion.revision))",
        [now / 1000 - DELETED_KEPT],
    )
}

/// Does the steps of one commit.
pub(super) fn apply(connection: &Connection, ops: &[Op], changes: &mut Changes) -> Result<(), Undone> {
    for op in ops {
        match op {
            Op::Put { kind, id, body, expect } => {
                check(connection, *kind, id, *expect)?;
                put(connection, *kind, id, body, changes)?;
            }
            Op::Delete { kind, id, expect } => {
                if check(connection, *kind, id, *expect)? {
                    delete(connection, *kind, id, changes)?;
                }
            }
            Op::Fence { lease, epoch } => {
                if !leases::is_held(connection, lease, *epoch, changes.now)? {
                    return Err(Undone::Refused(Error::Fenced { lease: lease.clone(), epoch: *epoch }));
                }
            }
        }
    }
    Ok(())
}

/// Is the document there? Refuses if it is not as expected.
fn check(connection: &Connection, kind: Kind, id: &str, expected: Expect) -> Result<bool, Undone> {
    let found: Option<u64> = connection
        .prepare_cached("SELECT revision FROM documents WHERE kind = ?1 AND id = ?2")?
        .query_row([kind.name(), id], |row| row.get(0))
        .optional()?;
    let met = match expected {
        Expect::Any => true,
        Expect::Absent => found.is_none(),
        Expect::Revision(revision) => found == Some(revision),
    };
    if met {
        Ok(found.is_some())
    } else {
        Err(Undone::Refused(Error::Conflict { kind, id: id.into(), expected, found }))
    }
}

fn put(
    connection: &Connection,
    kind: Kind,
    id: &str,
    body: &str,
    changes: &mut Changes,
) -> rusqlite::Result<()> {
    let revision = changes.next();
    let name = kind.name();
    connection
        .prepare_cached(
            "INSERT INTO documents (kind, id, revision, body) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (kind, id) DO UPDATE SET revision = excluded.revision, body = excluded.body",
        )?
        .execute(params![name, id, revision, body])?;
    keep(connection, kind, id, revision, changes.now, Some(body))?;
    connection
        .prepare_cached(
            "DELETE FROM versions WHERE kind = ?1 AND id = ?2 AND revision <=
                (SELECT revision FROM versions WHERE kind = ?1 AND id = ?2
                 ORDER BY revision DESC LIMIT 1 OFFSET ?3)",
        )?
        .execute(params![name, id, HISTORY as i64])?;
    let document = Document { kind, id: id.into(), revision, body: body.into() };
    changes.made.push(Change { sequence: revision, kind, id: id.into(), document: Some(Arc::new(document)) });
    Ok(())
}

fn delete(connection: &Connection, kind: Kind, id: &str, changes: &mut Changes) -> rusqlite::Result<()> {
    let sequence = changes.next();
    connection
        .prepare_cached("DELETE FROM documents WHERE kind = ?1 AND id = ?2")?
        .execute([kind.name(), id])?;
    keep(connection, kind, id, sequence, changes.now, None)?;
    changes.made.push(Change { sequence, kind, id: id.into(), document: None });
    Ok(())
}

/// Keeps a version.
fn keep(
    connection: &Connection,
    kind: Kind,
    id: &str,
    revision: u64,
    now: i64,
    body: Option<&str>,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO versions (revision, kind, id, at, body) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![revision, kind.name(), id, now / 1000, body])?;
    Ok(())
}

/// How many versions there are, and a page of them, newest first.
pub(super) fn history(
    connection: &Connection,
    kind: Kind,
    id: &str,
    limit: usize,
    offset: usize,
) -> rusqlite::Result<(usize, Vec<Version>)> {
    let total: i64 = connection
        .prepare_cached("SELECT count(*) FROM versions WHERE kind = ?1 AND id = ?2")?
        .query_row([kind.name(), id], |row| row.get(0))?;
    let mut statement = connection.prepare_cached(
        "SELECT revision, at, body FROM versions WHERE kind = ?1 AND id = ?2
         ORDER BY revision DESC LIMIT ?3 OFFSET ?4",
    )?;
    let page = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let versions = statement.query_map(params![kind.name(), id, page(limit), page(offset)], |row| {
        let body: Option<String> = row.get(2)?;
        Ok(Version { revision: row.get(0)?, at: row.get(1)?, body: body.map(Arc::from) })
    })?;
    Ok((usize::try_from(total).unwrap_or(0), versions.collect::<rusqlite::Result<_>>()?))
}
