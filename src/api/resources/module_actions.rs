//! What one does with a module: start, stop, ping, look at its state, call it.

use std::collections::HashMap;

use axum::{
    extract::{Path, State as Extract},
    http::StatusCode,
    response::Response,
};
use serde_json::{Map, Value, json};

use super::exec;
use crate::{
    api::{
        State,
        auth::{Access, Caller},
        crud,
        draft::{self, Lock},
        endpoint::{Endpoint, get, post},
        error::{Error, Result},
        http::{body::Arguments, empty, json as respond},
    },
    model::{Module, Role},
    runtime,
};

const SCOPE: &[&str] = &["modules"];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        post("/api/engine/v2/modules/{id}/start", start)
            .takes(Access::Support, SCOPE)
            .says("Starts a module, for good: it also runs after the daemon was restarted.")
            .ends(StatusCode::OK, "It should run now"),
        post("/api/engine/v2/modules/{id}/stop", stop)
            .takes(Access::Support, SCOPE)
            .says("Stops a module.")
            .ends(StatusCode::OK, "It should not run now"),
        post("/api/engine/v2/modules/{id}/ping", ping)
            .takes(Access::Support, SCOPE)
            .says("Can the device's address be reached?")
            .gives::<Value>(StatusCode::OK, "`host`, `pingable`, `exception`"),
        get("/api/engine/v2/modules/{id}/state", state_all)
            .takes(Access::Support, SCOPE)
            .says("The module's status: JSON text by key.")
            .gives::<HashMap<String, String>>(StatusCode::OK, "JSON text by key"),
        get("/api/engine/v2/modules/{id}/state/{key}", state_one)
            .takes(Access::Support, SCOPE)
            .says("One status value, as JSON text in a JSON string.")
            .gives::<String>(StatusCode::OK, "JSON text"),
        post("/api/engine/v2/modules/{id}/exec/{method}", execute)
            .takes(Access::Admin, SCOPE)
            .says("Calls a function of the module.")
            .body::<Value>()
            .gives::<Value>(StatusCode::OK, "What it returned"),
        post("/api/engine/v2/modules/{id}/load", load)
            .takes(Access::Admin, SCOPE)
            .says("Is the module loaded?")
            .gives::<bool>(StatusCode::OK, "Does the runtime know it?"),
        get("/api/engine/v2/modules/{id}/error", last_error)
            .takes(Access::Support, SCOPE)
            .says("The module's last error and the log lines before it.")
            .gives::<Vec<String>>(StatusCode::OK, "Lines"),
        get("/api/engine/v2/modules/{id}/log", recent_log)
            .takes(Access::Support, SCOPE)
            .says("The last lines of the module's log: `time` (Unix milliseconds), `level`, `text`.")
            .gives::<Value>(StatusCode::OK, "Lines, oldest first"),
    ]
}

async fn start(Extract(state): Extract<State>, Path(id): Path<String>) -> Result<Response> {
    run(&state, &[id], true).await?;
    Ok(empty(StatusCode::OK))
}

async fn stop(Extract(state): Extract<State>, Path(id): Path<String>) -> Result<Response> {
    run(&state, &[id], false).await?;
    Ok(empty(StatusCode::OK))
}

/// Sets whether modules should run, and waits, for a bounded time, until the runtime has acted on it.
pub(super) async fn run(state: &State, ids: &[String], running: bool) -> Result<()> {
    let (changed, sequence) = draft::write(state, Lock::Shared, |mut draft| async move {
        let mut changed = false;
        for id in ids {
            let mut module: Module = draft.require(id).await?;
            if module.running != running {
                module.running = running;
                module.updated_at = crate::api::now();
                draft.put(&module)?;
                changed = true;
            }
        }
        Ok((draft, changed))
    })
    .await?;
    if changed {
        settled(state, sequence).await;
    }
    Ok(())
}

/// Waits until the runtime has acted on a change; a slow one is no failure: the write is kept and acted on later.
pub(super) async fn settled(state: &State, sequence: u64) {
    let time = state.options().settle_timeout();
    if tokio::time::timeout(time, state.runtime().settled(sequence)).await.is_err() {
        tracing::warn!(sequence, "the runtime has not acted on a change within {time:?}");
    }
}

async fn ping(Extract(state): Extract<State>, Path(id): Path<String>) -> Result<Response> {
    let module: Module = crud::show(&state, &id).await?;
    if module.role == Role::Logic {
        return Err(Error::invalid("role", "a logic module has no device to ping"));
    }
    let view = state.runtime().module(&id);
    let host = if module.ip.is_empty() { module.uri.clone() } else { module.ip.clone() };
    let mut body = json!({"host": host, "pingable": view.as_ref().is_some_and(|view| view.connected)});
    if let Some(view) = view
        && !view.connected
        && let Some(body) = body.as_object_mut()
    {
        let why = view.detail.or_else(|| view.reason.map(str::to_owned));
        body.insert("exception".into(), why.unwrap_or_else(|| view.state.as_str().into()).into());
    }
    Ok(respond(StatusCode::OK, &body))
}

/// Status values as the contract has them: JSON text in strings.
pub(super) fn status_map(state: &State, module: &str) -> Map<String, Value> {
    let values = state.runtime().status(module).unwrap_or_default();
    values.into_iter().map(|(key, value)| (key.to_string(), Value::String(value.to_string()))).collect()
}

async fn state_all(Extract(state): Extract<State>, Path(id): Path<String>) -> Result<Response> {
    crud::show::<Module>(&state, &id).await?;
    Ok(respond(StatusCode::OK, &status_map(&state, &id)))
}

async fn state_one(
    Extract(state): Extract<State>,
    Path((id, key)): Path<(String, String)>,
) -> Result<Response> {
    crud::show::<Module>(&state, &id).await?;
    let value = state.runtime().status_value(&id, &key);
    let value = value.ok_or_else(|| Error::NotFound(format!("{id} has no status {key}")))?;
    Ok(respond(StatusCode::OK, value.as_ref()))
}

async fn execute(
    Extract(state): Extract<State>,
    caller: Caller,
    Path((id, method)): Path<(String, String)>,
    Arguments(args): Arguments,
) -> Result<Response> {
    exec::answer(&state, &caller, runtime::Target::Module(id), method, args).await
}

async fn load(Extract(state): Extract<State>, Path(id): Path<String>) -> Result<Response> {
    crud::show::<Module>(&state, &id).await?;
    Ok(respond(StatusCode::OK, &state.runtime().module(&id).is_some()))
}

async fn last_error(Extract(state): Extract<State>, Path(id): Path<String>) -> Result<Response> {
    crud::show::<Module>(&state, &id).await?;
    let fault = state.runtime().module(&id).and_then(|view| view.last_error);
    let fault = fault.ok_or_else(|| Error::NotFound(format!("{id} has had no error")))?;
    let mut lines = vec![format!("{}: {}", fault.code, fault.message)];
    lines.extend(fault.place.iter().map(|place| format!("at {place}")));
    lines.extend(fault.backtrace.iter().cloned());
    lines.extend(fault.output.iter().cloned());
    for line in state.runtime().recent_log(&id) {
        lines.push(format!("{} {}", line.level.as_str(), line.text));
    }
    Ok(respond(StatusCode::OK, &lines))
}

async fn recent_log(Extract(state): Extract<State>, Path(id): Path<String>) -> Result<Response> {
    crud::show::<Module>(&state, &id).await?;
    Ok(respond(StatusCode::OK, &state.runtime().recent_log(&id)))
}
