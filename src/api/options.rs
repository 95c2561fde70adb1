//! Every limit and time-out of the control API, in one table.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Limits and time-outs of the control API. Times in milliseconds, sizes in bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Largest request body; a longer one is answered with 413 and never kept in memory.
    pub max_body_bytes: usize,
    /// A connection that has not sent a whole request head within this time is closed.
    pub header_timeout_ms: u64,
    /// A request whose body takes longer is answered with 408.
    pub body_timeout_ms: u64,
    /// How long a call of a module's function may take.
    pub exec_timeout_ms: u64,
    /// How long start, stop and other writes wait for the runtime to have acted on them.
    pub settle_timeout_ms: u64,
    /// How long a repository pull may take before the caller is told to come back (408).
    pub pull_timeout_ms: u64,
    /// How long a caller may wait for a build before it is told to come back (408).
    pub compile_timeout_ms: u64,
    /// How long open requests may go on once the daemon stops.
    pub shutdown_ms: u64,
    /// Serve `/metrics` to anybody, not only to holders of a support key.
    pub metrics_public: bool,
    /// Largest frame a control WebSocket client may send.
    pub socket_message_bytes: usize,
    /// Calls a control WebSocket session may have under way; more wait in the client's socket.
    pub socket_in_flight: usize,
    /// Status variables a control WebSocket session may follow.
    pub socket_bindings: usize,
    /// Modules whose log a control WebSocket session may follow.
    pub socket_debugs: usize,
    /// A control WebSocket client that takes nothing for this long is disconnected.
    pub socket_stall_ms: u64,
    /// How often an open session checks that its key is still valid.
    pub socket_recheck_ms: u64,
    /// How often a session is sent an unasked `pong`, which keeps middleboxes from closing it.
    pub socket_pong_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            max_body_bytes: 4 * 1024 * 1024,
            header_timeout_ms: 15_000,
            body_timeout_ms: 30_000,
            exec_timeout_ms: 30_000,
            settle_timeout_ms: 5_000,
            pull_timeout_ms: 60_000,
            compile_timeout_ms: 600_000,
            shutdown_ms: 5_000,
            metrics_public: false,
            socket_message_bytes: 1024 * 1024,
            socket_in_flight: 1024,
            socket_bindings: 20_000,
            socket_debugs: 200,
            socket_stall_ms: 15_000,
            socket_recheck_ms: 5_000,
            socket_pong_ms: 80_000,
        }
    }
}

impl Options {
    pub(crate) fn exec_timeout(&self) -> Duration {
        Duration::from_millis(self.exec_timeout_ms)
    }

    pub(crate) fn settle_timeout(&self) -> Duration {
        Duration::from_millis(self.settle_timeout_ms)
    }
}
