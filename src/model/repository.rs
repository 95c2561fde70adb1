//! A git repository of drivers.

use serde::{Deserialize, Deserializer, Serialize};

use super::rules::{Failures, trim, trim_option};
use super::{Failure, INVALID, Kind, Resource};

/// What `repo_type` may be; the API also takes their places in this list.
pub const REPO_TYPES: [&str; 2] = ["driver", "interface"];

/// The commit that means the newest of the branch.
pub const HEAD: &str = "HEAD";

/// A git repository of drivers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Repository {
    /// `repo-…`.
    pub id: String,
    pub name: String,
    /// Lower case; unique among the repositories of its type.
    pub folder_name: String,
    /// What git clones: a URL, `user@host:path`, or the path of a repository on this machine.
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
    /// Sealed at rest; never returned in the clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// SSH private key, OpenSSH PEM; sealed at rest. Headend's own field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// One of [`REPO_TYPES`].
    #[serde(deserialize_with = "repo_type")]
    pub repo_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_path: Option<String>,
    /// Set by the daemon.
    pub has_runtime_error: bool,
    /// Set by the daemon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds.
    pub updated_at: i64,
}

impl Default for Repository {
    fn default() -> Self {
        Repository {
            id: String::new(),
            name: String::new(),
            folder_name: String::new(),
            uri: String::new(),
            description: String::new(),
            branch: "master".into(),
            commit_hash: HEAD.into(),
            deployed_commit_hash: None,
            release: false,
            username: None,
            password: None,
            key: None,
            repo_type: "driver".into(),
            root_path: None,
            has_runtime_error: false,
            error_message: None,
            created_at: 0,
            updated_at: 0,
        }
    }
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

    fn normalize(&mut self) {
        for text in [&mut self.name, &mut self.uri, &mut self.branch, &mut self.commit_hash] {
            trim(text);
        }
        self.folder_name = self.folder_name.trim().to_lowercase();
        for text in [&mut self.username, &mut self.password, &mut self.root_path] {
            trim_option(text);
        }
        if self.key.as_ref().is_some_and(|key| key.trim().is_empty()) {
            self.key = None;
        }
    }

    fn validate(&self) -> Vec<Failure> {
        let mut failures = Failures::default();
        failures.required("name", &self.name);
        failures.required("folder_name", &self.folder_name);
        failures.check(is_folder_name(&self.folder_name), "folder_name", INVALID);
        failures.required("uri", &self.uri);
        failures.check(self.uri.is_empty() || is_repository_uri(&self.uri), "uri", super::rules::INVALID_URI);
        failures.required("branch", &self.branch);
        failures.required("commit_hash", &self.commit_hash);
        failures.one_of("repo_type", &self.repo_type, &REPO_TYPES);
        failures.into_vec()
    }
}

impl Repository {
    /// The failure if another repository of its type has its folder.
    pub fn unique_folder<'a>(&self, others: impl IntoIterator<Item = &'a Repository>) -> Option<Failure> {
        let others = others
            .into_iter()
            .filter(|other| other.repo_type == self.repo_type)
            .map(|other| (other.id.as_str(), other.folder_name.as_str()));
        super::rules::unique("folder_name", &self.id, &self.folder_name, others)
    }

    /// Is it pinned to a commit, rather than following its branch?
    pub fn is_pinned(&self) -> bool {
        self.commit_hash != HEAD
    }
}

fn is_folder_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+-().".contains(c);
    name.chars().all(allowed) && name != "." && name != ".."
}

/// Is it something that git clones from: a URL, a path from the root, or `user@host:path`?
fn is_repository_uri(uri: &str) -> bool {
    if let Some(path) = uri.strip_prefix("file://") {
        return path.starts_with('/');
    }
    if uri.starts_with('/') || super::rules::is_uri(uri) {
        return true;
    }
    let Some((login, path)) = uri.split_once(':') else { return false };
    let host = login.rsplit_once('@').map_or(login, |(_, host)| host);
    super::rules::is_host(host) && !path.is_empty() && !path.starts_with("//")
}

/// Takes the name of a type, or its number.
fn repo_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected driver (0) or interface (1)")]
    enum Either {
        Number(usize),
        Name(String),
    }
    match Either::deserialize(deserializer)? {
        Either::Name(name) => Ok(name),
        Either::Number(number) => REPO_TYPES
            .get(number)
            .map(|name| (*name).to_owned())
            .ok_or_else(|| serde::de::Error::custom("expected driver (0) or interface (1)")),
    }
}
