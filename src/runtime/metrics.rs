//! Counters of the runtime, and what they are at one moment.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use super::host::pending::Outcome;

/// Upper bounds of the histogram's buckets, microseconds; the last bucket has none.
pub const LATENCY_BOUNDS_US: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000,
    30_000_000,
];

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) processes_started: Counter,
    pub(crate) processes_failed: Counter,
    pub(crate) modules_started: Counter,
    pub(crate) modules_failed: Counter,
    pub(crate) status_changes: Counter,
    execs_done: Counter,
    execs_failed: Counter,
    execs_late: Counter,
    exec_us: Counter,
    exec_buckets: [Counter; LATENCY_BOUNDS_US.len() + 1],
}

/// The counters, since the daemon started.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Snapshot {
    pub processes_started: u64,
    /// Processes that ended without being told to.
    pub processes_failed: u64,
    pub modules_started: u64,
    /// Modules that panicked, refused to start or went down with their process.
    pub modules_failed: u64,
    pub status_changes: u64,
    pub execs_done: u64,
    pub execs_failed: u64,
    pub execs_late: u64,
    /// All execs together, microseconds.
    pub exec_us: u64,
    /// Execs by how long they took: as many as [`LATENCY_BOUNDS_US`], and one more. Not cumulative.
    pub exec_buckets: Vec<u64>,
}

impl Metrics {
    pub(crate) fn exec(&self, took: Duration, outcome: &Outcome) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        match outcome {
            Outcome::Done(_) => self.execs_done.inc(),
            Outcome::Failed(_) | Outcome::Gone(_) => self.execs_failed.inc(),
            Outcome::Late => self.execs_late.inc(),
        }
        self.exec_us.add(micros);
        let bucket = LATENCY_BOUNDS_US.partition_point(|bound| *bound < micros);
        if let Some(bucket) = self.exec_buckets.get(bucket) {
            bucket.inc();
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            processes_started: self.processes_started.get(),
            processes_failed: self.processes_failed.get(),
            modules_started: self.modules_started.get(),
            modules_failed: self.modules_failed.get(),
            status_changes: self.status_changes.get(),
            execs_done: self.execs_done.get(),
            execs_failed: self.execs_failed.get(),
            execs_late: self.execs_late.get(),
            exec_us: self.exec_us.get(),
            exec_buckets: self.exec_buckets.iter().map(Counter::get).collect(),
        }
    }
}
