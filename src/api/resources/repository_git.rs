//! What is in a repository's history, and in remotes that are not repositories here yet.

use axum::{
    extract::{Path, State as Extract},
    http::StatusCode,
    response::Response,
};
use drivers_sdk_protocol::Manifest;
use serde_json::{Map, Value, json};
use utoipa::openapi::schema::Type;

use super::repositories::SCOPE;
use crate::{
    api::{
        State,
        auth::Access,
        crud,
        endpoint::{Endpoint, get},
        error::{Error, Result},
        http::{json as respond, query::Query},
    },
    model::Repository,
    repositories::{self, Commit, Credentials, Secret, Source, build},
    secrets::fields,
};

/// Commits of a list without a `limit`.
const COMMITS: usize = 50;
const MOST_COMMITS: usize = 10_000;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let names = |endpoint: Endpoint, summary: &str| endpoint.takes(Access::Admin, SCOPE).says(summary);
    let remote = |endpoint: Endpoint| {
        endpoint
            .query("repository_url", Type::String, "Address of the remote; required.")
            .query("username", Type::String, "To sign in with.")
            .query("password", Type::String, "To sign in with.")
    };
    let strings = |endpoint: Endpoint| endpoint.gives::<Vec<String>>(StatusCode::OK, "Names");
    let string = |endpoint: Endpoint| endpoint.gives::<String>(StatusCode::OK, "A name");
    vec![
        strings(names(
            get("/api/engine/v2/repositories/{id}/drivers", drivers)
                .query("commit", Type::String, "Commit, branch or tag; if not given, the repository's.")
                .query("complete", Type::Boolean, "With names, descriptions and warnings: Headend's own."),
            "The drivers in a commit: paths of their Cargo.toml.",
        )),
        names(
            get("/api/engine/v2/repositories/{id}/commits", commits)
                .query("driver", Type::String, "Only commits that touch this driver.")
                .query("branch", Type::String, "Of this branch, if not the repository's.")
                .query("limit", Type::Integer, "So many; 50 if not given.")
                .gives::<Value>(StatusCode::OK, "`hash`, `commit`, `subject`, `author`, `date` of each"),
            "The newest commits, newest first.",
        ),
        names(
            get("/api/engine/v2/repositories/{id}/details", details)
                .query("driver", Type::String, "Path of the driver's Cargo.toml; required.")
                .query("commit", Type::String, "Commit, branch or tag; if not given, the repository's.")
                .gives::<Value>(StatusCode::OK, "What the driver declares about itself"),
            "What a driver declares about itself. Builds it first, if need be.",
        ),
        strings(names(get("/api/engine/v2/repositories/{id}/branches", branches), "The branches.")),
        strings(names(get("/api/engine/v2/repositories/{id}/tags", tags), "The tags.")),
        string(names(
            get("/api/engine/v2/repositories/{id}/default_branch", default_branch),
            "The branch that the remote had checked out at the last fetch.",
        )),
        strings(remote(names(
            get("/api/engine/v2/repositories/remote_branches", remote_branches),
            "The branches of any remote.",
        ))),
        strings(remote(names(
            get("/api/engine/v2/repositories/remote_tags", remote_tags),
            "The tags of any remote.",
        ))),
        string(remote(names(
            get("/api/engine/v2/repositories/remote_default_branch", remote_default_branch),
            "The branch that any remote has checked out.",
        ))),
    ]
}

/// A repository as the git layer wants it, with its credentials in the clear.
pub(super) async fn source(state: &State, id: &str) -> Result<Source> {
    let repository: Repository = crud::show(state, id).await?;
    if repository.repo_type != "driver" {
        return Err(Error::Other(StatusCode::BAD_REQUEST, json!({"message": "not a driver repository"})));
    }
    let sealed = |error| Error::Internal(format!("credentials of {id}: {error}"));
    let secret = |secret: Option<crate::secrets::Secret>| secret.map(|text| Secret::from(text.expose()));
    let credentials = Credentials {
        username: repository.username.clone(),
        password: secret(fields::reveal_password(state.vault(), &repository).map_err(sealed)?),
        key: secret(fields::reveal_key(state.vault(), &repository).map_err(sealed)?),
    };
    Ok(Source {
        id: repository.id,
        uri: repository.uri,
        branch: repository.branch,
        root: repository.root_path,
        credentials,
    })
}

/// What the git layer's failures are on the wire. Their texts hold no credential.
pub(super) fn refusal(error: repositories::Error) -> Error {
    use repositories::Error as Git;
    let text = error.to_string();
    let other = |status| Error::Other(status, json!({"error": text}));
    match &error {
        Git::NoSuchBranch { .. } | Git::NoSuchCommit { .. } | Git::NoSuchFile { .. } => Error::NotFound(text),
        Git::NotADriver { .. } => Error::BadRequest(text),
        Git::Timeout { .. } => Error::Timeout(text),
        Git::Stopped => Error::Unavailable(text),
        Git::Disk { .. } | Git::Git { .. } => other(StatusCode::INTERNAL_SERVER_ERROR),
        Git::Uri { .. }
        | Git::Unreachable { .. }
        | Git::Credentials { .. }
        | Git::HostKey { .. }
        | Git::NotARepository { .. }
        | Git::NotFetched { .. } => other(StatusCode::UNPROCESSABLE_ENTITY),
    }
}

