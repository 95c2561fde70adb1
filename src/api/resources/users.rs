//! The user that an API key acts for. There are no other users yet.

use axum::{http::StatusCode, response::Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::{
    auth::{Access, Caller},
    endpoint::{Endpoint, get},
    error::Result,
    http::json,
};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/api/engine/v2/users/current", current)
            .takes(Access::User, &["users"])
            .says("The user that the caller's API key acts for.")
            .gives::<User>(StatusCode::OK, "The user"),
    ]
}

/// A user.
#[derive(Debug, Serialize, ToSchema)]
struct User {
    id: String,
    name: String,
    email: String,
    authority_id: &'static str,
    groups: Vec<String>,
    sys_admin: bool,
    support: bool,
    deleted: bool,
    /// Unix seconds.
    created_at: i64,
    ui_theme: &'static str,
    subsystem_access: Vec<String>,
}

/// Keys have no address; clients expect one.
pub(super) fn email(caller: &Caller) -> String {
    format!("{}@headend.invalid", caller.user_id)
}

async fn current(caller: Caller) -> Result<Response> {
    let user = User {
        email: email(&caller),
        sys_admin: caller.is_admin(),
        support: caller.is_support(),
        created_at: caller.issued_at,
        authority_id: super::authority::ID,
        groups: Vec::new(),
        deleted: false,
        ui_theme: "light",
        subsystem_access: Vec::new(),
        id: caller.user_id,
        name: caller.name,
    };
    Ok(json(StatusCode::OK, &user))
}
