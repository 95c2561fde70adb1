//! Reading a recording while it goes on.
//!
//! A follower is a place in the ring, and nothing is kept for it: one that is slow finds that the ring has moved on, and is told
//! how many records it has missed.

use super::{Recorder, record::Record, ring::Place};
use std::{pin::pin, sync::Arc, sync::atomic::Ordering::Relaxed, time::Duration};
use tokio::time::{Instant, timeout_at};

/// Bytes that may be the beginning of a secret hold up their record, and those behind it, for so long. Then they are shown as
/// if they were one.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Follower {
    recorder: Arc<Recorder>,
    place: Place,
}

/// What is new.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// Records before these that the follower was too slow for.
    pub missed: u64,
    pub records: Vec<Record>,
}

impl Follower {
    pub(super) fn new(recorder: Arc<Recorder>, place: Place) -> Self {
        recorder.followers.fetch_add(1, Relaxed);
        Self { recorder, place }
    }

    /// What is there already, without waiting. Bytes that may be the beginning of a secret are shown as if they were one.
    pub fn there(&mut self) -> Batch {
        let (records, next, missed, _) = self.recorder.read(self.place, false);
        self.place = next;
        Batch { missed, records }
    }

    /// Waits for something new. `None` once the module is gone. Nothing is lost when it is dropped unfinished.
    pub async fn next(&mut self) -> Option<Batch> {
        let recorder = self.recorder.clone();
        let mut patience = None;
        loop {
            let mut news = pin!(recorder.news.notified());
            news.as_mut().enable();
            let closed = recorder.is_closed();
            let late = patience.is_some_and(|patience| patience <= Instant::now());
            let (records, next, missed, waits) = recorder.read(self.place, !late);
            self.place = next;
            if missed > 0 || !records.is_empty() {
                return Some(Batch { missed, records });
            }
            if closed {
                return None;
            }
            match waits.then(|| *patience.get_or_insert_with(|| Instant::now() + PATIENCE)) {
                Some(patience) => drop(timeout_at(patience, news).await),
                None => news.await,
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.recorder.followers.fetch_sub(1, Relaxed);
    }
}
