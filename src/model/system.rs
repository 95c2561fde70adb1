//! An ordered collection of modules, often a room.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rules::{Failures, dedupe, trim, trim_option};
use super::{Failure, Kind, Resource};

/// What `orientation` may be.
pub const ORIENTATIONS: [&str; 4] = ["unspecified", "landscape", "portrait", "square"];

/// An ordered collection of modules, often a room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct System {
    /// `sys-…`.
    pub id: String,
    /// Unique after trimming.
    pub name: String,
    pub description: String,
    /// A set.
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
    pub r#type: Option<String>,
    /// People.
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
    /// One of [`ORIENTATIONS`].
    pub orientation: String,
    pub playlists: Vec<String>,
    pub signage: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub playlist_item_id: Option<String>,
    /// A JSON object that front ends use.
    pub space_config: Value,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds.
    pub updated_at: i64,
}

impl Default for System {
    fn default() -> Self {
        System {
            id: String::new(),
            name: String::new(),
            description: String::new(),
            features: Vec::new(),
            email: None,
            bookable: false,
            public: false,
            display_name: None,
            code: None,
            r#type: None,
            capacity: 0,
            map_id: None,
            approval: false,
            images: Vec::new(),
            security_groups: Vec::new(),
            timezone: None,
            support_url: String::new(),
            timetable_url: None,
            camera_snapshot_urls: Vec::new(),
            camera_url: None,
            room_booking_url: None,
            version: 0,
            installed_ui_devices: 0,
            zones: Vec::new(),
            modules: Vec::new(),
            orientation: "unspecified".into(),
            playlists: Vec::new(),
            signage: false,
            playlist_item_id: None,
            space_config: Value::Object(serde_json::Map::new()),
            created_at: 0,
            updated_at: 0,
        }
    }
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
        "playlists",
        "signage",
        "playlist_item_id",
        "space_config",
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
        trim(&mut self.support_url);
        trim_option(&mut self.email);
        self.email = self.email.take().map(|email| email.to_lowercase());
        trim_option(&mut self.timezone);
        for list in [&mut self.features, &mut self.zones, &mut self.modules, &mut self.security_groups] {
            dedupe(list);
        }
        if self.space_config.is_null() {
            self.space_config = Value::Object(serde_json::Map::new());
        }
    }

    fn validate(&self) -> Vec<Failure> {
        let mut failures = Failures::default();
        failures.required("name", &self.name);
        failures.timezone(self.timezone.as_deref());
        failures.uri("support_url", &self.support_url);
        for url in &self.camera_snapshot_urls {
            failures.check(super::rules::is_uri(url), "camera_snapshot_urls", super::rules::INVALID_URI);
        }
        failures.one_of("orientation", &self.orientation, &ORIENTATIONS);
        failures.check(self.space_config.is_object(), "space_config", "is not a JSON object");
        failures.into_vec()
    }
}

impl System {
    /// The failure if another system (id, name) has its name.
    pub fn unique_name<'a>(&self, others: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<Failure> {
        super::rules::unique("name", &self.id, &self.name, others)
    }

    /// Drops the ids of modules that do not exist, as saving does.
    pub fn drop_unknown_modules(&mut self, exists: impl Fn(&str) -> bool) {
        self.modules.retain(|id| exists(id));
    }
}
