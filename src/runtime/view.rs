//! What the runtime shows of modules, processes and drivers. Times are Unix milliseconds.

use std::sync::Arc;

use serde::Serialize;

/// What a module is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It should not run, and does not.
    Stopped,
    /// It should run, and its driver is not built yet or could not be.
    Waiting,
    /// Its process is starting, or it was told to start and has not answered.
    Starting,
    /// It runs.
    Running,
    /// It was told to stop and has not answered.
    Stopping,
    /// It should run and failed; it will be started again.
    Failed,
}

impl State {
    /// The word that programs see.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Stopped => "stopped",
            State::Waiting => "waiting",
            State::Starting => "starting",
            State::Running => "running",
            State::Stopping => "stopping",
            State::Failed => "failed",
        }
    }
}

/// A module, as it is at this moment.
#[derive(Clone, Debug, Serialize)]
pub struct ModuleView {
    /// `mod-…`.
    pub id: Arc<str>,
    /// What it is doing.
    pub state: State,
    /// Since when.
    pub since: i64,
    /// The device can be reached. A logic module is connected while it runs.
    pub connected: bool,
    /// For one that speaks TLS: whether it is verified whom it speaks to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_verified: Option<bool>,
    /// Why it is not connected, as a word: `refused`, `timeout`, `dns`, …, `device` if its driver says so, or `stopped`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The same as a sentence; for a module that waits or failed, why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The last thing that went wrong, kept after it is mended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<Arc<Fault>>,
    /// When it is started again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt: Option<i64>,
    /// Process id of its driver process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<u32>,
    /// It was busy when its process died, and runs apart from its siblings since.
    pub quarantined: bool,
    /// Its connection leads to an emulator.
    pub emulated: bool,
    /// The driver commit it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<Arc<str>>,
}

/// Something that went wrong with a module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// When.
    pub at: i64,
    /// A word: `panic`, `process`, `start`, `settings`, `hung`, `build`, …
    pub code: String,
    /// A sentence.
    pub message: String,
    /// File, line and column of a panic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Backtrace of a panic.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backtrace: Vec<String>,
    /// The last lines its process wrote to standard error.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub output: Vec<String>,
}

/// A driver process.
#[derive(Clone, Debug, Serialize)]
pub struct ProcessView {
    /// Process id; absent while none runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The driver whose modules it runs.
    pub driver: Arc<str>,
    /// The commit it was built from.
    pub commit: Arc<str>,
    /// `starting`, `ready`, `draining` or `down`.
    pub state: &'static str,
    /// Since when.
    pub since: i64,
    /// The modules placed in it.
    pub modules: Vec<Arc<str>>,
    /// It holds modules that were busy when their process died.
    pub quarantine: bool,
    /// How often it failed and was started again since it last held.
    pub failures: u32,
    /// When it is started again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt: Option<i64>,
}

/// A driver's build, as it is at this moment.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DriverView {
    /// There is an artifact that its modules run, or would run.
    pub compiled: bool,
    /// The commit of that artifact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<Arc<str>>,
    /// A build is under way or queued.
    pub building: bool,
    /// What the compiler, or git, said when the last attempt failed; `None` after a success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// Now, in Unix milliseconds.
pub(crate) fn now() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A moment of the runtime's clock, in Unix milliseconds.
pub(crate) fn at(moment: tokio::time::Instant) -> i64 {
    let ahead = moment.saturating_duration_since(tokio::time::Instant::now());
    now().saturating_add(i64::try_from(ahead.as_millis()).unwrap_or(i64::MAX))
}
