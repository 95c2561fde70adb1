//! The control WebSocket: status variables followed, functions called and logs watched over one connection.
//!
//! - [`frame`]: what clients send and get. - [`outbox`]: changed values, a slot for each binding.
//! - [`bindings`], [`debugs`]: what a session follows. - [`requests`]: what it does with a request.
//! - [`session`]: the one task that reads, calls and writes.

mod bindings;
mod debugs;
mod frame;
mod outbox;
mod requests;
mod session;
#[cfg(test)]
mod tests;

use axum::{
    extract::{
        State as Extract,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::StatusCode,
    response::Response,
};
use utoipa::openapi::schema::Type;

use super::{
    State,
    auth::{Access, Caller},
    endpoint::{Endpoint, get},
    error::{Error, Result},
};

/// What is read from a socket at once, and what is gathered before it is written: bytes.
const BUFFER: usize = 32 * 1024;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/api/engine/v2/systems/control", upgrade)
            .takes(Access::User, &["control", "systems"])
            .says("The control WebSocket; docs/control-api.md describes its messages.")
            .query("fixed_device", Type::Boolean, "Sent by clients with an API key; of no effect.")
            .ends(StatusCode::SWITCHING_PROTOCOLS, "The WebSocket is open"),
    ]
}

async fn upgrade(
    Extract(state): Extract<State>,
    caller: Caller,
    upgrade: std::result::Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response> {
    // Whoever holds only the reading half of the scope cannot call functions.
    if !caller.in_scope(&["control", "systems"], true) {
        return Err(Error::Forbidden);
    }
    let refused = |error| Error::BadRequest(format!("this path is a WebSocket: {error}"));
    let most = state.options().socket_message_bytes;
    let upgrade = upgrade
        .map_err(refused)?
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_message_size(most)
        .max_frame_size(most)
        .on_failed_upgrade(|error| tracing::debug!(%error, "a control WebSocket was not upgraded"));
    Ok(upgrade.on_upgrade(move |socket| session::run(state, caller, socket)))
}
