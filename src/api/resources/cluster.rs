//! The cluster: one node, this daemon, and its driver processes.

use axum::{
    extract::{Path, State as Extract},
    http::StatusCode,
    response::Response,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::{ToSchema, openapi::schema::Type};

use crate::{
    api::{
        State,
        auth::Access,
        crud,
        endpoint::{Endpoint, get},
        error::{Error, Result},
        http::{page, query::Query},
    },
    model::{Driver, Repository},
    runtime::ProcessView,
};

/// The id of this node.
pub(super) const NODE: &str = "headend";
const SCOPE: &[&str] = &["cluster"];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/api/engine/v2/cluster", index)
            .takes(Access::Admin, SCOPE)
            .says("The nodes; here there is one.")
            .query("include_status", Type::Boolean, "With what it has built and what it runs.")
            .lists::<Node>(StatusCode::OK, "Nodes"),
        get("/api/engine/v2/cluster/{id}", processes)
            .takes(Access::Admin, SCOPE)
            .says("The driver processes of a node.")
            .query("include_status", Type::Boolean, "With the state of each.")
            .lists::<Process>(StatusCode::OK, "Processes"),
    ]
}

/// A node.
#[derive(Debug, Serialize, ToSchema)]
struct Node {
    id: &'static str,
    uri: String,
    #[schema(value_type = Object)]
    load: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    status: Option<Value>,
}

/// A driver process.
#[derive(Debug, Serialize, ToSchema)]
struct Process {
    /// Driver file and commit.
    driver: String,
    #[schema(value_type = Object)]
    local: Map<String, Value>,
    #[schema(value_type = Object)]
    edge: Map<String, Value>,
}

async fn index(Extract(state): Extract<State>, query: Query) -> Result<Response> {
    let status = if query.flag("include_status") { Some(status(&state).await?) } else { None };
    let node = Node { id: NODE, uri: String::new(), load: json!({"local": load(), "edge": {}}), status };
    Ok(page::whole("cluster", &[node]))
}

async fn status(state: &State) -> Result<Value> {
    let repositories = crud::all::<Repository>(state).await?;
    let drivers = crud::all::<Driver>(state).await?;
    let (broken, available): (Vec<_>, Vec<_>) =
        repositories.into_iter().partition(|repository| repository.has_runtime_error);
    let reason = |text: Option<String>| text.unwrap_or_default();
    let mut compiled = Vec::new();
    let mut unavailable = Vec::new();
    for driver in drivers {
        let view = state.runtime().driver(&driver.id).unwrap_or_default();
        if view.compiled {
            compiled.push(driver.file_name);
        } else {
            unavailable.push(json!({"name": driver.file_name, "reason": reason(view.output)}));
        }
    }
    let processes = state.runtime().processes();
    let modules: usize = processes.iter().map(|process| process.modules.len()).sum();
    Ok(json!({
        "available_repositories": available.into_iter().map(|item| item.folder_name).collect::<Vec<_>>(),
        "unavailable_repositories": broken
            .into_iter()
            .map(|item| json!({"name": item.folder_name, "reason": reason(item.error_message)}))
            .collect::<Vec<_>>(),
        "compiled_drivers": compiled,
        "unavailable_drivers": unavailable,
        "run_count": {"local": {"drivers": processes.len(), "modules": modules}, "edge": {}},
    }))
}

/// Load of the machine and of this process: CPU in percent, memory in KB.
fn load() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let busy = read("/proc/loadavg").split_whitespace().next().and_then(|text| text.parse::<f64>().ok());
    let memory = read("/proc/meminfo");
    let kilobytes = |text: &str, key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let total = kilobytes(&memory, "MemTotal:").unwrap_or(0);
    let free = kilobytes(&memory, "MemAvailable:").unwrap_or(0);
    #[allow(clippy::cast_precision_loss, reason = "a handful of cores")]
    let percent = busy.unwrap_or(0.0) / cores as f64 * 100.0;
    json!({
        "hostname": read("/proc/sys/kernel/hostname").trim(),
        "cpu_count": cores,
        "core_cpu": percent.min(100.0),
        "total_cpu": percent.min(100.0),
        "memory_total": total,
        "memory_usage": total.saturating_sub(free),
        "core_memory": kilobytes(&read("/proc/self/status"), "VmRSS:").unwrap_or(0),
    })
}

async fn processes(Extract(state): Extract<State>, Path(id): Path<String>, query: Query) -> Result<Response> {
    if id != NODE {
        return Err(Error::missing("node", &id));
    }
    let mut items = Vec::new();
    for view in state.runtime().processes() {
        let file = crud::show::<Driver>(&state, &view.driver).await.map(|driver| driver.file_name);
        items.push(process(
            &view,
            &file.unwrap_or_else(|_| view.driver.to_string()),
            query.flag("include_status"),
        ));
    }
    Ok(page::whole("cluster", &items))
}

fn process(view: &ProcessView, file: &str, status: bool) -> Process {
    let commit: String = view.commit.chars().take(7).collect();
    let mut local = Map::new();
    local.insert("modules".into(), json!(view.modules));
    if status {
        local.insert(
            "status".into(),
            json!({
                "running": view.pid.is_some(),
                "module_instances": view.modules.len(),
                "last_exit_code": 0,
                "launch_count": view.failures + 1,
                "launch_time": view.since / 1000,
                "pid": view.pid,
                "state": view.state,
                "quarantine": view.quarantine,
            }),
        );
    }
    Process { driver: format!("{}@{commit}", file.trim_end_matches("/Cargo.toml")), local, edge: Map::new() }
}
