//! A tagged group of systems, with settings and a parent.

use serde::{Deserialize, Serialize};

use super::rules::{Failures, dedupe, trim, trim_option};
use super::{Failure, INVALID, Kind, Resource};

/// A tagged group of systems, with settings and a parent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Zone {
    /// `zone-…`.
    pub id: String,
    /// Unique after trimming.
    pub name: String,
    pub description: String,
    /// A set.
    pub tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    pub count: i64,
    /// People.
    pub capacity: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map_id: Option<String>,
    /// IANA name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Ids of trigger templates.
    pub triggers: Vec<String>,
    pub images: Vec<String>,
    pub playlists: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place_id: Option<String>,
    /// The zone around it. Its settings are not inherited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<String>,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds.
    pub updated_at: i64,
}

impl Resource for Zone {
    const KIND: Kind = Kind::Zone;
    const PREFIX: &'static str = "zone";
    const WRITABLE: &'static [&'static str] = &[
        "name",
        "description",
        "tags",
        "location",
        "display_name",
        "code",
        "type",
        "count",
        "capacity",
        "map_id",
        "timezone",
        "triggers",
        "images",
        "playlists",
        "place_id",
        "parent_id",
    ];
    const REQUIRED: &'static [&'static str] = &["name"];

    fn id(&self) -> &str {
        &self.id
    }

    fn stamp(&mut self, id: String, created_at: i64, updated_at: i64) {
        self.id = id;
        self.created_at = created_at;
        self.updated_at = updated_at;
    }

    fn normalize(&mut self) {
        trim(&mut self.name);
        trim_option(&mut self.timezone);
        trim_option(&mut self.parent_id);
        dedupe(&mut self.tags);
        dedupe(&mut self.triggers);
    }

    fn validate(&self) -> Vec<Failure> {
        let mut failures = Failures::default();
        failures.required("name", &self.name);
        failures.timezone(self.timezone.as_deref());
        failures.into_vec()
    }
}

impl Zone {
    /// The failure if another zone (id, name) has its name.
    pub fn unique_name<'a>(&self, others: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<Failure> {
        super::rules::unique("name", &self.id, &self.name, others)
    }

    /// The failure if its parent does not exist, or is the zone itself or inside it. `parent` gives the parent of
    /// an existing zone, `None` for an id that is no zone.
    pub fn valid_parent(&self, parent: impl Fn(&str) -> Option<Option<String>>) -> Option<Failure> {
        let mut above = self.parent_id.clone();
        let mut seen = std::collections::HashSet::new();
        while let Some(id) = above {
            if id == self.id || !seen.insert(id.clone()) {
                return Some(Failure::new("parent_id", INVALID));
            }
            match parent(&id) {
                Some(next) => above = next,
                // Only its own parent can be mended here.
                None if seen.len() == 1 => return Some(Failure::new("parent_id", INVALID)),
                None => break,
            }
        }
        None
    }
}
