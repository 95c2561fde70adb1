//! What one does with a system: start, stop, look at its modules' functions and state, call them.

use std::collections::{BTreeMap, HashMap};

use axum::{
    extract::{Path, State as Extract},
    http::StatusCode,
    response::Response,
};
use drivers_sdk_protocol::manifest::{Function, Need};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::{ToSchema, openapi::schema::Type};

use super::{exec, module_actions, systems::SCOPE};
use crate::{
    api::{
        State,
        auth::{Access, Caller},
        crud,
        endpoint::{Endpoint, get, post},
        error::{Error, Result},
        http::{body::Arguments, empty, json as respond, query::Query, raw},
    },
    model::{Module, System},
    runtime::{Lacks, Target},
};

const CONTROL: &[&str] = &["control", "systems"];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        post("/api/engine/v2/systems/{id}/start", start)
            .takes(Access::Support, SCOPE)
            .says("Starts the modules that are in no other system.")
            .query("single_occurrence", Type::Boolean, "`false`: also those that are in other systems.")
            .ends(StatusCode::OK, "They should run now"),
        post("/api/engine/v2/systems/{id}/stop", stop)
            .takes(Access::Support, SCOPE)
            .says("Stops the modules that are in no other system.")
            .query("single_occurrence", Type::Boolean, "`false`: also those that are in other systems.")
            .ends(StatusCode::OK, "They should not run now"),
        get("/api/engine/v2/systems/{id}/types", types)
            .takes(Access::User, CONTROL)
            .says("How many modules of each name the system has.")
            .gives::<HashMap<String, u32>>(StatusCode::OK, "Numbers by name"),
        get("/api/engine/v2/systems/{id}/count", count)
            .takes(Access::User, CONTROL)
            .says("The same as `types`, or the number of modules of one name.")
            .query("module", Type::String, "The name.")
            .gives::<Value>(StatusCode::OK, "`count`, or numbers by name"),
        get("/api/engine/v2/systems/{id}/lacks", lacks)
            .takes(Access::Support, SCOPE)
            .says("What the system has not, and its logic modules need or would make use of.")
            .lists::<Lacking>(StatusCode::OK, "The logic modules that lack something"),
        get("/api/engine/v2/systems/{id}/functions/{module}", functions)
            .takes(Access::Support, SCOPE)
            .says("The functions of a module that the caller may call.")
            .gives::<BTreeMap<String, Described>>(StatusCode::OK, "By name"),
        post("/api/engine/v2/systems/{id}/{module}/{method}", execute)
            .takes(Access::Support, SCOPE)
            .says("Calls a function of a module: `Display_1` is the first one named Display.")
            .body::<Value>()
            .gives::<Value>(StatusCode::OK, "What it returned"),
        get("/api/engine/v2/systems/{id}/{module}", state_all)
            .takes(Access::Support, SCOPE)
            .says("The status of a module: JSON text by key.")
            .gives::<HashMap<String, String>>(
                StatusCode::OK,
                "JSON text by key; empty without such a module",
            ),
        get("/api/engine/v2/systems/{id}/{module}/{method}", state_one)
            .takes(Access::Support, SCOPE)
            .says("One status value of a module.")
            .gives::<Value>(StatusCode::OK, "The value; null if there is none"),
    ]
}

/// A function, for whoever calls it.
#[derive(Debug, Serialize, ToSchema)]
struct Described {
    arity: usize,
    /// JSON Schema of each parameter.
    #[schema(value_type = Object)]
    params: Map<String, Value>,
    /// The parameters in order.
    order: Vec<String>,
    /// Markdown.
    description: String,
}

/// A logic module that lacks something: `{"module": "Display"}`, `{"interface": "Switchable"}`.
#[derive(Debug, Serialize, ToSchema)]
struct Lacking {
    module_id: String,
    /// `Room_1`.
    module: String,
    /// It does not work without these.
    #[schema(value_type = Vec<Object>)]
    required: Vec<Need>,
    /// It would make use of these.
    #[schema(value_type = Vec<Object>)]
    optional: Vec<Need>,
}

async fn lacks(Extract(state): Extract<State>, Path(id): Path<String>) -> Result<Response> {
    let system: System = crud::show(&state, &id).await?;
    let (mut counts, mut lacking) = (HashMap::<String, u32>::new(), Vec::new());
    for module_id in system.modules {
        let Ok(module) = crud::show::<Module>(&state, &module_id).await else { continue };
        let index = counts.entry(module.resolved_name().to_owned()).or_default();
        *index += 1;
        let own = module.control_system_id.as_deref() == Some(&system.id);
        if let Some(Lacks { required, optional }) = state.runtime().lacks(&module_id, &system.id)
            && own
            && !(required.is_empty() && optional.is_empty())
        {
            let module = format!("{}_{index}", module.resolved_name());
            lacking.push(Lacking { module_id, module, required, optional });
        }
    }
    Ok(respond(StatusCode::OK, &lacking))
}

