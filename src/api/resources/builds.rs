//! The builds of drivers: waiting, running, and the last ones that ended.

use axum::{extract::State as Extract, http::StatusCode, response::Response};
use serde::Serialize;
use utoipa::{ToSchema, openapi::schema::Type};

use crate::{
    api::{
        State,
        auth::Access,
        endpoint::{Endpoint, get},
        error::Result,
        http::{page, query::Query},
    },
    repositories::build,
};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/api/engine/v2/build/monitor", index)
            .takes(Access::Support, &["build_monitor"])
            .says("Builds that wait or run, and the last ones that ended, oldest first.")
            .query("state", Type::String, "Only those that are pending, running, done or error.")
            .lists::<Build>(StatusCode::OK, "Builds"),
    ]
}

/// A build of a driver.
#[derive(Debug, Serialize, ToSchema)]
struct Build {
    repository_id: String,
    /// Path of the driver's Cargo.toml.
    driver: String,
    commit: String,
    /// `pending`, `running`, `done` or `error`.
    state: &'static str,
    /// What the compiler said last, or why the build failed.
    message: String,
    /// The end of the compiler's output, if the build failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    compilation_output: String,
    /// Unix seconds.
    timestamp: u64,
    /// Milliseconds it has taken, without the time it waited.
    elapsed_ms: u64,
}

async fn index(Extract(state): Extract<State>, query: Query) -> Result<Response> {
    let wanted = query.text("state");
    let builds: Vec<Build> = state
        .repositories()
        .builds()
        .into_iter()
        .map(shown)
        .filter(|build| wanted.is_none_or(|wanted| wanted == build.state))
        .collect();
    Ok(page::whole("build", &builds))
}

fn shown(build: build::Build) -> Build {
    let since = build.requested_at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let (state, message, output, time) = match build.state {
        build::State::Queued => ("pending", String::new(), String::new(), None),
        build::State::Running { elapsed, line } => ("running", line, String::new(), Some(elapsed)),
        build::State::Done { took } => ("done", String::new(), String::new(), Some(took)),
        build::State::Failed { took, error } => ("error", error.message, error.output, Some(took)),
    };
    Build {
        repository_id: build.repository,
        driver: build.file_name,
        commit: build.commit,
        state,
        message,
        compilation_output: output,
        timestamp: since.as_secs(),
        elapsed_ms: time.map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
    }
}
