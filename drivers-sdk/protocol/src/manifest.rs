//! What a driver declares about itself. `DRIVER --manifest` prints it as JSON on standard output; the daemon
//! stores it with the built artifact, so that forms, documentation and checks never need a live process.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A driver's declaration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this document's shape: 1.
    pub manifest: u16,
    /// What people call it: `PJLink projector`.
    pub name: String,
    /// The name its modules are found by: `Display`.
    pub module: String,
    /// Markdown, from the driver's doc comment.
    #[serde(default)]
    pub description: String,
    /// How it reaches its device.
    pub kind: Kind,
    /// Default port of a device driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The device speaks UDP, not TCP.
    #[serde(default)]
    pub udp: bool,
    /// Connect to send, then disconnect.
    #[serde(default)]
    pub makebreak: bool,
    /// How long a make-break connection stays after the last bytes, milliseconds; absent for the daemon's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_ms: Option<u64>,
    /// Default base URI of a service driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// JSON Schema of the settings, with defaults and descriptions.
    #[serde(default)]
    pub settings: Value,
    /// Default settings: an object.
    #[serde(default)]
    pub defaults: Value,
    /// JSON Schema of the status.
    #[serde(default)]
    pub status: Value,
    /// The functions, in the order of the source.
    #[serde(default)]
    pub functions: Vec<Function>,
    /// Interfaces it implements, by name.
    #[serde(default)]
    pub interfaces: Vec<String>,
    /// Logic drivers: what a system must have for it to work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Need>,
    /// Logic drivers: what it makes use of where a system has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub optional: Vec<Need>,
    /// The program carries an emulator of the device: `DRIVER --emulator`.
    #[serde(default)]
    pub emulator: bool,
    /// The emulator takes `--messages`, with which its connections carry messages ([`emulated`](crate::emulated)).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub emulator_messages: bool,
    /// Name and version of the SDK it was built with.
    #[serde(default)]
    pub sdk: String,
}

/// A module that a logic driver works with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// One of this name: `{"module": "Display"}`.
    Module(String),
    /// One with this interface: `{"interface": "Switchable"}`.
    Interface(String),
}

/// How a driver reaches what it drives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// SSH.
    Ssh,
    /// TCP, UDP, serial, with or without TLS.
    #[default]
    Device,
    /// HTTP.
    Service,
    /// WebSocket client.
    Websocket,
    /// Coordinates other modules of its system.
    Logic,
}

/// A function that callers may use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Markdown, from its doc comment.
    #[serde(default)]
    pub description: String,
    /// Who may call it.
    #[serde(default)]
    pub security: Security,
    /// Services on the Internet may call it, by the daemon's route for webhooks: it takes their request, an object with
    /// `method`, `query`, `headers` and `body`, and gives `status`, `content_type` and `body`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub webhook: bool,
    /// Its parameters, in order.
    #[serde(default)]
    pub params: Vec<Param>,
    /// JSON Schema of what it returns.
    #[serde(default)]
    pub returns: Value,
}

/// A parameter of a function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// JSON Schema of the argument.
    pub schema: Value,
    /// May be left out.
    #[serde(default)]
    pub optional: bool,
}

/// Who may call a function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// Anyone who may use the system.
    #[default]
    Public,
    /// Support staff and administrators.
    Support,
    /// Administrators.
    Administrator,
}

fn is_false(flag: &bool) -> bool {
    !flag
}
