//! What can go wrong on an author's machine.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Why a command of the author's was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder is not one that this can be done in; the text says why, and what to do.
    #[error("{}: {why}", .path.display())]
    Place { path: PathBuf, why: String },
    /// What was said on the command line does not fit the driver.
    #[error("{0}")]
    Usage(String),
    /// Cargo refused; it has said why on the terminal.
    #[error("{what} failed; cargo says why above")]
    Cargo { what: String },
    /// There is no cargo.
    #[error("cargo could not be run: {0}. Drivers are built with Rust: https://rustup.rs")]
    NoCargo(io::Error),
    /// The port is not to be had.
    #[error("{address}: {why}. Say another: --listen 127.0.0.1:0 takes a free port")]
    Listen { address: SocketAddr, why: io::Error },
    /// What the model of a device is told is not in order.
    #[error("--settings is no JSON object: {why}")]
    Settings { why: serde_json::Error },
    /// The model of a device ended.
    #[error("the model of {name} is not there any more: {why}")]
    Emulator { name: String, why: String },
    /// Reading or writing failed.
    #[error("{} could not be {what}: {why}", .path.display())]
    Disk { path: PathBuf, what: &'static str, why: String },
}

/// What this folder gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The exit code of the program.
    pub fn code(&self) -> u8 {
        1
    }

    pub(super) fn place(path: &Path, why: impl Into<String>) -> Error {
        Error::Place { path: path.to_owned(), why: why.into() }
    }

    pub(super) fn disk(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> Error {
        move |error| Error::Disk { path: path.to_owned(), what, why: error.to_string() }
    }
}
