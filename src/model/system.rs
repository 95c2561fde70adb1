//! An ordered collection of modules, often a room.

use serde::{Deserialize, Serialize};

use super::{Failure, Kind, Resource};

/// An ordered collection of modules, often a room.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct System {
    /// `sys-…`.
    pub id: String,
    /// Unique.
    pub name: String,
    pub description: String,
    pub features: Vec<String>,
    /// Lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    pub bookable: bool,
    pub public: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "type")]
    pub r#type: Option<String>,
    pub capacity: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map_id: Option<String>,
    pub approval: bool,
    pub images: Vec<String>,
    pub security_groups: Vec<String>,
    /// IANA name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    pub support_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timetable_url: Option<String>,
    pub camera_snapshot_urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub camera_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_booking_url: Option<String>,
    /// Grows by one with every change; a client that edits an old version is refused.
    pub version: i64,
    pub installed_ui_devices: i64,
    /// Zone ids, broadest first: a later zone's settings override an earlier one's.
    pub zones: Vec<String>,
    /// Module ids; the order of same-named modules gives their index.
    pub modules: Vec<String>,
    pub orientation: String,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds.
    pub updated_at: i64,
}

impl Resource for System {
    const KIND: Kind = Kind::System;
    const PREFIX: &'static str = "sys";
    const WRITABLE: &'static [&'static str] = &[
        "name",
        "description",
        "features",
        "email",
        "bookable",
        "public",
        "display_name",
        "code",
        "type",
        "capacity",
        "map_id",
        "approval",
        "images",
        "security_groups",
        "timezone",
        "support_url",
        "timetable_url",
        "camera_snapshot_urls",
        "camera_url",
        "room_booking_url",
        "installed_ui_devices",
        "zones",
        "modules",
        "orientation",
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
