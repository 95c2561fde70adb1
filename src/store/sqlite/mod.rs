//! The store on SQLite: reads from memory, writes by one thread.
//!
//! ```text
//! commit ──► queue ──► writer thread: one transaction for all that wait, a savepoint for each commit
//!                         │ on disk (WAL, synchronous = FULL)
//!                         ▼
//!                      Memory (documents, feed) ──► head ──► answers to the callers
//! get, list, changes ◄────┘
//! ```
//!
//! Only the writer thread touches the database, so nothing blocks the async runtime. One process owns the file;
//! the daemon's lock on its data directory sees to that.

mod documents;
mod leases;
mod memory;
mod schema;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::{Mutex, RwLock};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::{Change, Document, Error, Handle, Kind, Lease, Op, Result, Store, Version};
use memory::Memory;
use writer::{Request, Writer};

/// How many requests may wait for the writer before callers wait to hand theirs in.
const QUEUE: usize = 4096;

/// Opens the store in `path` (created if need be) and loads its documents. Blocks; call it before serving.
pub fn open(path: impl AsRef<Path>) -> Result<Handle> {
    let path = path.as_ref();
    Ok(Arc::new(Sqlite::start(schema::open(path)?, path)?))
}

/// A store that is gone with its last handle, for tests and trials.
pub fn open_in_memory() -> Result<Handle> {
    let path = Path::new(":memory:");
    Ok(Arc::new(Sqlite::start(schema::open(path)?, path)?))
}

struct Sqlite {
    memory: Arc<RwLock<Memory>>,
    head: watch::Receiver<u64>,
    /// `None` only while it is dropped.
    requests: Option<mpsc::Sender<Request>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Sqlite {
    fn start(connection: Connection, path: &Path) -> Result<Self> {
        let tidied = documents::tidy(&connection, writer::unix_millis());
        tidied.map_err(|error| schema::failure("tidy", path, &error))?;
        let (documents, head) = documents::load(&connection, path)?;
        let memory = Arc::new(RwLock::new(Memory::new(documents, head)));
        let (head, receiver) = watch::channel(head);
        let (requests, queue) = mpsc::channel(QUEUE);
        let writer = Writer::new(connection, path.into(), memory.clone(), head);
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || writer.run(queue))
            .map_err(|error| Error::Storage {
                action: "start the writer thread of",
                file: path.into(),
                detail: error.to_string(),
                full: false,
            })?;
        Ok(Sqlite { memory, head: receiver, requests: Some(requests), writer: Mutex::new(Some(thread)) })
    }

    fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T>>) -> Request,
    ) -> BoxFuture<'_, Result<T>> {
        let (answer, answered) = oneshot::channel();
        let request = request(answer);
        async move {
            let requests = self.requests.as_ref().ok_or(Error::Closed)?;
            requests.send(request).await.map_err(|_| Error::Closed)?;
            answered.await.map_err(|_| Error::Closed)?
        }
        .boxed()
    }
}

impl Store for Sqlite {
    fn get(&self, kind: Kind, id: &str) -> BoxFuture<'_, Result<Option<Arc<Document>>>> {
        std::future::ready(Ok(self.memory.read().get(kind, id))).boxed()
    }

    fn list(&self, kind: Kind) -> BoxFuture<'_, Result<Vec<Arc<Document>>>> {
        std::future::ready(Ok(self.memory.read().list(kind))).boxed()
    }

    fn commit(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<u64>> {
        self.ask(|answer| Request::Commit { ops, answer })
    }

    fn history(
        &self,
        kind: Kind,
        id: &str,
        limit: usize,
        offset: usize,
    ) -> BoxFuture<'_, Result<(usize, Vec<Version>)>> {
        let id = id.to_owned();
        self.ask(move |answer| Request::History { kind, id, limit, offset, answer })
    }

    fn changes(&self, after: u64) -> BoxFuture<'_, Result<Vec<Change>>> {
        std::future::ready(self.memory.read().changes(after)).boxed()
    }

    fn head(&self) -> watch::Receiver<u64> {
        self.head.clone()
    }

    fn acquire(&self, name: &str, holder: &str, ttl: Duration) -> BoxFuture<'_, Result<Option<Lease>>> {
        let (name, holder) = (name.to_owned(), holder.to_owned());
        self.ask(move |answer| Request::Acquire { name, holder, ttl, answer })
    }

    fn renew(&self, lease: &Lease, ttl: Duration) -> BoxFuture<'_, Result<Option<Lease>>> {
        let lease = lease.clone();
        self.ask(move |answer| Request::Renew { lease, ttl, answer })
    }

    fn release(&self, lease: &Lease) -> BoxFuture<'_, Result<()>> {
        let lease = lease.clone();
        self.ask(move |answer| Request::Release { lease, answer })
    }
}

impl Drop for Sqlite {
    /// Ends the writer thread after it did what was queued, so that the file can be opened again at once.
    fn drop(&mut self) {
        self.requests.take();
        if let Some(writer) = self.writer.lock().take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer thread had panicked");
        }
    }
}
