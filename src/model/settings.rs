//! Inherited configuration of one parent at one encryption level.

mod text;

use serde::{Deserialize, Serialize};

use super::rules::{Failures, trim};
use super::{Failure, INVALID, Kind, Resource};

pub use text::{Error, parse};

/// Who may see a settings document in the clear; a number on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Everyone who may read it.
    #[default]
    None,
    /// Support staff and administrators.
    Support,
    /// Administrators.
    Admin,
    /// Nobody; drivers still receive it.
    NeverDisplay,
}

/// What settings can belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParentType {
    Driver,
    Zone,
    ControlSystem,
    Module,
}

/// Inherited configuration of one parent at one encryption level. One for each parent and level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Settings {
    /// `sets-…`.
    pub id: String,
    /// A system, driver, module or zone.
    pub parent_id: String,
    /// [`ParentType`], by the prefix of `parent_id`.
    pub parent_type: String,
    pub encryption_level: Level,
    /// YAML (or JSON) text of a mapping; sealed at rest from level support on.
    pub settings_string: String,
    /// Top-level keys in order; always in the clear.
    pub keys: Vec<String>,
    /// On a version of its history only: the id of the live document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings_id: Option<String>,
    /// Who saved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified_by_id: Option<String>,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds.
    pub updated_at: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            id: String::new(),
            parent_id: String::new(),
            parent_type: String::new(),
            encryption_level: Level::default(),
            settings_string: "{}".into(),
            keys: Vec::new(),
            settings_id: None,
            modified_by_id: None,
            created_at: 0,
            updated_at: 0,
        }
    }
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

    /// Derives the parent's type and, of a text in the clear, the keys.
    fn normalize(&mut self) {
        trim(&mut self.parent_id);
        self.parent_type = self.parent().map_or_else(String::new, |parent| parent.name().into());
        if let Some(Ok(values)) = self.parsed() {
            self.keys = values.into_iter().map(|(key, _)| key).collect();
        }
    }

    fn validate(&self) -> Vec<Failure> {
        let mut failures = Failures::default();
        failures.required("parent_id", &self.parent_id);
        failures.check(self.parent_id.is_empty() || self.parent().is_some(), "parent_id", INVALID);
        if let Some(Err(error)) = self.parsed() {
            failures.add("settings_string", format!("is not a valid JSON or YAML object: {error}"));
        }
        failures.into_vec()
    }
}

impl Settings {
    /// What it belongs to; `None` if its parent's id is none that can have settings.
    pub fn parent(&self) -> Option<ParentType> {
        ParentType::of(&self.parent_id)
    }

    /// The failure if another document has its parent and level.
    pub fn unique_level<'a>(&self, others: impl IntoIterator<Item = &'a Settings>) -> Option<Failure> {
        let taken = others.into_iter().any(|other| {
            other.id != self.id
                && other.parent_id == self.parent_id
                && other.encryption_level == self.encryption_level
        });
        taken.then(|| Failure::new("encryption_level", super::UNIQUE))
    }

    /// The values; `None` while they are sealed.
    fn parsed(&self) -> Option<Result<serde_json::Map<String, serde_json::Value>, Error>> {
        // What is sealed starts with ESC, which no YAML text does.
        (!self.settings_string.starts_with('\u{1b}')).then(|| parse(&self.settings_string))
    }
}

impl ParentType {
    /// The type of a parent, by its id.
    pub fn of(id: &str) -> Option<ParentType> {
        let (prefix, rest) = id.split_once('-')?;
        let parent = match prefix {
            "driver" => ParentType::Driver,
            "zone" => ParentType::Zone,
            "sys" => ParentType::ControlSystem,
            "mod" => ParentType::Module,
            _ => return None,
        };
        (!rest.is_empty()).then_some(parent)
    }

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            ParentType::Driver => "driver",
            ParentType::Zone => "zone",
            ParentType::ControlSystem => "control_system",
            ParentType::Module => "module",
        }
    }
}

impl Level {
    /// May a caller of this clearance see the text in the clear?
    pub fn visible_for(self, support: bool, admin: bool) -> bool {
        match self {
            Level::None => true,
            Level::Support => support || admin,
            Level::Admin => admin,
            Level::NeverDisplay => false,
        }
    }
}

super::number::numbered!(
    Level,
    "encryption level",
    [
        (Level::None, 0, "none"),
        (Level::Support, 1, "support"),
        (Level::Admin, 2, "admin"),
        (Level::NeverDisplay, 3, "never_display"),
    ]
);
