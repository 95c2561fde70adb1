//! A tagged group of systems, with settings and a parent.

use serde::{Deserialize, Serialize};

use super::{Failure, Kind, Resource};

/// A tagged group of systems, with settings and a parent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Zone {
    /// `zone-…`.
    pub id: String,
    /// Unique.
    pub name: String,
    pub description: String,
    pub tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "type")]
    pub r#type: Option<String>,
    pub count: i64,
    pub capacity: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    pub triggers: Vec<String>,
    pub images: Vec<String>,
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

    fn validate(&self) -> Vec<Failure> {
        Vec::new()
    }
}
