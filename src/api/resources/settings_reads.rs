//! What settings come to: those that a module or system gets, merged with the origin of every key, and how they
//! were before.

use axum::{
    extract::{Path, State as Extract},
    http::StatusCode,
    response::Response,
};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::settings::{clear, of, wire};
use crate::{
    api::{
        State,
        auth::{Access, Caller},
        crud::{self, Managed},
        endpoint::{Endpoint, get},
        error::Result,
        http::{json, page, page::Page, query::Query},
    },
    model::{
        Kind, Module, Settings, System,
        merge::{self, Layer},
    },
};

/// What stands in for a value that the caller may not see.
const MASK: &str = "<MASKED>";
const VERSIONS: usize = 15;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/api/engine/v2/modules/{id}/settings", of_module)
            .takes(Access::Support, &["modules"])
            .says("The settings that a module gets, weakest first.")
            .lists::<Settings>(StatusCode::OK, "Settings, weakest first"),
        get("/api/engine/v2/modules/{id}/settings/merged", merged)
            .takes(Access::Support, &["modules"])
            .says("The settings that a module runs with, and where each key comes from.")
            .gives::<Merged>(StatusCode::OK, "Values and origins"),
        get("/api/engine/v2/systems/{id}/settings", of_system)
            .takes(Access::Support, &["systems"])
            .says("The settings that a system gives its logic modules, weakest first.")
            .lists::<Settings>(StatusCode::OK, "Settings, weakest first"),
    ]
}

/// What a module runs with.
#[derive(Debug, Serialize, ToSchema)]
struct Merged {
    /// Values by key; what the caller may not see is `<MASKED>`.
    #[schema(value_type = Object)]
    values: Map<String, Value>,
    /// Where each value comes from.
    origins: std::collections::BTreeMap<String, Origin>,
}

/// Where a value comes from.
#[derive(Debug, Serialize, ToSchema)]
struct Origin {
    parent_id: String,
    /// `driver`, `zone`, `control_system` or `module`.
    parent_type: &'static str,
    /// 0 to 3.
    encryption_level: i64,
    /// The caller may not see the value.
    masked: bool,
}

async fn contributing(state: &State, id: &str) -> Result<Vec<Settings>> {
    let module: Module = crud::show(state, id).await?;
    let system = match &module.control_system_id {
        Some(id) => crud::show::<System>(state, id).await.ok(),
        None => None,
    };
    let parents = merge::parents(&module, system.as_ref());
    let all = of(state, &parents).await?;
    Ok(merge::order(&parents, &all).into_iter().cloned().collect())
}

async fn of_module(
    Extract(state): Extract<State>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response> {
    let found = contributing(&state, &id).await?;
    let items = found.iter().map(|item| wire(&state, &caller, item)).collect::<Result<Vec<_>>>()?;
    Ok(page::whole(Settings::TABLE, &items))
}

async fn of_system(
    Extract(state): Extract<State>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response> {
    let system: System = crud::show(&state, &id).await?;
    let parents = merge::system_parents(&system);
    let all = of(&state, &parents).await?;
    let found = merge::order(&parents, &all);
    let items = found.into_iter().map(|item| wire(&state, &caller, item)).collect::<Result<Vec<_>>>()?;
    Ok(page::whole(Settings::TABLE, &items))
}

async fn merged(Extract(state): Extract<State>, caller: Caller, Path(id): Path<String>) -> Result<Response> {
    let mut layers = Vec::new();
    for settings in contributing(&state, &id).await? {
        // What was written parses; the runtime skips what does not, and so does this.
        if let Ok(layer) = Layer::new(&settings, &clear(&state, &settings)?) {
            layers.push(layer);
        }
    }
    let mut merged = merge::merge(&layers);
    let mut origins = std::collections::BTreeMap::new();
    for (key, origin) in merged.origins {
        let masked = !caller.sees(origin.level);
        if masked && let Some(value) = merged.values.get_mut(&key) {
            *value = MASK.into();
        }
        let origin = Origin {
            parent_id: origin.parent_id,
            parent_type: origin.parent_type.name(),
            encryption_level: origin.level.number(),
            masked,
        };
        origins.insert(key, origin);
    }
    Ok(json(StatusCode::OK, &Merged { values: merged.values, origins }))
}

/// The kept versions of settings.
pub(super) async fn history(
    Extract(state): Extract<State>,
    caller: Caller,
    Path(id): Path<String>,
    query: Query,
) -> Result<Response> {
    crud::show::<Settings>(&state, &id).await?;
    let page = Page::with_default(&query, VERSIONS)?;
    let (total, versions) = state.store().history(Kind::Settings, &id, page.limit, page.offset).await?;
    let mut items = Vec::with_capacity(versions.len());
    for version in versions {
        let Some(body) = &version.body else { continue };
        let Ok(settings) = serde_json::from_str::<Settings>(body) else { continue };
        let mut item = wire(&state, &caller, &settings)?;
        item.insert("id".into(), format!("{id}-{}", version.revision).into());
        item.insert("settings_id".into(), id.as_str().into());
        item.insert("created_at".into(), version.at.into());
        items.push(item);
    }
    Ok(page.respond(&query, Settings::TABLE, &items, total))
}
