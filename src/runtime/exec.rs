//! Calling a function of a module: what is asked, what comes back, and what can go wrong.

use std::time::Duration;

use bytes::Bytes;
use drivers_sdk_protocol::manifest::Security;
use drivers_sdk_protocol::message::Failure;
use serde_json::value::RawValue;

/// A module, by its id or by its place in a system.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// `mod-…`.
    Module(String),
    /// The `index`-th module (from 1) of those named `name` in a system.
    Named {
        /// `sys-…`.
        system: String,
        /// Resolved module name, e.g. `Display`.
        name: String,
        /// From 1.
        index: u32,
    },
}

/// A call.
#[derive(Clone, Debug)]
pub struct Exec {
    /// Of which module.
    pub target: Target,
    /// Which function.
    pub function: String,
    /// JSON array of positional arguments, or object of named ones.
    pub args: Box<RawValue>,
    /// Id of the user who calls.
    pub user: Option<String>,
    /// What the caller may call.
    pub clearance: Security,
    /// Give up after this; `None`: the configured time.
    pub deadline: Option<Duration>,
}

/// What a call returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// JSON text.
    pub value: Bytes,
    /// HTTP-like number: 200.
    pub status: u16,
}

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// No such system.
    #[error("there is no system {0}")]
    SystemNotFound(String),
    /// No such module.
    #[error("there is no module {0}")]
    ModuleNotFound(String),
    /// The driver has no such function.
    #[error("{module} has no function {function}")]
    UnknownFunction {
        /// The module's id.
        module: String,
        /// What was asked for.
        function: String,
    },
    /// The function is not for this caller.
    #[error("{function} needs {needed} clearance")]
    Denied {
        /// The function.
        function: String,
        /// `support` or `administrator`.
        needed: &'static str,
    },
    /// The arguments do not fit the function.
    #[error("{0}")]
    BadRequest(String),
    /// The module does not run.
    #[error("{module} is not running: {why}")]
    NotRunning {
        /// The module's id.
        module: String,
        /// Stopped, not built, failed with what, next attempt when.
        why: String,
    },
    /// Too much already waits for the driver's process.
    #[error("the driver process of {module} does not keep up: {waiting}; try again later")]
    Overloaded {
        /// The module's id.
        module: String,
        /// How many bytes or calls wait for it, and how many may.
        waiting: String,
    },
    /// No answer before the deadline. The driver was told to stop working on it.
    #[error("{function} of {module} did not answer within {} ms", .after.as_millis())]
    Timeout {
        /// The module's id.
        module: String,
        /// The function.
        function: String,
        /// The deadline that was in force.
        after: Duration,
    },
    /// The module stopped, or its process ended, during the call.
    #[error("{0}")]
    Stopped(String),
    /// The driver answered with a failure of its own.
    #[error("{}", .0.message)]
    Raised(Failure),
}

impl Error {
    /// HTTP-like number of the failure.
    pub fn status(&self) -> u16 {
        match self {
            Error::SystemNotFound(_) | Error::ModuleNotFound(_) => 404,
            Error::UnknownFunction { .. } | Error::BadRequest(_) => 400,
            Error::Denied { .. } => 403,
            Error::NotRunning { .. } | Error::Overloaded { .. } | Error::Stopped(_) => 503,
            Error::Timeout { .. } => 504,
            Error::Raised(failure) if failure.status != 0 => failure.status,
            Error::Raised(_) => 500,
        }
    }
}
