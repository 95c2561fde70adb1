//! Inherited configuration of one parent at one encryption level.

use serde::{Deserialize, Serialize};

use super::{Failure, Kind, Resource};

/// Who may see a settings document in the clear; a number on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    #[default]
    None,
    Support,
    Admin,
    NeverDisplay,
}

/// Inherited configuration of one parent at one encryption level.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// `sets-…`.
    pub id: String,
    /// A system, driver, module or zone.
    pub parent_id: String,
    /// `control_system`, `driver`, `module` or `zone`, by the prefix of `parent_id`.
    pub parent_type: String,
    pub encryption_level: Level,
    /// YAML (or JSON) text of a mapping; sealed at rest from level support on.
    pub settings_string: String,
    /// Top-level keys in order.
    pub keys: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified_by_id: Option<String>,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds.
    pub updated_at: i64,
}

impl Resource for Settings {
    const KIND: Kind = Kind::Settings;
    const PREFIX: &'static str = "sets";
    const WRITABLE: &'static [&'static str] = &["parent_id", "encryption_level", "settings_string"];
    const REQUIRED: &'static [&'static str] = &["parent_id"];

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

impl Level {
    /// The number on the wire.
    pub fn number(self) -> i64 {
        self as i64
    }

    /// The level of a number on the wire.
    pub fn from_number(number: i64) -> Option<Level> {
        [Level::None, Level::Support, Level::Admin, Level::NeverDisplay]
            .into_iter()
            .find(|level| level.number() == number)
    }
}

impl Serialize for Level {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.number())
    }
}

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        Level::from_number(number)
            .ok_or_else(|| serde::de::Error::custom(format!("{number} is not an encryption level (0 to 3)")))
    }
}
