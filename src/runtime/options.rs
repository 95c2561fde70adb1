//! Every time-out, limit and back-off of the runtime, in one place.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How the runtime behaves. All durations are in milliseconds, sizes in bytes.
#[derive(Deserialize, Serialize, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// How long a call may take if the caller gives no deadline.
    pub exec_timeout_ms: u64,
    /// The longest deadline that a caller may ask for.
    pub exec_timeout_max_ms: u64,
    /// Changes of a status value within this time after one that was published are published as one: the newest.
    pub status_window_ms: u64,
    /// Debug lines kept per module for whoever looks later.
    pub log_lines: usize,
    /// Debug lines a viewer may lag behind before it loses some.
    pub log_backlog: usize,
    /// A longer debug line is cut.
    pub log_line_bytes: usize,

    /// A new driver process must answer the first frame within this time.
    pub process_start_ms: u64,
    /// Time between the questions whether a driver process is alive.
    pub ping_interval_ms: u64,
    /// A driver process that sends nothing at all for this long is killed.
    pub hung_ms: u64,
    /// How long a driver process may take to stop before it is killed.
    pub stop_grace_ms: u64,
    /// The first pause before something that failed is started again; it doubles each time.
    pub restart_ms: u64,
    /// The longest pause.
    pub restart_max_ms: u64,
    /// What ran this long before it failed starts with the first pause again.
    pub restart_reset_ms: u64,
    /// Among how many processes of their own the modules that were busy in a process that died are divided.
    pub quarantine_processes: usize,
    /// Lines of standard error kept per process.
    pub stderr_lines: usize,

    /// Most memory a driver process may take (its data segment); 0 for no limit.
    pub process_memory_bytes: u64,
    /// Most files a driver process may open; 0 for no limit.
    pub process_files: u64,
    /// The program that sets limits and then becomes the driver; absent: drivers are started directly, without limits.
    #[serde(skip)]
    pub trampoline: Option<PathBuf>,

    /// Device bytes that may wait for one driver process before its devices are no longer read.
    pub received_bytes: usize,
    /// Device bytes that one module may leave unread before its device is no longer read.
    pub received_window_bytes: usize,
    /// Device bytes kept per module while its driver restarts; what comes after is dropped.
    pub held_bytes: usize,
    /// Bytes that may wait for a driver process that does not read, before it counts as hung.
    pub channel_bytes: usize,
    /// Calls and other requests that one driver process may be working on before further calls are refused.
    pub calls_in_flight: usize,

    /// The first pause before a repository that could not be fetched is tried again; it doubles each time.
    pub fetch_retry_ms: u64,
    /// The longest pause.
    pub fetch_retry_max_ms: u64,
    /// Where sockets of emulators are made.
    #[serde(skip)]
    pub run_dir: PathBuf,
    /// How long [`Runtime::shutdown`](super::Runtime::shutdown) may take before what still runs is killed.
    pub shutdown_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            exec_timeout_ms: 30_000,
            exec_timeout_max_ms: 600_000,
            status_window_ms: 20,
            log_lines: 100,
            log_backlog: 1_000,
            log_line_bytes: 8 * 1024,
            process_start_ms: 10_000,
            ping_interval_ms: 1_000,
            hung_ms: 5_000,
            stop_grace_ms: 3_000,
            restart_ms: 200,
            restart_max_ms: 60_000,
            restart_reset_ms: 60_000,
            quarantine_processes: 32,
            stderr_lines: 50,
            process_memory_bytes: 4 * 1024 * 1024 * 1024,
            process_files: 256,
            trampoline: None,
            received_bytes: 1024 * 1024,
            received_window_bytes: 256 * 1024,
            held_bytes: 64 * 1024,
            channel_bytes: 64 * 1024 * 1024,
            calls_in_flight: 10_000,
            fetch_retry_ms: 5_000,
            fetch_retry_max_ms: 300_000,
            run_dir: std::env::temp_dir(),
            shutdown_ms: 8_000,
        }
    }
}

impl Options {
    pub(crate) fn status_window(&self) -> Duration {
        Duration::from_millis(self.status_window_ms)
    }
}
