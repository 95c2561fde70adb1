//! What clients ask before they have a credential. One authority serves every host name.

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::api::{
    auth::Access,
    endpoint::{Endpoint, get},
    error::Result,
    http::json as respond,
};

pub(super) const ID: &str = "authority-headend";
pub(super) const NAME: &str = "Headend";

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/auth/authority", authority)
            .takes(Access::Public, &[])
            .says("What a client needs to know before it signs in.")
            .gives::<Authority>(StatusCode::OK, "The authority of this host"),
    ]
}

/// Who answers for this host.
#[derive(Debug, Serialize, ToSchema)]
struct Authority {
    id: &'static str,
    name: &'static str,
    description: &'static str,
    domain: String,
    login_url: &'static str,
    logout_url: &'static str,
    /// Major version 2 or higher makes clients use `/api/engine/v2`.
    version: &'static str,
    #[schema(value_type = Object)]
    config: Value,
    email_domains: Vec<String>,
    /// There is no session: callers have API keys.
    session: bool,
    token_valid: bool,
    production: bool,
}

async fn authority(headers: HeaderMap) -> Result<Response> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let domain = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let authority = Authority {
        id: ID,
        name: NAME,
        description: "",
        domain: domain.to_owned(),
        login_url: "/login?continue={{url}}",
        logout_url: "/auth/logout",
        version: "v2.0.0",
        config: json!({}),
        email_domains: Vec::new(),
        session: false,
        token_valid: false,
        production: true,
    };
    Ok(respond(StatusCode::OK, &authority))
}
