//! What a link connects to, and how long it keeps the connection.
//!
//! Further kinds (TLS over TCP, UDP, serial, RFC 2217, HTTP, WebSocket, SSH) are further variants of [`Address`]:
//! everything outside `dial.rs` and `wire.rs` is the same for all of them.

use std::{fmt, path::PathBuf, time::Duration};

/// Compared by value, so that a reconciler can see whether it changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub address: Address,
    pub mode: Mode,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// `host` is a name, resolved again at every attempt, or a literal IPv4 or IPv6 address (without brackets).
    Tcp { host: String, port: u16 },
    /// A stream socket in the file system: how emulators are reached.
    Unix(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Connected whenever the peer lets us.
    KeepOpen,
    /// Connected when there is something to send; closed again after `hold` without traffic in either direction.
    MakeBreak { hold: Duration },
}

// === impl Target ===

impl Target {
    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        Self { address: Address::Tcp { host: host.into(), port }, mode: Mode::KeepOpen }
    }

    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self { address: Address::Unix(path.into()), mode: Mode::KeepOpen }
    }

    pub fn make_break(mut self, hold: Duration) -> Self {
        self.mode = Mode::MakeBreak { hold };
        self
    }
}

// === impl Address ===

/// As people write it: `host:port`, `[::1]:port`, `unix:/path`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
