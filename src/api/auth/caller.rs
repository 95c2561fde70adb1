//! An authenticated caller and what it may do.

use axum::{extract::FromRequestParts, http::request::Parts};
use drivers_sdk_protocol::manifest::Security;
use serde::{Deserialize, Serialize};

use crate::{
    api::error::{Error, Result},
    model::settings::Level,
};

/// What a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Access {
    /// Anybody.
    Public,
    /// Any valid key.
    User,
    /// Support or admin.
    Support,
    /// Admin.
    Admin,
}

/// The rights of a key: user, support, admin, or both; every admin may do what support may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Permissions {
    #[default]
    User,
    Support,
    Admin,
    AdminSupport,
}

/// Who calls: an API key, acting for its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) key_id: String,
    pub(crate) user_id: String,
    /// The key's name.
    pub(crate) name: String,
    pub(crate) permissions: Permissions,
    pub(crate) scopes: Vec<String>,
    /// Unix seconds.
    pub(crate) issued_at: i64,
    /// Unix seconds.
    pub(crate) expires_at: Option<i64>,
}

impl Permissions {
    /// The number in tokens and requests.
    pub(crate) fn number(self) -> i64 {
        self as i64
    }

    /// From a number or a word of a request.
    pub(crate) fn parse(value: &serde_json::Value) -> Option<Permissions> {
        let all = [Permissions::User, Permissions::Support, Permissions::Admin, Permissions::AdminSupport];
        match value {
            serde_json::Value::Null => Some(Permissions::User),
            serde_json::Value::Number(number) => {
                all.into_iter().find(|item| Some(item.number()) == number.as_i64())
            }
            serde_json::Value::String(_) => serde_json::from_value(value.clone()).ok(),
            _ => None,
        }
    }
}

impl Caller {
    pub(crate) fn is_admin(&self) -> bool {
        matches!(self.permissions, Permissions::Admin | Permissions::AdminSupport)
    }

    pub(crate) fn is_support(&self) -> bool {
        self.permissions != Permissions::User
    }

    /// The clearance its calls of driver functions have.
    pub(crate) fn clearance(&self) -> Security {
        match self.permissions {
            Permissions::User => Security::Public,
            Permissions::Support => Security::Support,
            Permissions::Admin | Permissions::AdminSupport => Security::Administrator,
        }
    }

    /// May it see settings of this level in the clear?
    pub(crate) fn sees(&self, level: Level) -> bool {
        match level {
            Level::None => true,
            Level::Support => self.is_support(),
            Level::Admin => self.is_admin(),
            Level::NeverDisplay => false,
        }
    }

    /// Refuses with 403 what its permissions do not reach.
    pub(crate) fn reaches(&self, access: Access) -> Result<()> {
        let reaches = match access {
            Access::Public | Access::User => true,
            Access::Support => self.is_support(),
            Access::Admin => self.is_admin(),
        };
        if reaches { Ok(()) } else { Err(Error::Forbidden) }
    }

    /// Does it hold one of these scopes for reading, or writing? `public` holds all.
    pub(crate) fn in_scope(&self, scopes: &[&str], write: bool) -> bool {
        let half = if write { "write" } else { "read" };
        self.scopes.iter().any(|held| {
            held == "public"
                || scopes.iter().any(|scope| {
                    held == scope
                        || held
                            .strip_prefix(scope)
                            .and_then(|rest| rest.strip_prefix('.'))
                            .is_some_and(|rest| rest == half)
                })
        })
    }

    pub(crate) fn expired(&self, now: i64) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        parts.extensions.get::<Caller>().cloned().ok_or(Error::Unauthorized("no credential"))
    }
}
