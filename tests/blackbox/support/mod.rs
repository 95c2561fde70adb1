//! What the tests share: a daemon, its API, git repositories of drivers, devices and peers.

mod api;
mod builds;
mod daemon;
pub mod device;
pub mod drivers;
pub mod git;
mod socket;
#[path = "../../../src/repositories/tests/web.rs"]
pub mod web;

use std::time::{Duration, Instant};

pub use api::Api;
pub use builds::{authors_target, kept};
pub use daemon::{Daemon, Setup, headend};
pub use socket::Socket;

/// Long enough for anything that is not broken, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until there is an answer; fails after [`PATIENCE`], saying what did not happen.
pub async fn until<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, what, ask).await
}

/// Asks until there is an answer, for at most `patience`.
pub async fn within<T>(patience: Duration, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(started.elapsed() < patience, "{what}: not within {patience:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a process has in memory, bytes.
pub fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// The processes whose parent is `parent`, or that have `needle` in their command line.
pub fn processes(needle: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(command) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let state = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let zombie = state.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'));
        if !zombie && String::from_utf8_lossy(&command).contains(needle) {
            found.push(pid);
        }
    }
    found
}
