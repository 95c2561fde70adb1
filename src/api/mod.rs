//! The control API: REST and a WebSocket, by the contract that existing clients speak.
//!
//! - [`endpoint`]: a route, declared once; the router and the OpenAPI document come from the same list.
//! - [`auth`]: who calls, and what they may do. - [`http`]: conventions of every route.
//! - [`crud`], [`draft`]: resources, and writes that are one commit whatever follows from them.
//! - [`resources`]: what differs between resources. - [`control`]: the WebSocket.
//!
//! The API keeps no state of its own: desired state is the store's, what runs is the runtime's.

pub(crate) mod auth;
mod control;
mod crud;
mod draft;
mod endpoint;
mod error;
mod figures;
mod http;
mod metrics;
mod openapi;
mod options;
mod resources;
mod serve;
mod state;
#[cfg(test)]
mod tests;

pub use auth::keys;
pub use error::Error;
pub use openapi::document;
pub use options::Options;
pub use serve::{router, serve};
pub use state::State;

/// Now, in Unix seconds.
pub(crate) fn now() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
