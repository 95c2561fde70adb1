//! Why an exchange has no response, and what the errors of the HTTP stack are called.

use crate::connections::{Failure, Reason, tls};
use reqwest::Url;
use std::{error::Error as StdError, io, iter::successors, time::Duration};

/// A response of whatever status is none of these.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// It cannot be sent like this. Nothing was sent.
    #[error("{0}")]
    Request(String),

    /// Too many exchanges wait already. Nothing was sent.
    #[error(
        "not sent: {waiting} requests ({bytes} bytes) to {origin} already wait for their turn: send less often, wait for \
         responses, or raise connection.http.concurrency"
    )]
    Full { origin: String, waiting: usize, bytes: usize },

    /// No connection, or it ended: the service may have received the request.
    #[error("{0}")]
    Failed(Failure),

    /// No whole response in time. `waiting`: nothing was sent, it was still waiting for its turn.
    #[error("{what}: {} within {} ms", if *waiting { "no turn among the others" } else { "no whole response" }, after.as_millis())]
    Late { what: String, after: Duration, waiting: bool },

    #[error("{what}: the response is longer than {limit} bytes (connection.http.max_response_bytes)")]
    TooLong { what: String, limit: usize },

    /// The module was stopped, or its address changed.
    #[error("{what}: cancelled, the module was stopped or its address changed")]
    Stopped { what: String },
}

/// Method and URL as they may be shown: the query, which may hold keys, is left out.
pub(super) fn shown(method: &str, url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Fails for URLs that cannot have any.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    format!("{method} {url}")
}

/// What an error of the HTTP stack is called; `what` names the request.
pub(super) fn failure(what: &str, error: &reqwest::Error) -> Failure {
    if let Some(failure) = tls::explain(what, error) {
        return failure;
    }
    let connecting = error.is_connect();
    let mut last: &(dyn StdError + 'static) = error;
    for cause in causes(error) {
        if let Some(found) = known(what, cause, connecting) {
            return found;
        }
        last = cause;
    }
    let last = last.to_string();
    match () {
        () if error.is_timeout() => told(what, Reason::Timeout, "did not answer", &last),
        () if connecting => told(what, Reason::Unreachable, "cannot be reached", &last),
        () => garbled(what, &last),
    }
}

fn known(what: &str, cause: &(dyn StdError + 'static), connecting: bool) -> Option<Failure> {
    if let Some(failure) = cause.downcast_ref::<Failure>() {
        return Some(Failure::new(failure.reason, format!("{what}: {failure}")));
    }
    if let Some(error) = cause.downcast_ref::<hyper::Error>() {
        if error.is_parse() {
            return Some(garbled(what, &error.to_string()));
        }
        if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
            return Some(told(what, Reason::Closed, CLOSED, &error.to_string()));
        }
    }
    match cause.to_string() {
        text if text.contains("proxy authorization required") => {
            Some(told(what, Reason::Auth, "the proxy refused the credentials", &text))
        }
        text if text.starts_with("tunnel error: unsuccessful") => {
            Some(told(what, Reason::Unreachable, "the proxy does not connect to it", &text))
        }
        _ => cause.downcast_ref::<io::Error>().and_then(|error| system(what, error, connecting)),
    }
}

/// None for what the system did not say.
fn system(what: &str, error: &io::Error, connecting: bool) -> Option<Failure> {
    use io::ErrorKind as Kind;
    let (reason, happened) = match error.kind() {
        Kind::ConnectionRefused | Kind::NotFound => (Reason::Refused, "the connection was refused"),
        Kind::TimedOut if connecting => (Reason::Timeout, "no answer"),
        Kind::TimedOut => (Reason::Silent, "the connection went silent"),
        Kind::ConnectionReset | Kind::ConnectionAborted => (Reason::Reset, "the connection was reset"),
        Kind::BrokenPipe | Kind::UnexpectedEof | Kind::NotConnected => (Reason::Closed, CLOSED),
        _ if error.raw_os_error().is_some() => (Reason::Unreachable, "cannot be reached"),
        _ => return None,
    };
    Some(told(what, reason, happened, &error.to_string()))
}

const CLOSED: &str = "the connection was closed before the response was complete";

/// The chain of causes. An `io::Error` leaves itself out of the chain, and hides the error that it holds: that is put back.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    successors(Some(error), |&cause| match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner as &(dyn StdError + 'static)),
        None => cause.source(),
    })
}

fn told(what: &str, reason: Reason, happened: &str, cause: &str) -> Failure {
    Failure::new(reason, format!("{what}: {happened} ({cause}). {}", reason.sentence()))
}

fn garbled(what: &str, cause: &str) -> Failure {
    let advice = "Check that the address and port are those of an HTTP service, and http or https.";
    Failure::new(
        Reason::Protocol,
        format!("{what}: the answer is not HTTP as it should be ({cause}). {advice}"),
    )
}

/// The service does not take the credentials.
pub(super) fn refused(what: &str, status: u16, auth: &str) -> Failure {
    let reason = Reason::Auth;
    Failure::new(reason, format!("{what}: answered {status} ({auth}). {}", reason.sentence()))
}

/// The answer to a probe is not what its settings expect.
pub(super) fn unexpected(what: &str, status: u16, expected: &[u16]) -> Failure {
    let sentence = format!("{what}: answered {status}, where connection.http.probe.expect has {expected:?}");
    Failure::new(Reason::Protocol, sentence)
}

/// A client cannot be made of these settings.
pub(super) fn unusable(what: &str, error: &reqwest::Error) -> Failure {
    let why = causes(error).last().map_or_else(|| error.to_string(), ToString::to_string);
    Failure::new(
        Reason::Protocol,
        format!("{what}: no client can be made of the settings in connection.http: {why}"),
    )
}
