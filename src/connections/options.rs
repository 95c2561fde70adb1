//! Every time-out, limit and back-off of this component. Explained at more length in `docs/connections.md`.

use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

#[derive(Deserialize, Serialize, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// An attempt, name resolution included, is given up after this long.
    pub connect_timeout_ms: u64,
    /// With several addresses under one name, the next is tried this long after the previous, without giving that up.
    pub address_stagger_ms: u64,
    /// A name that is not resolved after this long counts as `dns`.
    pub dns_timeout_ms: u64,
    /// Names resolved at the same time (each holds a thread while it lasts).
    pub dns_concurrency: usize,

    /// Retries per second of all links that are down, taken together.
    pub retry_budget_per_second: u32,
    /// A link is retried no sooner than this after its last attempt began …
    pub retry_min_ms: u64,
    /// … plus a random part of this.
    pub retry_jitter_ms: u64,
    /// The first retry after the loss of a connection that had held comes after this …
    pub retry_first_ms: u64,
    /// … plus a random part of this.
    pub retry_first_jitter_ms: u64,
    /// When the budget is short, a link's claim on it shrinks with every failure, as if it were to be retried every 1, 2, 4 … s, up to this.
    pub retry_cap_ms: u64,
    /// A connection that held this long was a good one: failures are counted from zero again.
    pub stable_ms: u64,
    /// Attempts that were asked for are at least this far apart on one link.
    pub asked_min_ms: u64,
    /// After a refused login there is no attempt for this long, asked for or not, unless the target is changed.
    pub refused_pause_ms: u64,
    /// First attempts, and attempts that were asked for, under way at the same time …
    pub first_attempts: usize,
    /// … each counted for at most this long, so that silent addresses do not hold up those that answer.
    pub first_attempt_hold_ms: u64,

    /// TCP keep-alive: the first probe goes out after this much silence. 0 switches keep-alive off. Whole seconds.
    pub keepalive_idle_ms: u64,
    /// TCP keep-alive: time between probes. Whole seconds.
    pub keepalive_interval_ms: u64,
    /// TCP keep-alive: unanswered probes until the peer counts as `silent` (when `user_timeout_ms` is 0; else that decides).
    pub keepalive_count: u32,
    /// TCP user time-out: sent bytes, or probes, unacknowledged for this long make the peer `silent`. 0: the system's default.
    pub user_timeout_ms: u64,

    /// On a connection that several links share: a turn that lasts longer is taken back.
    pub bus_turn_ms: u64,
    /// When a turn ends before what was sent last is answered, the line is left alone for this long.
    pub bus_settle_ms: u64,

    /// Bytes that may wait to be sent on one link.
    pub queue_bytes: usize,
    /// Bytes read at once; a link has such a buffer only while it hands bytes on.
    pub read_bytes: usize,
    /// Memory that the flight recorder of a module may grow to. 0 switches the recorders off.
    pub recorder_bytes: usize,

    /// Where the keys of SSH hosts are pinned. None: nowhere, and only hosts whose key is in their settings are trusted.
    #[serde(skip)]
    pub known_hosts: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout_ms: 5_000,
            address_stagger_ms: 250,
            dns_timeout_ms: 4_000,
            dns_concurrency: 32,
            retry_budget_per_second: 100,
            retry_min_ms: 1_000,
            retry_jitter_ms: 800,
            retry_first_ms: 100,
            retry_first_jitter_ms: 200,
            retry_cap_ms: 60_000,
            stable_ms: 5_000,
            asked_min_ms: 100,
            refused_pause_ms: 30_000,
            first_attempts: 256,
            first_attempt_hold_ms: 250,
            keepalive_idle_ms: 10_000,
            keepalive_interval_ms: 5_000,
            keepalive_count: 3,
            user_timeout_ms: 20_000,
            bus_turn_ms: 30_000,
            bus_settle_ms: 100,
            queue_bytes: 1024 * 1024,
            read_bytes: 32 * 1024,
            recorder_bytes: 64 * 1024,
            known_hosts: None,
        }
    }
}

pub(super) fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}
