//! What a failed attempt, and the end of a connection, are called.

use super::super::{Address, Failure, Reason, options::Options, tls};
use std::io;

pub(in crate::connections) fn late(address: &str, options: &Options) -> Failure {
    let reason = Reason::Timeout;
    Failure::new(
        reason,
        format!("{address} did not answer within {} ms. {}", options.connect_timeout_ms, reason.sentence()),
    )
}

/// What a failed attempt is called.
pub(in crate::connections) fn refusal(address: &str, error: &io::Error) -> Failure {
    use io::ErrorKind as Kind;
    let (reason, happened) = match error.kind() {
        Kind::ConnectionRefused => (Reason::Refused, "refused the connection"),
        Kind::NotFound => (Reason::Refused, "does not exist: whatever listens there is not running"),
        Kind::PermissionDenied => (Reason::Refused, "may not be connected to by this process"),
        Kind::TimedOut => (Reason::Timeout, "did not answer"),
        Kind::WouldBlock => (Reason::Timeout, "has more connections waiting than it accepts"),
        Kind::ConnectionReset | Kind::ConnectionAborted => {
            (Reason::Reset, "reset the connection as it was made")
        }
        _ => (Reason::Unreachable, "cannot be reached"),
    };
    Failure::new(reason, format!("{address} {happened} ({error}). {}", reason.sentence()))
}

/// What the end of a connection is called.
/// A transport that knows better says so itself.
pub(in crate::connections) fn loss(address: &Address, error: &io::Error) -> Failure {
    use io::ErrorKind as Kind;
    if let Some(failure) = error.get_ref().and_then(|inner| inner.downcast_ref::<Failure>()) {
        return failure.clone();
    }
    if let Some(failure) = tls::explain(&address.to_string(), error) {
        return failure;
    }
    let (reason, happened) = match error.kind() {
        Kind::ConnectionReset => (Reason::Reset, "reset the connection"),
        Kind::BrokenPipe | Kind::ConnectionAborted | Kind::NotConnected | Kind::UnexpectedEof => {
            return closed(address);
        }
        Kind::TimedOut => (Reason::Silent, "stopped answering"),
        _ => (Reason::Unreachable, "can no longer be reached"),
    };
    Failure::new(reason, format!("{address} {happened} ({error}). {}", reason.sentence()))
}

pub(in crate::connections) fn closed(address: &Address) -> Failure {
    let reason = Reason::Closed;
    Failure::new(reason, format!("{address} closed the connection. {}", reason.sentence()))
}
