//! What the component counts about itself. Relaxed atomics: each figure is right, a snapshot of all is only nearly simultaneous.

use super::{Reason, State};
use std::{
    array,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) attempts: AtomicU64,
    pub(super) connects: AtomicU64,
    pub(super) bytes_in: AtomicU64,
    pub(super) bytes_out: AtomicU64,
    pub(super) refused_transmits: AtomicU64,
    failures: [AtomicU64; Reason::ALL.len()],
    losses: [AtomicU64; Reason::ALL.len()],
    states: [AtomicU64; 4],
}

/// Totals since the start, and how many links are in each state now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub attempts: u64,
    pub connects: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Transmits that were refused because the link's queue was full.
    pub refused_transmits: u64,
    /// Datagrams that links lost because they took them too slowly.
    pub dropped_datagrams: u64,
    /// Attempts that failed, by reason; reasons that never occurred are left out.
    pub failures: Vec<(Reason, u64)>,
    /// Connections that ended other than by our wish, by reason.
    pub losses: Vec<(Reason, u64)>,
    pub idle: u64,
    pub connecting: u64,
    pub up: u64,
    pub down: u64,
}

impl Counters {
    pub(super) fn failed(&self, reason: Reason) {
        add(&self.failures, reason);
    }

    pub(super) fn lost(&self, reason: Reason) {
        add(&self.losses, reason);
    }

    pub(super) fn enter(&self, state: &State) {
        if let Some(count) = self.states.get(place(state)) {
            count.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn leave(&self, state: &State) {
        if let Some(count) = self.states.get(place(state)) {
            count.fetch_sub(1, Relaxed);
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let [idle, connecting, up, down] =
            array::from_fn(|i| self.states.get(i).map_or(0, |n| n.load(Relaxed)));
        Snapshot {
            attempts: self.attempts.load(Relaxed),
            connects: self.connects.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            refused_transmits: self.refused_transmits.load(Relaxed),
            dropped_datagrams: 0,
            failures: by_reason(&self.failures),
            losses: by_reason(&self.losses),
            idle,
            connecting,
            up,
            down,
        }
    }
}

fn place(state: &State) -> usize {
    match state {
        State::Idle => 0,
        State::Connecting { .. } => 1,
        State::Up { .. } => 2,
        State::Down { .. } => 3,
    }
}

fn add(counts: &[AtomicU64], reason: Reason) {
    if let Some(count) = counts.get(reason as usize) {
        count.fetch_add(1, Relaxed);
    }
}

fn by_reason(counts: &[AtomicU64]) -> Vec<(Reason, u64)> {
    Reason::ALL.into_iter().zip(counts.iter().map(|n| n.load(Relaxed))).filter(|(_, n)| *n > 0).collect()
}
