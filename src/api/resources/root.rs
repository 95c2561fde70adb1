//! What is about the daemon itself: health, version, metrics, scopes, and this API's description.

use axum::{
    extract::State as Extract,
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::{
    api::{
        State,
        auth::{Access, credential},
        endpoint::{Endpoint, get, post},
        error::{Error, Result},
        http::{empty, json as respond, raw},
        openapi,
    },
    model::Kind,
};

/// Resources that scopes name.
const RESOURCES: &[&str] = &[
    "systems",
    "control",
    "modules",
    "drivers",
    "zones",
    "repositories",
    "settings",
    "metadata",
    "users",
    "api_keys",
    "cluster",
    "root",
    "build_monitor",
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/healthz", healthz)
            .takes(Access::Public, &[])
            .says("Is the daemon well? For load balancers and supervisors.")
            .gives::<Value>(StatusCode::OK, "`status`: `ok`")
            .gives::<Value>(StatusCode::SERVICE_UNAVAILABLE, "`error`: what is wrong"),
        get("/metrics", metrics)
            .takes(Access::Public, &[])
            .says(
                "Counters, as Prometheus reads them. For support, unless the option `metrics_public` is set.",
            )
            .ends(StatusCode::OK, "OpenMetrics text"),
        get("/api/engine/v2", health)
            .takes(Access::Public, &[])
            .says("Is the daemon well?")
            .ends(StatusCode::OK, "Yes"),
        get("/api/engine/v2/version", version)
            .takes(Access::User, &["root"])
            .says("The version of the daemon.")
            .gives::<Version>(StatusCode::OK, "The version"),
        get("/api/engine/v2/cluster/versions", versions)
            .takes(Access::User, &["root"])
            .says("The versions of all parts; here there is one.")
            .lists::<Version>(StatusCode::OK, "Versions"),
        get("/api/engine/v2/platform", platform)
            .takes(Access::User, &["root"])
            .says("The version, for people.")
            .gives::<Value>(StatusCode::OK, "`version`, `changelog`"),
        get("/api/engine/v2/scopes", scopes)
            .takes(Access::User, &["root"])
            .says("The scopes that an API key can have.")
            .gives::<Vec<String>>(StatusCode::OK, "Scopes"),
        get("/api/engine/v2/openapi.json", description)
            .takes(Access::Public, &[])
            .says("This document.")
            .gives::<Value>(StatusCode::OK, "OpenAPI 3.1"),
        post("/api/engine/v2/reindex", nothing)
            .takes(Access::Admin, &["root"])
            .says("Does nothing: there is no search index.")
            .ends(StatusCode::OK, "Done"),
        post("/api/engine/v2/backfill", nothing)
            .takes(Access::Admin, &["root"])
            .says("Does nothing: there is no search index.")
            .ends(StatusCode::OK, "Done"),
    ]
}

/// The version of a part.
#[derive(Debug, Serialize, ToSchema)]
struct Version {
    service: &'static str,
    commit: &'static str,
    version: &'static str,
    build_time: &'static str,
    platform_version: &'static str,
}

fn this() -> Version {
    let version = env!("CARGO_PKG_VERSION");
    Version {
        service: "headend",
        commit: option_env!("HEADEND_COMMIT").unwrap_or("unknown"),
        version,
        build_time: option_env!("HEADEND_BUILD_TIME").unwrap_or("1970-01-01T00:00:00Z"),
        platform_version: version,
    }
}

/// Can the store be read?
async fn check(state: &State) -> Result<()> {
    state.store().get(Kind::ApiKey, "").await.map_err(|error| Error::Unavailable(error.to_string()))?;
    if state.shutdown().is_cancelled() {
        return Err(Error::Unavailable("the daemon is stopping".into()));
    }
    Ok(())
}

async fn healthz(Extract(state): Extract<State>) -> Result<Response> {
    check(&state).await?;
    let seconds = state.started().elapsed().as_secs();
    Ok(respond(StatusCode::OK, &json!({"status": "ok", "uptime_seconds": seconds})))
}

async fn health(Extract(state): Extract<State>) -> Result<Response> {
    check(&state).await?;
    Ok(empty(StatusCode::OK))
}

async fn metrics(Extract(state): Extract<State>, parts: Parts) -> Result<Response> {
    if !state.options().metrics_public {
        let presented = credential::find(&parts).ok_or(Error::Unauthorized("no credential"))?;
        state.verifier().verify(&presented).await?.reaches(Access::Support)?;
    }
    let text = state.metrics().encode().map_err(|error| Error::Internal(error.to_string()))?;
    let mut headers = HeaderMap::new();
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    Ok((headers, text).into_response())
}

async fn version() -> Result<Response> {
    Ok(respond(StatusCode::OK, &this()))
}

async fn versions() -> Result<Response> {
    Ok(respond(StatusCode::OK, &[this()]))
}

async fn platform() -> Result<Response> {
    Ok(respond(StatusCode::OK, &json!({"version": env!("CARGO_PKG_VERSION"), "changelog": ""})))
}

async fn scopes() -> Result<Response> {
    let mut scopes = vec!["public".to_owned()];
    for resource in RESOURCES {
        scopes.push((*resource).to_owned());
        scopes.push(format!("{resource}.read"));
        scopes.push(format!("{resource}.write"));
    }
    Ok(respond(StatusCode::OK, &scopes))
}

async fn description() -> Result<Response> {
    Ok(raw(StatusCode::OK, openapi::document()))
}

async fn nothing() -> Result<Response> {
    Ok(empty(StatusCode::OK))
}
