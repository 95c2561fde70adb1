//! What a link tells the world about itself: its state and, when it is down, why.

use std::{
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// The state diagram is in the header of the parent module.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Make-break: not connected, or just connecting to send something; reachable for all we know.
    Idle,
    /// Keep-open, and no outcome yet: a new link or a changed address.
    /// A link that is being *retried* stays [`State::Down`], so that its reason can be read meanwhile.
    Connecting { since: SystemTime },
    /// `connection` counts this link's connections from 1. `peer` is the address that answered (none for Unix sockets).
    Up { connection: u64, since: SystemTime, peer: Option<SocketAddr> },
    /// `detail` is a sentence for people that names the address. `failures` counts attempts that failed, or connections
    /// that did not hold, since the last one that did. `since`: when this outage began. `attempting`: a retry is under way.
    /// `retry`: not before then (when many links are down, later); none for a make-break link, which waits for traffic.
    Down {
        reason: Reason,
        detail: Arc<str>,
        failures: u32,
        since: SystemTime,
        attempting: bool,
        retry: Option<SystemTime>,
    },
}

/// Why a link is down. Programs may rely on [`Reason::as_str`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    Refused,
    Timeout,
    Dns,
    Unreachable,
    Tls,
    Auth,
    Reset,
    Closed,
    Silent,
    Serial,
    Protocol,
    Stopped,
}

/// Why an attempt failed or a connection ended: becomes [`State::Down`] and the errors of the transmits it concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub reason: Reason,
    /// Names the address, says what happened and what to look at.
    pub detail: Arc<str>,
}

// === impl State ===

impl State {
    /// What `connected` means in the API: up, or make-break and not known to be unreachable.
    pub fn reachable(&self) -> bool {
        matches!(self, Self::Up { .. } | Self::Idle)
    }

    pub fn is_up(&self) -> bool {
        matches!(self, Self::Up { .. })
    }

    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Down { reason, .. } => Some(*reason),
            _ => None,
        }
    }

    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Down { detail, .. } => Some(detail),
            _ => None,
        }
    }

    /// `idle`, `connecting`, `up`, `down`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Connecting { .. } => "connecting",
            Self::Up { .. } => "up",
            Self::Down { .. } => "down",
        }
    }

    pub(super) fn connecting() -> Self {
        Self::Connecting { since: SystemTime::now() }
    }

    pub(super) fn down(failure: &Failure, failures: u32, since: SystemTime, retry: Option<Duration>) -> Self {
        Self::Down {
            reason: failure.reason,
            detail: failure.detail.clone(),
            failures,
            since,
            attempting: false,
            retry: retry.map(|wait| SystemTime::now() + wait),
        }
    }

    /// Whether a sink that knows `self` has something to learn from `next`; counts and times alone are not news.
    pub(super) fn news(&self, next: &Self) -> bool {
        match (self, next) {
            (Self::Down { reason: a, detail: b, .. }, Self::Down { reason: x, detail: y, .. }) => {
                (a, b) != (x, y)
            }
            (Self::Up { connection: a, .. }, Self::Up { connection: b, .. }) => a != b,
            (Self::Idle, Self::Idle) => false,
            _ => true,
        }
    }
}

// === impl Reason ===

impl Reason {
    pub const ALL: [Self; 12] = [
        Self::Refused,
        Self::Timeout,
        Self::Dns,
        Self::Unreachable,
        Self::Tls,
        Self::Auth,
        Self::Reset,
        Self::Closed,
        Self::Silent,
        Self::Serial,
        Self::Protocol,
        Self::Stopped,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Dns => "dns",
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::Auth => "auth",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Silent => "silent",
            Self::Serial => "serial",
            Self::Protocol => "protocol",
            Self::Stopped => "stopped",
        }
    }

    /// What it means and what to look at, whatever the address.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Refused => {
                "The host answered, but nothing accepts connections there: check the port, and that network control is switched on in the device."
            }
            Self::Timeout => {
                "Nothing answered in time: check that the device has power and network, its address, and firewalls in between."
            }
            Self::Dns => {
                "The host name could not be resolved: check its spelling and this machine's DNS servers."
            }
            Self::Unreachable => {
                "The network has no way to that address: check the address, the device's power and cabling, and this machine's routes."
            }
            Self::Tls => "The TLS handshake failed: check the certificate, its expiry and the TLS settings.",
            Self::Auth => "The device refused the credentials: check user name, password or key.",
            Self::Reset => {
                "The device cut the connection off: it may have restarted, or allow only one connection at a time."
            }
            Self::Closed => {
                "The device closed the connection: it may be restarting, be out of connections, or close idle ones (then use make-break)."
            }
            Self::Silent => {
                "The device stopped answering without closing the connection: check its power and network."
            }
            Self::Serial => {
                "The serial port failed: check that it is plugged in and not used by another program."
            }
            Self::Protocol => "The driver gave the connection up because of what the device said.",
            Self::Stopped => "The link was closed on this side.",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Failure ===

impl Failure {
    pub(super) fn new(reason: Reason, detail: impl Into<Arc<str>>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}
