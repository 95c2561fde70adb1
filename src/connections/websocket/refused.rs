//! What a handshake that failed is called.

use super::Service;
use crate::connections::{Failure, Reason, tls};
use std::io;
use tokio_tungstenite::tungstenite::{
    Error, error::ProtocolError, handshake::client::Response, http::header::LOCATION,
};

/// What is shown of a body.
const SNIPPET: usize = 200;

pub(in crate::connections) fn refused(service: &Service, error: &Error) -> Failure {
    if let Some(failure) = tls::explain(&service.to_string(), error) {
        return failure;
    }
    match error {
        Error::Http(response) => answered(service, response),
        Error::Io(error) => ended(service, error),
        Error::Protocol(ProtocolError::HandshakeIncomplete) => {
            ended(service, &io::ErrorKind::UnexpectedEof.into())
        }
        other => {
            let what = format!(
                "{service} does not speak WebSocket as it should: {other}. Check the uri and subprotocols."
            );
            Failure::new(Reason::Protocol, what)
        }
    }
}

/// With another status than 101.
fn answered(service: &Service, response: &Response) -> Failure {
    let status = response.status();
    let (reason, what) = match status.as_u16() {
        401 | 403 => (Reason::Auth, "refused the credentials: check connection.websocket.auth and headers"),
        404 => (Reason::Protocol, "has no WebSocket there: check the path of the uri"),
        300..=399 => (Reason::Protocol, "is elsewhere: change the uri"),
        _ => (Reason::Protocol, "did not open a WebSocket"),
    };
    let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
    let body = response.body().as_deref().map(String::from_utf8_lossy);
    let said = service.redacted(&location.map(Into::into).or(body).unwrap_or_default());
    let said = said.chars().take(SNIPPET).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let said = if said.trim().is_empty() { String::new() } else { format!(". It said: {}", said.trim()) };
    Failure::new(reason, format!("{service} {what} (status {status}){said}"))
}

/// The connection ended before the handshake did.
fn ended(service: &Service, error: &io::Error) -> Failure {
    use io::ErrorKind as Kind;
    let (reason, happened) = match error.kind() {
        Kind::UnexpectedEof | Kind::BrokenPipe | Kind::ConnectionAborted => (Reason::Closed, "closed"),
        Kind::TimedOut => (Reason::Silent, "stopped answering on"),
        _ => (Reason::Reset, "cut off"),
    };
    let what = format!(
        "{service} {happened} the connection in the WebSocket handshake ({error}): it may be restarting, or not speak WebSocket \
         on this port."
    );
    Failure::new(reason, what)
}
