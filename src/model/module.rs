//! An instance of a driver, with its own address and settings.

use serde::{Deserialize, Serialize};

use super::rules::{ALERT_LEVELS, Failures, INVALID_URI, is_host, is_port, is_uri, trim, trim_option};
use super::serial::SerialUri;
use super::{Driver, Failure, INVALID, Kind, Resource, Role};

/// An instance of a driver, with its own address and settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
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
    /// Base URI of a service. Of a device: `serial:///dev/…?baud=9600` or `rfc2217://host:port?baud=9600` in place of `ip`
    /// and `port`, for a serial port.
    pub uri: String,
    /// Copied from the driver's `module_name`.
    pub name: String,
    /// Overrides `name` in its systems.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_name: Option<String>,
    /// Copied from the driver, see [`Module::adopt`].
    pub role: Role,
    /// One of [`ALERT_LEVELS`]; none: the driver's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert_level: Option<String>,
    /// As stored; the live truth is the runtime's.
    pub connected: bool,
    /// Should it run?
    pub running: bool,
    pub notes: String,
    /// Its connection says nothing about its health.
    pub ignore_connected: bool,
    /// Starting or stopping its system leaves it alone.
    pub ignore_startstop: bool,
    /// Set by the daemon.
    pub has_runtime_error: bool,
    /// Unix seconds. Set by the daemon.
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

impl Default for Module {
    fn default() -> Self {
        Module {
            id: String::new(),
            driver_id: String::new(),
            control_system_id: None,
            edge_id: None,
            ip: String::new(),
            port: 0,
            tls: false,
            udp: false,
            makebreak: false,
            uri: String::new(),
            name: String::new(),
            custom_name: None,
            role: Role::default(),
            alert_level: None,
            connected: true,
            running: false,
            notes: String::new(),
            ignore_connected: false,
            ignore_startstop: false,
            has_runtime_error: false,
            error_timestamp: None,
            launch_on_execute: false,
            emulated: false,
            created_at: 0,
            updated_at: 0,
        }
    }
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

    /// Derives what its role says; [`Module::adopt`] the driver before.
    fn normalize(&mut self) {
        trim(&mut self.driver_id);
        trim(&mut self.ip);
        // An IPv6 address as URLs have it.
        if let Some(address) = self.ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'))
            && address.contains(':')
        {
            self.ip = address.to_owned();
        }
        trim(&mut self.uri);
        for text in
            [&mut self.control_system_id, &mut self.edge_id, &mut self.custom_name, &mut self.alert_level]
        {
            trim_option(text);
        }
        match self.role {
            Role::Ssh | Role::Device if self.udp => self.tls = false,
            Role::Ssh | Role::Device => {}
            Role::Service | Role::Websocket => {
                self.udp = false;
                let scheme = self.uri.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
                self.tls = matches!(scheme.as_deref(), Some("https" | "wss"));
            }
            Role::Logic => {
                self.tls = false;
                self.udp = false;
                self.connected = true;
            }
        }
    }

    /// By its role; [`Module::adopt`] the driver before.
    fn validate(&self) -> Vec<Failure> {
        let mut failures = Failures::default();
        failures.required("driver_id", &self.driver_id);
        if let Some(level) = &self.alert_level {
            failures.one_of("alert_level", level, &ALERT_LEVELS);
        }
        match self.role {
            Role::Device if SerialUri::parse(&self.uri).is_some() => self.validate_serial(&mut failures),
            Role::Ssh | Role::Device => self.validate_address(&mut failures),
            Role::Service | Role::Websocket => self.validate_uri(&mut failures),
            Role::Logic => {}
        }
        if self.role == Role::Logic {
            let (system, edge) = (self.control_system_id.is_some(), self.edge_id.is_none());
            failures.check(system, "control_system", "must be associated for logic modules");
            failures.check(edge, "edge", "logic module cannot be allocated to an edge");
        } else {
            let system = self.control_system_id.is_none();
            failures.check(system, "control_system", "should not be associated for Device modules");
        }
        failures.into_vec()
    }
}

impl Module {
    /// Takes over what is the driver's: the name and the role.
    pub fn adopt(&mut self, driver: &Driver) {
        self.driver_id.clone_from(&driver.id);
        self.name.clone_from(&driver.module_name);
        self.role = driver.role;
    }

    /// The name it is found by in its systems.
    pub fn resolved_name(&self) -> &str {
        match self.custom_name.as_deref().map(str::trim) {
            None | Some("") => &self.name,
            Some(name) => name,
        }
    }

    /// What is wrong with the documents it refers to: those of `driver_id` and `control_system_id` must exist.
    pub fn validate_references(&self, driver_exists: bool, system_exists: bool) -> Vec<Failure> {
        let mut failures = Failures::default();
        failures.check(driver_exists || self.driver_id.is_empty(), "driver_id", INVALID);
        failures.check(system_exists || self.control_system_id.is_none(), "control_system", INVALID);
        failures.into_vec()
    }

    /// A module that is emulated needs no address; one that is given must make sense all the same.
    fn validate_address(&self, failures: &mut Failures) {
        if self.ip.is_empty() {
            failures.check(self.emulated, "ip", "cannot be blank");
        } else if !is_host(&self.ip) {
            failures.add("ip", "address, hostname or port are invalid");
        }
        failures.check(is_port(self.port) || (self.emulated && self.port == 0), "port", INVALID);
    }

    /// A device at a serial port needs no address.
    fn validate_serial(&self, failures: &mut Failures) {
        if let Some(Err(why)) = SerialUri::parse(&self.uri) {
            failures.add("uri", why);
        }
        failures.check(!self.tls, "tls", "does not go with a serial port");
        failures.check(!self.udp, "udp", "does not go with a serial port");
        failures.check(
            self.ip.is_empty() || is_host(&self.ip),
            "ip",
            "address, hostname or port are invalid",
        );
        failures.check(self.port == 0 || is_port(self.port), "port", INVALID);
    }

    fn validate_uri(&self, failures: &mut Failures) {
        if self.uri.is_empty() {
            failures.check(self.emulated, "uri", "not present");
        } else {
            failures.check(is_uri(&self.uri), "uri", INVALID_URI);
        }
    }
}
