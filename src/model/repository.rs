//! A git repository of drivers.

use serde::{Deserialize, Serialize};

use super::{Failure, Kind, Resource};

/// A git repository of drivers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Repository {
    /// `repo-…`.
    pub id: String,
    pub name: String,
    /// Unique; lower case.
    pub folder_name: String,
    pub uri: String,
    pub description: String,
    pub branch: String,
    /// A pinned commit, or `HEAD`.
    pub commit_hash: String,
    /// The commit in use. Set by the daemon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployed_commit_hash: Option<String>,
    pub release: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Encrypted at rest; never returned in the clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// SSH private key, OpenSSH PEM; encrypted at rest. Headend's own field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// `driver` or `interface`.
    pub repo_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_path: Option<String>,
    pub has_runtime_error: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds.
    pub updated_at: i64,
}

impl Resource for Repository {
    const KIND: Kind = Kind::Repository;
    const PREFIX: &'static str = "repo";
    const WRITABLE: &'static [&'static str] = &[
        "name",
        "folder_name",
        "uri",
        "description",
        "branch",
        "commit_hash",
        "release",
        "username",
        "password",
        "key",
        "repo_type",
        "root_path",
    ];
    const REQUIRED: &'static [&'static str] = &["name", "folder_name", "uri"];

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