async fn start(Extract(state): Extract<State>, Path(id): Path<String>, query: Query) -> Result<Response> {
    run(&state, &id, &query, true).await
}

async fn stop(Extract(state): Extract<State>, Path(id): Path<String>, query: Query) -> Result<Response> {
    run(&state, &id, &query, false).await
}

async fn run(state: &State, id: &str, query: &Query, running: bool) -> Result<Response> {
    let system: System = crud::show(state, id).await?;
    let single = query.tristate("single_occurrence").unwrap_or(true);
    let others = if single { crud::all::<System>(state).await? } else { Vec::new() };
    let mut ids = Vec::with_capacity(system.modules.len());
    for module in &system.modules {
        let shared = others.iter().any(|other| other.id != system.id && other.modules.contains(module));
        if !shared && crud::show::<Module>(state, module).await.is_ok_and(|module| !module.ignore_startstop) {
            ids.push(module.clone());
        }
    }
    module_actions::run(state, &ids, running).await?;
    Ok(empty(StatusCode::OK))
}

/// The number of modules of each resolved name.
async fn counts(state: &State, id: &str) -> Result<BTreeMap<String, u32>> {
    let system: System = crud::show(state, id).await?;
    let mut counts = BTreeMap::new();
    for id in &system.modules {
        if let Ok(module) = crud::show::<Module>(state, id).await {
            *counts.entry(module.resolved_name().to_owned()).or_default() += 1;
        }
    }
    Ok(counts)
}

async fn types(Extract(state): Extract<State>, Path(id): Path<String>) -> Result<Response> {
    Ok(respond(StatusCode::OK, &counts(&state, &id).await?))
}

async fn count(Extract(state): Extract<State>, Path(id): Path<String>, query: Query) -> Result<Response> {
    let counts = counts(&state, &id).await?;
    Ok(match query.text("module") {
        Some(name) => respond(StatusCode::OK, &json!({"count": counts.get(name).copied().unwrap_or(0)})),
        None => respond(StatusCode::OK, &counts),
    })
}

/// The id of a module by its slug.
fn resolve(state: &State, system: &str, slug: &str) -> Option<String> {
    let (name, index) = exec::slug(slug);
    state.runtime().resolve(system, &name, index).map(|id| id.to_string())
}

async fn functions(
    Extract(state): Extract<State>,
    caller: Caller,
    Path((id, module)): Path<(String, String)>,
) -> Result<Response> {
    crud::show::<System>(&state, &id).await?;
    let module = resolve(&state, &id, &module)
        .ok_or_else(|| Error::NotFound(format!("there is no module {module} in {id}")))?;
    let manifest = state
        .runtime()
        .manifest(&module)
        .ok_or_else(|| Error::NotFound(format!("the driver of {module} is not built yet")))?;
    let visible = |function: &&Function| function.security <= caller.clearance();
    let functions: Map<String, Value> = manifest
        .functions
        .iter()
        .filter(visible)
        .map(|function| (function.name.clone(), json!(describe(function))))
        .collect();
    Ok(respond(StatusCode::OK, &functions))
}

fn describe(function: &Function) -> Described {
    let params = function.params.iter().map(|param| (param.name.clone(), param.schema.clone())).collect();
    Described {
        arity: function.params.len(),
        params,
        order: function.params.iter().map(|param| param.name.clone()).collect(),
        description: function.description.clone(),
    }
}

async fn execute(
    Extract(state): Extract<State>,
    caller: Caller,
    Path((id, module, method)): Path<(String, String, String)>,
    Arguments(args): Arguments,
) -> Result<Response> {
    let (name, index) = exec::slug(&module);
    exec::answer(&state, &caller, Target::Named { system: id, name, index }, method, args).await
}

async fn state_all(
    Extract(state): Extract<State>,
    Path((id, module)): Path<(String, String)>,
) -> Result<Response> {
    crud::show::<System>(&state, &id).await?;
    let values =
        resolve(&state, &id, &module).map(|id| module_actions::status_map(&state, &id)).unwrap_or_default();
    Ok(respond(StatusCode::OK, &values))
}

async fn state_one(
    Extract(state): Extract<State>,
    Path((id, module, key)): Path<(String, String, String)>,
) -> Result<Response> {
    crud::show::<System>(&state, &id).await?;
    let value = resolve(&state, &id, &module).and_then(|id| state.runtime().status_value(&id, &key));
    Ok(raw(StatusCode::OK, value.map_or_else(|| "null".to_owned(), |value| value.to_string())))
}
