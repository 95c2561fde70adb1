//! The writer thread: group commit.
//!
//! It takes all commits that wait (up to [`GROUP`]) into one transaction, each in a savepoint of its own, so that
//! a conflict undoes that commit alone, and one sync to disk serves them all. Answers go out after the transaction
//! is on disk and its changes are published in [`Memory`]. If the disk refuses a group, each of its commits is
//! tried alone, so that one that is too large does not fail its neighbours.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::RwLock;
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};
use tokio::sync::{mpsc, oneshot, watch};

use super::memory::Memory;
use super::schema::failure;
use crate::store::{Change, Document, Error, Expect, HISTORY, Kind, Lease, Op, Result, Version};

/// How many commits share a transaction at most.
const GROUP: usize = 512;

type Answer<T> = oneshot::Sender<Result<T>>;

pub(super) enum Request {
    Commit { ops: Vec<Op>, answer: Answer<u64> },
    History { kind: Kind, id: String, limit: usize, offset: usize, answer: Answer<(usize, Vec<Version>)> },
    Acquire { name: String, holder: String, ttl: Duration, answer: Answer<Option<Lease>> },
    Renew { lease: Lease, ttl: Duration, answer: Answer<Option<Lease>> },
    Release { lease: Lease, answer: Answer<()> },
}

pub(super) struct Writer {
    connection: Connection,
    path: PathBuf,
    memory: Arc<RwLock<Memory>>,
    head: watch::Sender<u64>,
}

/// A commit that waits to be done.
struct Pending {
    ops: Vec<Op>,
    answer: Answer<u64>,
}

/// Why a commit was not done: by its own fault, or by the disk's.
enum Undone {
    Refused(Error),
    Disk(rusqlite::Error),
}

impl From<rusqlite::Error> for Undone {
    fn from(error: rusqlite::Error) -> Self {
        Undone::Disk(error)
    }
}

