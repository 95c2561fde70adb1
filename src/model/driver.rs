//! Code in a repository, at one commit, that speaks a protocol or coordinates modules.

use serde::{Deserialize, Serialize};

use super::{Failure, Kind, Resource};

/// How a driver reaches what it drives; a number on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Role {
    Ssh,
    #[default]
    Device,
    Service,
    Websocket,
    Logic,
}

/// Code in a repository, at one commit, that speaks a protocol or coordinates modules.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Driver {
    /// `driver-…`.
    pub id: String,
    pub name: String,
    /// The name its modules are found by: `Display`.
    pub module_name: String,
    /// Path in the repository of the package's Cargo.toml.
    pub file_name: String,
    /// Commit hash, or `HEAD` for the newest of the repository's branch.
    pub commit: String,
    pub description: String,
    pub repository_id: String,
    /// Immutable.
    pub role: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_port: Option<i64>,
    /// JSON Schema of the settings, as JSON text.
    pub json_schema: String,
    pub alert_level: String,
    /// What the compiler said when the last build failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compilation_output: Option<String>,
    pub ignore_connected: bool,
    pub update_available: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_info: Option<serde_json::Value>,
    /// `module` gives each module a process of its own. Headend's own field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation: Option<String>,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds.
    pub updated_at: i64,
}

impl Resource for Driver {
    const KIND: Kind = Kind::Driver;
    const PREFIX: &'static str = "driver";
    const WRITABLE: &'static [&'static str] = &[
        "name",
        "module_name",
        "file_name",
        "commit",
        "description",
        "repository_id",
        "role",
        "default_uri",
        "default_port",
        "json_schema",
        "alert_level",
        "ignore_connected",
        "isolation",
    ];
    const REQUIRED: &'static [&'static str] =
        &["name", "module_name", "file_name", "commit", "repository_id", "role"];

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

impl Role {
    /// The number on the wire.
    pub fn number(self) -> i64 {
        match self {
            Role::Ssh => 0,
            Role::Device => 1,
            Role::Service => 2,
            Role::Websocket => 3,
            Role::Logic => 99,
        }
    }

    /// The role of a number on the wire.
    pub fn from_number(number: i64) -> Option<Role> {
        [Role::Ssh, Role::Device, Role::Service, Role::Websocket, Role::Logic]
            .into_iter()
            .find(|role| role.number() == number)
    }
}

impl Serialize for Role {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.number())
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        Role::from_number(number).ok_or_else(|| {
            serde::de::Error::custom(format!("{number} is not a driver role (0, 1, 2, 3 or 99)"))
        })
    }
}
