//! What a module's settings say of its connection, under the one key [`KEY`]: what the module's own fields cannot say.

use super::{http, ssh, tls::Tls, udp, websocket};
use crate::model::serial::LineSettings;
use serde::Deserialize;
use serde_json::Value;
use std::{net::IpAddr, sync::Arc};

/// The key in the merged settings. Its value stays in the daemon: the driver never sees it.
pub const KEY: &str = "connection";

/// One section for each kind of connection; those of other kinds than the module's are ignored.
#[derive(Deserialize, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Make-break: how long the connection is held without traffic, milliseconds. None: the driver's, or 5 s.
    pub hold_ms: Option<u64>,
    /// The address of this machine to connect from. None: the system chooses.
    pub source: Option<IpAddr>,
    pub tls: Arc<Tls>,
    pub http: Arc<http::Settings>,
    pub udp: udp::Settings,
    pub websocket: Arc<websocket::Settings>,
    pub ssh: Arc<ssh::Settings>,
    /// Of a serial port, what the module's `uri` does not say.
    pub serial: LineSettings,
    /// The connection is shared with all other modules that have the same address and say so too, in turns.
    pub bus: bool,
}

impl Settings {
    /// Of the value under [`KEY`], if there is one. The error names the key and what was expected.
    pub fn read(value: Option<Value>) -> Result<Self, String> {
        let Some(value) = value else { return Ok(Self::default()) };
        let settings: Self = serde_path_to_error::deserialize(value).map_err(|error| {
            let path = error.path().to_string();
            let key = if path == "." { KEY.to_owned() } else { format!("{KEY}.{path}") };
            format!("the setting {key} cannot be used: {}", error.inner())
        })?;
        settings.websocket.check().map_err(|why| format!("the setting {why}"))?;
        settings.http.check().map_err(|why| format!("the setting {why}"))?;
        Ok(settings)
    }
}
