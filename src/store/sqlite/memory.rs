//! All live documents and the newest changes, in memory: what every read is answered from.
//!
//! Only the writer thread changes it, after the transaction is on disk, a whole commit group at a time.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use crate::store::{Change, Document, Error, Kind, Result};

/// How many changes the feed keeps at most.
pub(super) const FEED_CHANGES: usize = 8192;
/// How many bytes of bodies the feed keeps at most; the newest change is kept whatever its size.
pub(super) const FEED_BYTES: usize = 16 << 20;

#[derive(Default)]
pub(super) struct Memory {
    documents: HashMap<Kind, BTreeMap<String, Arc<Document>>>,
    feed: VecDeque<Change>,
    feed_bytes: usize,
    head: u64,
}

impl Memory {
    /// The documents as they were loaded; the feed starts empty at `head`.
    pub(super) fn new(documents: Vec<Document>, head: u64) -> Self {
        let mut memory = Memory { head, ..Memory::default() };
        for document in documents {
            let of_kind = memory.documents.entry(document.kind).or_default();
            of_kind.insert(document.id.clone(), Arc::new(document));
        }
        memory
    }

    pub(super) fn get(&self, kind: Kind, id: &str) -> Option<Arc<Document>> {
        self.documents.get(&kind)?.get(id).cloned()
    }

    pub(super) fn list(&self, kind: Kind) -> Vec<Arc<Document>> {
        self.documents.get(&kind).map(|of_kind| of_kind.values().cloned().collect()).unwrap_or_default()
    }

    pub(super) fn changes(&self, after: u64) -> Result<Vec<Change>> {
        let oldest = self.head - self.feed.len() as u64;
        if after < oldest {
            return Err(Error::TooOld { after, oldest });
        }
        let skip = usize::try_from(after - oldest).unwrap_or(usize::MAX);
        Ok(self.feed.iter().skip(skip).cloned().collect())
    }

    pub(super) fn head(&self) -> u64 {
        self.head
    }

    pub(super) fn publish(&mut self, change: Change) {
        debug_assert_eq!(change.sequence, self.head + 1, "changes are published in order");
        self.head = change.sequence;
        let of_kind = self.documents.entry(change.kind).or_default();
        match &change.document {
            Some(document) => of_kind.insert(change.id.clone(), document.clone()),
            None => of_kind.remove(&change.id),
        };
        self.feed_bytes += size(&change);
        self.feed.push_back(change);
        while self.feed.len() > FEED_CHANGES || (self.feed_bytes > FEED_BYTES && self.feed.len() > 1) {
            if let Some(oldest) = self.feed.pop_front() {
                self.feed_bytes -= size(&oldest);
            }
        }
    }
}

fn size(change: &Change) -> usize {
    change.document.as_ref().map_or(0, |document| document.body.len())
}
