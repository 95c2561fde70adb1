//! WebSocket (RFC 6455) as a client: a link of messages, each text or binary.
//!
//! - Every message is delivered whole and alone; one that is too large ends the connection (`protocol`).
//! - Pings are answered here, and sent after silence: a peer that then says nothing at all is `silent`.
//! - A handshake that is refused says with what status: 401 and 403 are `auth`, others `protocol`.
//!
//! `service` is what to connect to, `refused` what a failed handshake is called, `socket` the connection that is up.

mod head;
mod refused;
mod service;
mod settings;
mod socket;

pub use service::Service;
pub use settings::{Auth, Settings};

use super::{Form, Payload};
pub(super) use head::Headed;
pub(super) use refused::refused;
pub(super) use socket::Socket;

/// Why this can never be sent, for people.
pub(super) fn refuses(payload: &Payload) -> Option<&'static str> {
    let text = payload.form == Form::Text && std::str::from_utf8(&payload.bytes).is_err();
    text.then_some("a text message has to be UTF-8")
}