/// Reads all live documents and the number of the last change.
pub(super) fn load(connection: &Connection, path: &std::path::Path) -> Result<(Vec<Document>, u64)> {
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
        documents.push(Document {
            kind,
            id: row.get(1).map_err(fail)?,
            revision: row.get(2).map_err(fail)?,
            body: body.into(),
        });
    }
    Ok((documents, head))
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        path: PathBuf,
        memory: Arc<RwLock<Memory>>,
        head: watch::Sender<u64>,
    ) -> Self {
        connection.set_prepared_statement_cache_capacity(32);
        Writer { connection, path, memory, head }
    }

    /// Serves requests until every sender is gone.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        let mut group = Vec::new();
        while let Some(request) = queue.blocking_recv() {
            let mut next = Some(request);
            // A request that is no commit ends the group, so that everything happens in the order it was asked.
            while let Some(Request::Commit { ops, answer }) = next {
                group.push(Pending { ops, answer });
                next = if group.len() < GROUP { queue.try_recv().ok() } else { None };
            }
            if !group.is_empty() {
                self.commit(std::mem::take(&mut group));
            }
            if let Some(request) = next {
                self.serve(request);
            }
        }
    }

    fn commit(&mut self, group: Vec<Pending>) {
        match self.transact(&group) {
            Ok(outcomes) => {
                for (pending, outcome) in group.into_iter().zip(outcomes) {
                    // The caller may have gone away.
                    let _ = pending.answer.send(outcome);
                }
            }
            Err(error) if group.len() == 1 => {
                tracing::error!(file = %self.path.display(), %error, "a write to the store failed");
                for pending in group {
                    let _ = pending.answer.send(Err(failure("write to", &self.path, &error)));
                }
            }
            Err(_) => {
                for pending in group {
                    self.commit(vec![pending]);
                }
            }
        }
    }

    /// Does a group in one transaction and publishes its changes. An error means that nothing was done.
    fn transact(&mut self, group: &[Pending]) -> rusqlite::Result<Vec<Result<u64>>> {
        let before = self.memory.read().head();
        let mut sequence = before;
        let mut changes = Vec::new();
        let mut outcomes = Vec::with_capacity(group.len());
        let now = unix_millis() / 1000;
        self.begin()?;
        let done = (|| {
            for pending in group {
                self.run_cached("SAVEPOINT one")?;
                let mark = (sequence, changes.len());
                match self.apply(&pending.ops, now, &mut sequence, &mut changes) {
                    Ok(()) => outcomes.push(Ok(sequence)),
                    Err(Undone::Refused(error)) => {
                        self.run_cached("ROLLBACK TO one")?;
                        sequence = mark.0;
                        changes.truncate(mark.1);
                        outcomes.push(Err(error));
                    }
                    Err(Undone::Disk(error)) => return Err(error),
                }
                self.run_cached("RELEASE one")?;
            }
            if sequence == before {
                return self.run_cached("ROLLBACK");
            }
            self.cached("UPDATE sequence SET last = ?1")?.execute([sequence])?;
            self.run_cached("COMMIT")
        })();
        if let Err(error) = done {
            self.roll_back();
            return Err(error);
        }
        if sequence > before {
            let mut memory = self.memory.write();
            for change in changes {
                memory.publish(change);
            }
            drop(memory);
            self.head.send_replace(sequence);
        }
        Ok(outcomes)
    }

    fn begin(&self) -> rusqlite::Result<()> {
        self.roll_back();
        self.run_cached("BEGIN IMMEDIATE")
    }

    /// Some errors end the transaction by themselves, others leave it open.
    fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(file = %self.path.display(), %error, "a transaction could not be rolled back");
        }
    }

    fn apply(
        &self,
        ops: &[Op],
        now: i64,
        sequence: &mut u64,
        changes: &mut Vec<Change>,
    ) -> Result<(), Undone> {
        for op in ops {
            match op {
                Op::Put { kind, id, body, expect } => {
                    self.check(*kind, id, *expect)?;
                    *sequence += 1;
                    changes.push(self.put(*kind, id, body, now, *sequence)?);
                }
                Op::Delete { kind, id, expect } => {
                    if self.check(*kind, id, *expect)? {
                        *sequence += 1;
                        changes.push(self.delete(*kind, id, now, *sequence)?);
                    }
                }
                Op::Fence { lease, epoch } => self.fence(lease, *epoch)?,
            }
        }
        Ok(())
    }

    /// Is the document there? Refuses if it is not as expected.
    fn check(&self, kind: Kind, id: &str, expected: Expect) -> Result<bool, Undone> {
        let found: Option<u64> = self
            .cached("SELECT revision FROM documents WHERE kind = ?1 AND id = ?2")?
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

    fn put(&self, kind: Kind, id: &str, body: &str, now: i64, sequence: u64) -> rusqlite::Result<Change> {
        let name = kind.name();
        self.cached(
            "INSERT INTO documents (kind, id, revision, body) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (kind, id) DO UPDATE SET revision = excluded.revision, body = excluded.body",
        )?
        .execute(params![name, id, sequence, body])?;
        self.version(name, id, sequence, now, Some(body))?;
        self.cached(
            "DELETE FROM versions WHERE kind = ?1 AND id = ?2 AND revision <=
                (SELECT revision FROM versions WHERE kind = ?1 AND id = ?2
                 ORDER BY revision DESC LIMIT 1 OFFSET ?3)",
        )?
        .execute(params![name, id, HISTORY as i64])?;
        let document = Document { kind, id: id.into(), revision: sequence, body: body.into() };
        Ok(Change { sequence, kind, id: id.into(), document: Some(Arc::new(document)) })
    }

    fn delete(&self, kind: Kind, id: &str, now: i64, sequence: u64) -> rusqlite::Result<Change> {
        let name = kind.name();
        self.cached("DELETE FROM documents WHERE kind = ?1 AND id = ?2")?.execute([name, id])?;
        self.version(name, id, sequence, now, None)?;
        Ok(Change { sequence, kind, id: id.into(), document: None })
    }

    fn version(
        &self,
        kind: &str,
        id: &str,
        revision: u64,
        at: i64,
        body: Option<&str>,
    ) -> rusqlite::Result<()> {
        self.cached("INSERT INTO versions (revision, kind, id, at, body) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![revision, kind, id, at, body])?;
        Ok(())
    }

    fn fence(&self, lease: &str, epoch: u64) -> Result<(), Undone> {
        let held: bool = self
            .cached(
                "SELECT EXISTS (SELECT 1 FROM leases WHERE name = ?1 AND epoch = ?2 AND expires_at > ?3)",
            )?
            .query_row(params![lease, epoch, unix_millis()], |row| row.get(0))?;
        if held { Ok(()) } else { Err(Undone::Refused(Error::Fenced { lease: lease.into(), epoch })) }
    }

    fn serve(&mut self, request: Request) {
        // The caller may have gone away, hence the ignored results.
        match request {
            Request::Commit { ops, answer } => self.commit(vec![Pending { ops, answer }]),
            Request::History { kind, id, limit, offset, answer } => {
                let versions = self.history(kind, &id, limit, offset);
                let _ = answer.send(versions.map_err(|error| failure("read", &self.path, &error)));
            }
            Request::Acquire { name, holder, ttl, answer } => {
                let lease = self.acquire(name, holder, ttl);
                let _ = answer.send(lease.map_err(|error| failure("write to", &self.path, &error)));
            }
            Request::Renew { lease, ttl, answer } => {
                let lease = self.renew(lease, ttl);
                let _ = answer.send(lease.map_err(|error| failure("write to", &self.path, &error)));
            }
            Request::Release { lease, answer } => {
                let released = self.release(&lease);
                let _ = answer.send(released.map_err(|error| failure("write to", &self.path, &error)));
            }
        }
    }

    fn history(
        &self,
        kind: Kind,
        id: &str,
        limit: usize,
        offset: usize,
    ) -> rusqlite::Result<(usize, Vec<Version>)> {
        let total: i64 = self
            .cached("SELECT count(*) FROM versions WHERE kind = ?1 AND id = ?2")?
            .query_row([kind.name(), id], |row| row.get(0))?;
        let mut statement = self.cached(
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

    fn acquire(&self, name: String, holder: String, ttl: Duration) -> rusqlite::Result<Option<Lease>> {
        let now = unix_millis();
        let expires_at = now.saturating_add(millis(ttl));
        // One statement, so that taking it is atomic and on disk when it returns.
        let epoch: Option<u64> = self
            .cached(
                "INSERT INTO leases (name, holder, epoch, expires_at) VALUES (?1, ?2, 1, ?3)
                 ON CONFLICT (name) DO UPDATE
                    SET holder = excluded.holder, epoch = epoch + 1, expires_at = excluded.expires_at
                    WHERE leases.holder = excluded.holder OR leases.expires_at <= ?4
                 RETURNING epoch",
            )?
            .query_row(params![name, holder, expires_at, now], |row| row.get(0))
            .optional()?;
        Ok(epoch.map(|epoch| Lease { name, holder, epoch, expires_at }))
    }

    fn renew(&self, lease: Lease, ttl: Duration) -> rusqlite::Result<Option<Lease>> {
        let now = unix_millis();
        let expires_at = now.saturating_add(millis(ttl));
        let renewed = self
            .cached("UPDATE leases SET expires_at = ?1 WHERE name = ?2 AND epoch = ?3 AND expires_at > ?4")?
            .execute(params![expires_at, lease.name, lease.epoch, now])?;
        Ok((renewed == 1).then_some(Lease { expires_at, ..lease }))
    }

    fn release(&self, lease: &Lease) -> rusqlite::Result<()> {
        self.cached("UPDATE leases SET expires_at = 0 WHERE name = ?1 AND epoch = ?2")?
            .execute(params![lease.name, lease.epoch])?;
        Ok(())
    }

    fn run_cached(&self, sql: &str) -> rusqlite::Result<()> {
        self.cached(sql)?.execute([]).map(drop)
    }

    fn cached(&self, sql: &str) -> rusqlite::Result<CachedStatement<'_>> {
        self.connection.prepare_cached(sql)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The wall clock, in milliseconds.
fn unix_millis() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}
