//! What users configure: the resources, their rules, and the settings merge. No I/O.
//!
//! Field names, defaults and validation follow the control API, so a resource's JSON in the store and on the
//! wire is the same document. Ids and time stamps are given by whoever creates a resource.

pub mod driver;
pub mod id;
pub mod merge;
pub mod module;
mod number;
pub mod patch;
pub mod repository;
pub mod rules;
pub mod serial;
pub mod settings;
pub mod system;
pub mod zone;

pub use driver::{Driver, Role};
pub use module::Module;
pub use patch::patch;
pub use repository::Repository;
pub use settings::Settings;
pub use system::System;
pub use zone::Zone;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The kinds of document that the store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    System,
    Module,
    Driver,
    Zone,
    Repository,
    Settings,
    Metadata,
    ApiKey,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 8] = [
        Kind::System,
        Kind::Module,
        Kind::Driver,
        Kind::Zone,
        Kind::Repository,
        Kind::Settings,
        Kind::Metadata,
        Kind::ApiKey,
    ];

    /// Its name in the store: `api_key`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::System => "system",
            Kind::Module => "module",
            Kind::Driver => "driver",
            Kind::Zone => "zone",
            Kind::Repository => "repository",
            Kind::Settings => "settings",
            Kind::Metadata => "metadata",
            Kind::ApiKey => "api_key",
        }
    }

    /// The kind of a name in the store.
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// As in a sentence: `API key`.
impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if *self == Kind::ApiKey { "API key" } else { self.name() })
    }
}

/// The reason of a field that is null or absent though it must not be.
pub const NIL: &str = "should not be nil";
/// The reason of a field that is blank though it must not be.
pub const REQUIRED: &str = "is required";
/// The reason of a value that another resource has already.
pub const UNIQUE: &str = "should be unique";
/// The reason of a value that breaks its format.
pub const INVALID: &str = "is invalid";
/// The reason of a value that is none of those allowed.
pub const NOT_IN_LIST: &str = "is not included in the list";

/// A resource of the control API.
pub trait Resource: Serialize + DeserializeOwned + Default + Clone + Send + Sync + 'static {
    /// Its kind in the store.
    const KIND: Kind;
    /// What its ids start with, without the dash: `sys`.
    const PREFIX: &'static str;
    /// The fields that a client may assign; others in a body are ignored.
    const WRITABLE: &'static [&'static str];
    /// The fields without a default: the body that creates one must have them.
    const REQUIRED: &'static [&'static str];

    /// Its id.
    fn id(&self) -> &str;
    /// Gives it its identity and time stamps (Unix seconds).
    fn stamp(&mut self, id: String, created_at: i64, updated_at: i64);
    /// Trims, lower-cases and derives what the rules say, before validation.
    fn normalize(&mut self) {}
    /// What is wrong with it by itself; rules that need other documents are the API's.
    fn validate(&self) -> Vec<Failure>;
}

/// A field that breaks a rule; `reason` reads after the field's name: "name" "is required".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub field: String,
    pub reason: String,
}

impl Failure {
    /// A failure of `field`.
    pub fn new(field: &str, reason: impl Into<String>) -> Self {
        Failure { field: field.into(), reason: reason.into() }
    }
}

#[cfg(test)]
mod tests;
