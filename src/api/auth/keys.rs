//! API keys: how they are made, kept and checked.
//!
//! The store keeps only a hash ([`crate::secrets::key`]), so a key can be shown once, when it is made.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Caller, Permissions};
use crate::{
    model::{Failure, Kind, Resource},
    secrets::key::Key,
    store::{self, Expect, Store, typed},
};

/// A key as the store keeps it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ApiKey {
    /// 32 hex characters.
    pub(crate) id: String,
    /// Unique; lower case.
    pub(crate) name: String,
    pub(crate) description: String,
    /// Whom it acts for.
    pub(crate) user_id: String,
    /// `public`, or `<resource>`, `<resource>.read`, `<resource>.write`.
    pub(crate) scopes: Vec<String>,
    pub(crate) permissions: Permissions,
    /// HMAC-SHA512 of the id under the secret, hex.
    pub(crate) hash: String,
    /// Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<i64>,
    /// Unix seconds.
    pub(crate) created_at: i64,
    /// Unix seconds.
    pub(crate) updated_at: i64,
}

/// Why there is no admin key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The preset is not a key.
    #[error(
        "the preset admin key is none: expected 32 hex digits, a dot, and 43 letters, digits, `-` or `_`"
    )]
    Preset,
    /// The store refused.
    #[error("could not keep the admin key: {0}")]
    Store(#[from] store::Error),
}

/// Reads a preset admin key.
pub fn preset(text: &str) -> Result<Key, Error> {
    Key::parse(text).ok_or(Error::Preset)
}

/// Makes the first admin key, if the store has no key at all, from `preset` or at random. Returns it if it was
/// made at random, so that it can be shown once.
pub async fn bootstrap(store: &dyn Store, preset: Option<Key>) -> Result<Option<Key>, Error> {
    if !store.list(Kind::ApiKey).await?.is_empty() {
        return Ok(None);
    }
    let shown = preset.is_none();
    let full = preset.unwrap_or_else(Key::mint);
    keep(store, &full, "admin", "made at first start").await?;
    Ok(shown.then_some(full))
}

/// Makes another admin key at random, for whoever has lost theirs.
pub async fn another(store: &dyn Store) -> Result<Key, Error> {
    let full = Key::mint();
    let tail: String = full.id.chars().take(8).collect();
    keep(store, &full, &format!("admin {tail}"), "made on the command line").await?;
    Ok(full)
}

async fn keep(store: &dyn Store, full: &Key, name: &str, description: &str) -> Result<(), Error> {
    let now = crate::api::now();
    let key = ApiKey {
        id: full.id.clone(),
        name: name.into(),
        description: description.into(),
        user_id: crate::model::id::new("user"),
        scopes: vec!["public".into()],
        permissions: Permissions::AdminSupport,
        hash: full.hash(),
        expires_at: None,
        created_at: now,
        updated_at: now,
    };
    typed::save(store, &key, Expect::Absent).await?;
    Ok(())
}

impl ApiKey {
    /// The caller that presents it.
    pub(crate) fn caller(&self) -> Arc<Caller> {
        Arc::new(Caller {
            key_id: self.id.clone(),
            user_id: self.user_id.clone(),
            name: self.name.clone(),
            permissions: self.permissions,
            scopes: self.scopes.clone(),
            issued_at: self.created_at,
            expires_at: self.expires_at,
        })
    }
}

impl Resource for ApiKey {
    const KIND: Kind = Kind::ApiKey;
    const PREFIX: &'static str = "";
    const REQUIRED: &'static [&'static str] = &["name"];
    const WRITABLE: &'static [&'static str] = &["name", "description", "scopes", "expires_at"];

    fn id(&self) -> &str {
        &self.id
    }

    fn stamp(&mut self, id: String, created_at: i64, updated_at: i64) {
        self.id = id;
        self.created_at = created_at;
        self.updated_at = updated_at;
    }

    fn normalize(&mut self) {
        self.name = self.name.trim().to_lowercase();
        if self.scopes.is_empty() {
            self.scopes = vec!["public".into()];
        }
    }

    fn validate(&self) -> Vec<Failure> {
        let mut failures = Vec::new();
        if self.name.is_empty() {
            failures.push(Failure::new("name", "is required"));
        }
        if self.expires_at.is_some_and(|at| at <= self.updated_at) {
            failures.push(Failure::new("expires_at", "must be in the future"));
        }
        failures
    }
}
