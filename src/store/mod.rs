//! Desired state, durable: documents by kind and id.
//!
//! The trait is narrow so that a cluster can stand on another engine later. Invariants every implementation keeps:
//!
//! - A write is acknowledged after it is on disk.
//! - Changes are numbered 1, 2, 3, … without gaps; a document's `revision` is the number of the change that
//!   wrote it, so a revision is never used twice, not even after a document was deleted and made again.
//! - A commit is atomic for readers too: they see all of it or nothing, and whoever saw `N` in [`Store::head`]
//!   can read everything up to change `N`.
//! - Two commits that expect the same revision of a document: one wins, the other gets [`Error::Conflict`].

mod error;
pub mod sqlite;
pub mod typed;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

pub use crate::model::Kind;
pub use error::{Error, Result};

/// A store that many parts share.
pub type Handle = Arc<dyn Store>;

/// One document as it stands, or stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub kind: Kind,
    pub id: String,
    /// The number of the change that wrote it.
    pub revision: u64,
    /// JSON text.
    pub body: Arc<str>,
}

/// What a commit takes for granted about a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Any,
    /// There is no such document.
    Absent,
    /// It is still at this revision.
    Revision(u64),
}

/// One step of a commit.
#[derive(Clone, Debug)]
pub enum Op {
    /// Creates or replaces a document. `body` is JSON text.
    Put { kind: Kind, id: String, body: String, expect: Expect },
    /// Deletes a document. With [`Expect::Any`], a document that is not there is no error and no change.
    Delete { kind: Kind, id: String, expect: Expect },
    /// Goes on only while this lease is at this epoch: the fence against a holder that lost it and does not know.
    Fence { lease: String, epoch: u64 },
}

/// One change of the feed.
#[derive(Clone, Debug)]
pub struct Change {
    pub sequence: u64,
    pub kind: Kind,
    pub id: String,
    /// The document as this change left it; `None`: deleted.
    pub document: Option<Arc<Document>>,
}

/// One version of a document's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The number of the change that wrote it.
    pub revision: u64,
    /// Unix seconds.
    pub at: i64,
    /// JSON text; `None`: this change deleted the document.
    pub body: Option<Arc<str>>,
}

/// A lease that was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub name: String,
    pub holder: String,
    /// Grows with every grant (not with renewals); what [`Op::Fence`] checks.
    pub epoch: u64,
    /// Unix milliseconds.
    pub expires_at: i64,
}

/// Documents by kind and id, with revisions, history, a change feed and leases.
pub trait Store: Send + Sync {
    /// One document.
    fn get(&self, kind: Kind, id: &str) -> BoxFuture<'_, Result<Option<Arc<Document>>>>;

    /// All documents of a kind, in the order of their ids.
    fn list(&self, kind: Kind) -> BoxFuture<'_, Result<Vec<Arc<Document>>>>;

    /// Does all of `ops` in order, or nothing. Returns the number of its last change (the head, if it changed
    /// nothing). A commit whose future is dropped may still happen.
    fn commit(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<u64>>;

    /// How many versions of a document are kept, and a page of them, newest first. The current one is among
    /// them; at most [`HISTORY`] and the deletion are kept.
    fn history(
        &self,
        kind: Kind,
        id: &str,
        limit: usize,
        offset: usize,
    ) -> BoxFuture<'_, Result<(usize, Vec<Version>)>>;

    /// All changes after number `after`, in order. [`Error::TooOld`] if the feed no longer reaches back that
    /// far (or never did: it starts empty when a daemon starts); the reader then lists, and goes on from the
    /// head it read *before* it listed.
    fn changes(&self, after: u64) -> BoxFuture<'_, Result<Vec<Change>>>;

    /// The number of the newest change, as it grows.
    fn head(&self) -> watch::Receiver<u64>;

    /// Takes the lease `name` for `holder`; `None` while somebody else holds it. The holder itself gets a new
    /// epoch: it may have forgotten what it did under the old one.
    fn acquire(&self, name: &str, holder: &str, ttl: Duration) -> BoxFuture<'_, Result<Option<Lease>>>;

    /// Extends a lease; `None` if it was lost.
    fn renew(&self, lease: &Lease, ttl: Duration) -> BoxFuture<'_, Result<Option<Lease>>>;

    /// Gives a lease back, if it is still held.
    fn release(&self, lease: &Lease) -> BoxFuture<'_, Result<()>>;
}

/// How many versions of a document are kept.
pub const HISTORY: usize = 20;
