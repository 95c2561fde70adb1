//! The `websocket` section of a module's `connection` settings: `docs/connections.md` explains each key.

use crate::secrets::Secret;
use serde::Deserialize;
use std::collections::BTreeMap;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};

/// A message must fit into a frame to the driver, with room for what is around it.
const LARGEST_MESSAGE: usize = drivers_sdk_protocol::MAX_PAYLOAD - 1024;

#[derive(Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Asked for, the best first: the service has to choose one of them.
    pub subprotocols: Vec<String>,
    /// Sent with the handshake. May hold API keys.
    pub headers: BTreeMap<String, Secret>,
    pub auth: Option<Auth>,
    /// A ping is sent when nothing came for this long. 0: none.
    pub ping_ms: u64,
    /// A peer from which nothing comes for this long after a ping is `silent`.
    pub pong_ms: u64,
    /// A message that is larger ends the connection.
    pub max_message_bytes: usize,
}

#[derive(Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Auth {
    Basic { username: String, password: Secret },
    Bearer { token: Secret },
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            subprotocols: Vec::new(),
            headers: BTreeMap::new(),
            auth: None,
            ping_ms: 30_000,
            pong_ms: 10_000,
            max_message_bytes: 4 * 1024 * 1024,
        }
    }
}

impl Settings {
    /// What is wrong with these settings, for the person who wrote them.
    pub fn check(&self) -> Result<(), String> {
        for (name, value) in &self.headers {
            // The value is not shown: it may be a key.
            let Ok(header) = name.parse::<HeaderName>() else {
                return Err(format!("connection.websocket.headers: {name:?} is no name of a header"));
            };
            if value.expose().parse::<HeaderValue>().is_err() {
                return Err(format!("connection.websocket.headers.{name} is not text in one line"));
            }
            let own = ["connection", "upgrade"].contains(&header.as_str());
            if own || header.as_str().starts_with("sec-websocket-") {
                return Err(format!("connection.websocket.headers.{name} is set by the handshake itself"));
            }
        }
        // A token, RFC 9110, 5.6.2: what a header's name is too.
        if let Some(name) = self.subprotocols.iter().find(|name| name.parse::<HeaderName>().is_err()) {
            return Err(format!("connection.websocket.subprotocols: {name:?} is no name of a subprotocol"));
        }
        if let Some(Auth::Bearer { token }) = &self.auth
            && token.expose().parse::<HeaderValue>().is_err()
        {
            return Err("connection.websocket.auth.token is not text in one line".into());
        }
        if self.ping_ms > 0 && self.pong_ms == 0 {
            return Err("connection.websocket.pong_ms must leave time to answer a ping".into());
        }
        if !(1..=LARGEST_MESSAGE).contains(&self.max_message_bytes) {
            return Err(format!("connection.websocket.max_message_bytes: from 1 to {LARGEST_MESSAGE}"));
        }
        Ok(())
    }
}
