//! An instance of a driver, with its own address and settings.

use serde::{Deserialize, Serialize};

use super::{Failure, Kind, Resource};

/// An instance of a driver, with its own address and settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Module {
    /// `mod-…`.
    pub id: String,
    pub driver_id: String,
    /// The system of a logic module.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_system_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edge_id: Option<String>,
    /// Host name or address of the device.
    pub ip: String,
    pub port: i64,
    pub tls: bool,
    pub udp: bool,
    /// Connect to send, then disconnect.
    pub makebreak: bool,
    /// Base URI of a service.
    pub uri: String,
    /// Copied from the driver's `module_name`.
    pub name: String,
    /// Overrides `name` in its systems.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_name: Option<String>,
    /// Copied from the driver.
    pub role: super::Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert_level: Option<String>,
    /// As stored; the live truth is the runtime's.
    pub connected: bool,
    /// Should it run?
    pub running: bool,
    pub notes: String,
    pub ignore_connected: bool,
    pub ignore_startstop: bool,
    pub has_runtime_error: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_timestamp: Option<i64>,
    pub launch_on_execute: bool,
    /// Connect to the emulator in the driver's package instead of the address. Headend's own field.
    pub emulated: bool,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds.
    pub updated_at: i64,
}

impl Resource for Module {
    const KIND: Kind = Kind::Module;
    const PREFIX: &'static str = "mod";
    const WRITABLE: &'static [&'static str] = &[
        "driver_id",
        "control_system_id",
        "edge_id",
        "ip",
        "port",
        "tls",
        "udp",
        "makebreak",
        "uri",
        "custom_name",
        "alert_level",
        "running",
        "notes",
        "ignore_connected",
        "ignore_startstop",
        "launch_on_execute",
        "emulated",
    ];
    const REQUIRED: &'static [&'static str] = &["driver_id"];

    fn id(&self) -> &str {
        &self.id
    }

    fn stamp(&mut self, id: String, created_at: i64, updated_at: i64) {
        self.id = id;
        self.created_at = created_at;
        self.updated_at = updated_at;
    }

    fn validate(&self) -> Vec<Failure> {
        Vec::new()
    }
}
