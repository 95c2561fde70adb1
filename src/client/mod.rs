//! `headend` as a client of a running daemon: status, exec, watch, logs, wire, record.
//!
//! Everything goes through the control API, as any other client's requests do. What a command prints is a table for
//! people or, with `--json`, JSON whose fields stay as they are; errors say what a person can do about them.

mod access;
mod exec;
mod find;
mod http;
mod live;
mod logs;
mod names;
mod record;
mod socket;
mod status;
mod table;
#[cfg(test)]
mod tests;
mod watch;
mod wire;

use std::path::PathBuf;

pub use access::{Access, Given};

/// What to do.
#[derive(Clone, Debug)]
pub enum Command {
    /// What runs: all of it, one system, or one module with its status.
    Status { target: Vec<String> },
    /// Calls a function: target, function, arguments.
    Exec { words: Vec<String> },
    /// Follows status values: target, keys (all of them, if none is named).
    Watch { words: Vec<String> },
    /// A module's log.
    Logs { target: Vec<String>, follow: bool },
    /// What went over a module's wire.
    Wire { target: Vec<String>, wire: Wire },
    /// Saves it as a recording until interrupted.
    Record { target: Vec<String>, save: PathBuf },
}

/// What to show of a wire, and how.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    pub follow: bool,
    /// As the API calls it; none: text, JSON if that is asked for, or what the file's name says.
    pub format: Option<String>,
    pub save: Option<PathBuf>,
    /// `sent` or `received`; none: both.
    pub direction: Option<String>,
    /// Only the newest so many of what there is.
    pub last: Option<usize>,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line, or the client's own configuration.
    #[error("{0}")]
    Usage(String),
    #[error("no daemon answers at {url}: {why}. Is it running? --url or HEADEND_URL names another")]
    Unreachable { url: String, why: String },
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    NotFound(String),
    /// The daemon or the driver said no.
    #[error("{0}")]
    Failed(String),
}

type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The exit code of the process.
    pub fn code(&self) -> u8 {
        match self {
            Error::Failed(_) => 1,
            Error::Usage(_) => 2,
            Error::Unreachable { .. } => 4,
            Error::Refused(_) => 5,
            Error::NotFound(_) => 6,
        }
    }
}

/// Carries out a command; `json` prints JSON instead of tables.
pub async fn run(access: Access, command: Command, json: bool) -> Result<()> {
    crate::tls::install_provider();
    let http = http::Client::new(access)?;
    match command {
        Command::Status { target } => status::run(&http, &target, json).await,
        Command::Exec { words } => exec::run(&http, &words, json).await,
        Command::Watch { words } => watch::run(&http, &words, json).await,
        Command::Logs { target, follow } => logs::run(&http, &target, follow, json).await,
        Command::Wire { target, wire } => wire::run(&http, &target, &wire, json).await,
        Command::Record { target, save } => record::run(&http, &target, &save).await,
    }
}
