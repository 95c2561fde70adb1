//! The writer thread: group commit.
//!
//! It takes all commits that wait (up to [`GROUP`]) into one transaction, each in a savepoint of its own, so that
//! a conflict undoes that commit alone, and one sync to disk serves them all. Answers go out after the transaction
//! is on disk and its changes are published in [`Memory`]. If a group does not fit on the disk, each of its commits
//! is tried alone, so that one that is too large does not fail its neighbours.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::RwLock;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::documents::{self, Changes, Undone};
use super::leases;
use super::memory::Memory;
use super::schema::failure;
use crate::store::{Kind, Lease, Op, Result, Version};

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
            Err(error) if group.len() == 1 || !is_one_commits(&error) => {
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
        let sequence = self.memory.read().head();
        let mut changes = Changes { sequence, made: Vec::new(), now: unix_millis() };
        let outcomes = self.write(group, &mut changes);
        if outcomes.is_err() {
            self.roll_back();
        }
        let outcomes = outcomes?;
        if !changes.made.is_empty() {
            let mut memory = self.memory.write();
            for change in changes.made {
                memory.publish(change);
            }
            drop(memory);
            self.head.send_replace(changes.sequence);
        }
        Ok(outcomes)
    }

    fn write(&self, group: &[Pending], changes: &mut Changes) -> rusqlite::Result<Vec<Result<u64>>> {
        self.run_cached("BEGIN IMMEDIATE")?;
        let mut outcomes = Vec::with_capacity(group.len());
        for pending in group {
            self.run_cached("SAVEPOINT one")?;
            let before = changes.made.len();
            match documents::apply(&self.connection, &pending.ops, changes) {
                Ok(()) => outcomes.push(Ok(changes.sequence)),
                Err(Undone::Refused(error)) => {
                    self.run_cached("ROLLBACK TO one")?;
                    changes.truncate(before);
                    outcomes.push(Err(error));
                }
                Err(Undone::Disk(error)) => return Err(error),
            }
            self.run_cached("RELEASE one")?;
        }
        if changes.made.is_empty() {
            self.run_cached("ROLLBACK")?;
        } else {
            self.connection.prepare_cached("UPDATE sequence SET last = ?1")?.execute([changes.sequence])?;
            self.run_cached("COMMIT")?;
        }
        Ok(outcomes)
    }

    /// Some errors end the transaction by themselves, others leave it open.
    fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(file = %self.path.display(), %error, "a transaction could not be rolled back");
        }
    }

    /// Does what is no commit. The caller may have gone away, hence the ignored results.
    fn serve(&mut self, request: Request) {
        let (connection, path, now) = (&self.connection, &self.path, unix_millis());
        match request {
            Request::Commit { ops, answer } => self.commit(vec![Pending { ops, answer }]),
            Request::History { kind, id, limit, offset, answer } => {
                let versions = documents::history(connection, kind, &id, limit, offset);
                let _ = answer.send(versions.map_err(|error| failure("read", path, &error)));
            }
            Request::Acquire { name, holder, ttl, answer } => {
                let lease = leases::acquire(connection, name, holder, ttl, now);
                let _ = answer.send(lease.map_err(|error| failure("write to", path, &error)));
            }
            Request::Renew { lease, ttl, answer } => {
                let lease = leases::renew(connection, lease, ttl, now);
                let _ = answer.send(lease.map_err(|error| failure("write to", path, &error)));
            }
            Request::Release { lease, answer } => {
                let released = leases::release(connection, &lease);
                let _ = answer.send(released.map_err(|error| failure("write to", path, &error)));
            }
        }
    }

    fn run_cached(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }
}

/// Can this be the fault of a single commit of a group?
fn is_one_commits(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{ConstraintViolation, DiskFull, TooBig};
    matches!(error.sqlite_error_code(), Some(DiskFull | TooBig | ConstraintViolation))
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The wall clock, in milliseconds.
pub(super) fn unix_millis() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}
