//! Why a transmit was not carried out.

use super::{Failure, Reason};

#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Refused at once: nothing was sent.
    #[error("not sent, the link is down: {0}")]
    Down(Failure),

    /// Refused at once: the first attempt on this address has no outcome yet. Nothing was sent.
    #[error("not sent, still connecting to {address}: send again when the link is up")]
    Connecting { address: String },

    /// The connection ended while the bytes were waiting to be sent: some of them may have reached the device.
    #[error("the connection ended before everything was sent: {0}")]
    Lost(Failure),

    /// Refused at once: the device takes bytes more slowly than they are sent. Nothing was sent.
    #[error(
        "not sent, {address} takes bytes too slowly: {queued} bytes already wait of the {limit} that may \
         (connections.queue_bytes): send less often, or wait for receipts"
    )]
    Full { address: String, queued: usize, limit: usize },

    /// Refused at once: it was not to be connected for. Nothing was sent.
    #[error("not sent, the connection to {address} is over")]
    Ended { address: String },

    /// Refused at once: it is an HTTP service.
    #[error("not sent, {address} takes HTTP requests, not bytes")]
    NoStream { address: String },

    /// Refused at once: this kind of connection cannot do that, or not now.
    #[error("{address}: {what}")]
    Unable { address: String, what: &'static str },

    /// One turn at a time.
    #[error("this link waits already for its turn on the shared connection")]
    Waiting,

    /// The turn that was waited for is no longer wanted.
    #[error("no longer waits for its turn on the shared connection")]
    Withdrawn,

    /// The link was closed on this side.
    #[error("not sent, the link to {address} has been closed")]
    Closed { address: String },
}

impl Error {
    /// The reason of the outage, when that is what kept the bytes from being sent.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Down(failure) | Self::Lost(failure) => Some(failure.reason),
            Self::Closed { .. } => Some(Reason::Stopped),
            Self::Connecting { .. }
            | Self::Ended { .. }
            | Self::Full { .. }
            | Self::NoStream { .. }
            | Self::Unable { .. }
            | Self::Waiting
            | Self::Withdrawn => None,
        }
    }
}
