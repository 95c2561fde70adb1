//! Code in a repository, at one commit, that speaks a protocol or coordinates modules.

use serde::{Deserialize, Serialize};

use super::number::numbered;
use super::rules::{ALERT_LEVELS, Failures, is_port, trim, trim_option};
use super::{Failure, INVALID, Kind, Repository, Resource};

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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
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
    /// One of [`ALERT_LEVELS`].
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

impl Default for Driver {
    fn default() -> Self {
        Driver {
            id: String::new(),
            name: String::new(),
            module_name: String::new(),
            file_name: String::new(),
            commit: String::new(),
            description: String::new(),
            repository_id: String::new(),
            role: Role::default(),
            default_uri: None,
            default_port: None,
            json_schema: "{}".into(),
            alert_level: "medium".into(),
            compilation_output: None,
            ignore_connected: false,
            update_available: false,
            update_info: None,
            isolation: None,
            created_at: 0,
            updated_at: 0,
        }
    }
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

    fn normalize(&mut self) {
        for text in [
            &mut self.name,
            &mut self.module_name,
            &mut self.file_name,
            &mut self.commit,
            &mut self.repository_id,
        ] {
            trim(text);
        }
        trim_option(&mut self.default_uri);
        trim_option(&mut self.isolation);
        if self.json_schema.trim().is_empty() {
            self.json_schema = "{}".into();
        }
    }

    fn validate(&self) -> Vec<Failure> {
        let mut failures = Failures::default();
        failures.required("name", &self.name);
        failures.required("module_name", &self.module_name);
        failures.required("file_name", &self.file_name);
        failures.check(is_inside(&self.file_name), "file_name", INVALID);
        failures.required("commit", &self.commit);
        failures.required("repository_id", &self.repository_id);
        failures.check(self.default_port.is_none_or(is_port), "default_port", INVALID);
        let schema = serde_json::from_str::<serde_json::Value>(&self.json_schema);
        failures.check(schema.is_ok_and(|schema| schema.is_object()), "json_schema", "is not a JSON object");
        failures.one_of("alert_level", &self.alert_level, &ALERT_LEVELS);
        if let Some(isolation) = &self.isolation {
            failures.one_of("isolation", isolation, &ISOLATIONS);
        }
        failures.into_vec()
    }
}

/// What `isolation` may be: one process for all modules of the driver, or one for each.
pub const ISOLATIONS: [&str; 2] = ["driver", "module"];

/// What a commit starts with while a forced rebuild of it waits.
pub const RECOMPILE: &str = "RECOMPILE-";

impl Driver {
    /// What is wrong with it beside the documents around it: its repository (`None`: there is none of that id)
    /// and what it was before (`None`: it is new).
    pub fn validate_references(
        &self,
        repository: Option<&Repository>,
        before: Option<&Driver>,
    ) -> Vec<Failure> {
        let mut failures = Failures::default();
        let is_drivers = repository.is_some_and(|repository| repository.repo_type == "driver");
        failures.check(is_drivers, "repository", "should be a driver repository");
        let same = before.is_none_or(|before| before.role == self.role);
        failures.check(same, "role", "Driver role must not change");
        failures.into_vec()
    }
}

/// Is it a path that stays inside the repository?
fn is_inside(path: &str) -> bool {
    !path.starts_with('/') && path.split('/').all(|part| part != "..")
}

numbered!(
    Role,
    "driver role",
    [
        (Role::Ssh, 0, "ssh"),
        (Role::Device, 1, "device"),
        (Role::Service, 2, "service"),
        (Role::Websocket, 3, "websocket"),
        (Role::Logic, 99, "logic"),
    ]
);