async fn drivers(Extract(state): Extract<State>, Path(id): Path<String>, query: Query) -> Result<Response> {
    let source = source(&state, &id).await?;
    let commit = query.text("commit").unwrap_or_default();
    let packages = state.repositories().drivers(&source, commit).await.map_err(refusal)?;
    if query.flag("complete") {
        return Ok(respond(StatusCode::OK, &packages));
    }
    let paths: Vec<&str> = packages.drivers.iter().map(|package| package.file_name.as_str()).collect();
    Ok(respond(StatusCode::OK, &paths))
}

async fn commits(Extract(state): Extract<State>, Path(id): Path<String>, query: Query) -> Result<Response> {
    let source = source(&state, &id).await?;
    let limit = query.bounded("limit", COMMITS, MOST_COMMITS)?;
    let branch = query.text("branch").unwrap_or_default();
    let found = state.repositories().commits(&source, branch, query.text("driver"), limit).await;
    let found: Vec<Value> = found.map_err(refusal)?.iter().map(commit).collect();
    Ok(respond(StatusCode::OK, &found))
}

fn commit(commit: &Commit) -> Value {
    json!({
        "hash": commit.hash, "commit": commit.hash, "subject": commit.subject, "author": commit.author,
        "date": commit.date,
    })
}

async fn details(Extract(state): Extract<State>, Path(id): Path<String>, query: Query) -> Result<Response> {
    let source = source(&state, &id).await?;
    let driver = query.require("driver")?;
    let repositories = state.repositories();
    let commit =
        repositories.resolve(&source, query.text("commit").unwrap_or_default()).await.map_err(refusal)?;
    let artifact = match repositories.artifact(&source.id, driver, &commit) {
        Some(artifact) => artifact,
        None => {
            let time = std::time::Duration::from_millis(state.options().compile_timeout_ms);
            let build = repositories.build(&source, driver, &commit, false);
            let built = tokio::time::timeout(time, build).await;
            let slow =
                |_| Error::Timeout(format!("building {driver} takes longer than {time:?}, and goes on"));
            built.map_err(slow)?.map_err(build_refusal)?
        }
    };
    Ok(respond(StatusCode::OK, &defaults(&artifact.manifest)))
}

fn build_refusal(error: build::Error) -> Error {
    let status = match error.kind {
        build::Kind::Repository => StatusCode::NOT_FOUND,
        build::Kind::NotADriver => StatusCode::BAD_REQUEST,
        build::Kind::Stopped => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Error::Other(status, json!({"error": error.message, "compilation_output": error.output}))
}

/// A manifest in the words of the contract, with the whole of it under `manifest`.
fn defaults(manifest: &Manifest) -> Map<String, Value> {
    let mut body = Map::new();
    let mut set = |key: &str, value: Value| drop(body.insert(key.to_owned(), value));
    set("descriptive_name", manifest.name.as_str().into());
    set("generic_name", manifest.module.as_str().into());
    set("description", manifest.description.as_str().into());
    if let Some(port) = manifest.port {
        set(if manifest.udp { "udp_port" } else { "tcp_port" }, port.into());
    }
    if let Some(uri) = &manifest.uri {
        set("uri_base", uri.as_str().into());
    }
    set("makebreak", manifest.makebreak.into());
    set("default_settings", text(&manifest.defaults).into());
    set("json_schema", manifest.settings.clone());
    set("manifest", json!(manifest));
    body
}

fn text(value: &Value) -> String {
    if value.is_null() { "{}".to_owned() } else { value.to_string() }
}

async fn branches(Extract(state): Extract<State>, Path(id): Path<String>) -> Result<Response> {
    let source = source(&state, &id).await?;
    Ok(respond(StatusCode::OK, &state.repositories().branches(&source).await.map_err(refusal)?))
}

async fn tags(Extract(state): Extract<State>, Path(id): Path<String>) -> Result<Response> {
    let source = source(&state, &id).await?;
    Ok(respond(StatusCode::OK, &state.repositories().tags(&source).await.map_err(refusal)?))
}

async fn default_branch(Extract(state): Extract<State>, Path(id): Path<String>) -> Result<Response> {
    let source = source(&state, &id).await?;
    Ok(respond(StatusCode::OK, &state.repositories().default_branch(&source).await.map_err(refusal)?))
}

fn remote(query: &Query) -> Result<Source> {
    let credentials = Credentials {
        username: query.text("username").map(str::to_owned),
        password: query.text("password").map(Secret::from),
        key: None,
    };
    let uri = query.require("repository_url")?.to_owned();
    Ok(Source { uri, credentials, ..Source::default() })
}

async fn remote_branches(Extract(state): Extract<State>, query: Query) -> Result<Response> {
    let found = state.repositories().remote_branches(&remote(&query)?).await;
    Ok(respond(StatusCode::OK, &found.map_err(refusal)?))
}

async fn remote_tags(Extract(state): Extract<State>, query: Query) -> Result<Response> {
    let found = state.repositories().remote_tags(&remote(&query)?).await;
    Ok(respond(StatusCode::OK, &found.map_err(refusal)?))
}

async fn remote_default_branch(Extract(state): Extract<State>, query: Query) -> Result<Response> {
    let found = state.repositories().remote_default_branch(&remote(&query)?).await;
    Ok(respond(StatusCode::OK, &found.map_err(refusal)?))
}
