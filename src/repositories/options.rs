//! Every limit of this component, in one table.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Options of repositories and builds.
#[derive(Deserialize, Serialize, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Longest a fetch or a listing of a remote may take in all, milliseconds.
    pub fetch_ms: u64,
    /// Longest to wait for a connection to a remote, milliseconds.
    pub connect_ms: u64,
    /// Longest a remote may stay silent in the middle of an exchange, milliseconds.
    pub silence_ms: u64,
    /// Most bytes of a pack that a fetch may bring.
    pub fetch_bytes: u64,
    /// Builds that may run at the same time. Each has a checkout and a target folder of its own.
    pub builds: usize,
    /// Longest a build may take, milliseconds.
    pub build_ms: u64,
    /// Address space that each process of a build may use, bytes; 0 for no limit.
    pub build_memory_bytes: u64,
    /// A slot's target folder that has grown beyond this is emptied before the next build, bytes; 0 for no limit.
    pub target_bytes: u64,
    /// Jobs cargo may run at the same time; 0 leaves it to cargo.
    pub build_jobs: u32,
    /// Longest a freshly built driver may take to print its manifest, milliseconds.
    pub manifest_ms: u64,
    /// How much of the compiler's output is kept, bytes from its end.
    pub output_bytes: usize,
    /// Environment variables that a build is given besides the usual ones.
    pub build_environment: Vec<String>,
    /// The cargo to build with: a name that is looked for on PATH, or a path.
    pub cargo: String,
    /// Where the keys of ssh hosts are pinned; absent: `known_hosts` in the folder of the repositories.
    #[serde(skip)]
    pub known_hosts: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            fetch_ms: 600_000,
            connect_ms: 15_000,
            silence_ms: 60_000,
            fetch_bytes: 4 << 30,
            builds: 1,
            build_ms: 1_800_000,
            build_memory_bytes: 8 << 30,
            target_bytes: 10 << 30,
            build_jobs: 0,
            manifest_ms: 10_000,
            output_bytes: 256 << 10,
            build_environment: Vec::new(),
            cargo: "cargo".to_owned(),
            known_hosts: None,
        }
    }
}
