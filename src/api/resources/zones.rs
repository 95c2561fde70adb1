//! Zones: create, show, change, delete, and calling a function in all systems of one.

use std::collections::HashMap;

use axum::{
    extract::{Path, State as Extract},
    http::StatusCode,
    response::Response,
};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::{ToSchema, openapi::schema::Type};

use super::{exec, plain, systems};
use crate::{
    api::{
        State,
        auth::{Access, Caller},
        crud::{self, Managed},
        draft::{Draft, Lock},
        endpoint::{Endpoint, delete, get, patch, post, put},
        error::Result,
        http::{body::Arguments, json, query::Query},
    },
    model::{Failure, System, Zone},
    runtime::Target,
};

const SCOPE: &[&str] = &["zones"];
/// Systems of a zone in which a function is called at the same time.
const AT_ONCE: usize = 32;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let one = "/api/engine/v2/zones/{id}";
    vec![
        get("/api/engine/v2/zones", index)
            .takes(Access::User, SCOPE)
            .says("Lists zones; without `tags` or `parent_id` only for support.")
            .paged()
            .query(
                "parent_id",
                Type::String,
                "Parents, separated by commas, of which it has one; `root`: none.",
            )
            .query("tags", Type::String, "Tags, separated by commas, that it must all have.")
            .query("include_children_count", Type::Boolean, "With the number of its children.")
            .lists::<Zone>(StatusCode::OK, "A page of zones"),
        get("/api/engine/v2/zones/tags", tags)
            .takes(Access::User, SCOPE)
            .says("All tags that zones have.")
            .gives::<Vec<String>>(StatusCode::OK, "The tags, sorted"),
        post("/api/engine/v2/zones", plain::create::<Zone>)
            .takes(Access::Support, SCOPE)
            .says("Creates a zone.")
            .body::<Zone>()
            .gives::<Zone>(StatusCode::CREATED, "The new zone"),
        get(one, plain::show::<Zone>)
            .takes(Access::User, SCOPE)
            .says("Shows a zone.")
            .gives::<Zone>(StatusCode::OK, "The zone"),
        patch(one, plain::update::<Zone>)
            .takes(Access::Support, SCOPE)
            .says("Changes a zone.")
            .body::<Zone>()
            .gives::<Zone>(StatusCode::OK, "The zone as it is now"),
        put(one, plain::update::<Zone>)
            .takes(Access::Support, SCOPE)
            .says("Changes a zone; the same as PATCH.")
            .body::<Zone>()
            .gives::<Zone>(StatusCode::OK, "The zone as it is now"),
        delete(one, plain::destroy::<Zone>)
            .takes(Access::Support, SCOPE)
            .says("Deletes a zone, with its children, settings and metadata, and takes it out of systems.")
            .ends(StatusCode::ACCEPTED, "Deleted"),
        post("/api/engine/v2/zones/{id}/exec/{module}/{method}", execute)
            .takes(Access::Support, SCOPE)
            .says("Calls a function of the module of that name in every system of the zone.")
            .body::<serde_json::Value>()
            .gives::<Outcome>(StatusCode::OK, "In which systems it succeeded"),
    ]
}

/// In which systems a call succeeded.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Outcome {
    success: Vec<String>,
    failure: Vec<String>,
    module_missing: Vec<String>,
}

impl Managed for Zone {
    const TABLE: &'static str = "zone";
    const LOCK: Lock = Lock::Exclusive;
    const UNIQUE: &'static str = "name";

    fn telltale(&self) -> &str {
        &self.name
    }

    fn searched(&self) -> Vec<&str> {
        let optional = [&self.display_name, &self.code, &self.r#type, &self.location];
        let mut fields = vec![self.name.as_str(), &self.description, &self.id];
        fields.extend(optional.into_iter().flatten().map(String::as_str));
        fields.extend(self.tags.iter().map(String::as_str));
        fields
    }

    fn order(&self) -> (&str, &str) {
        (&self.name, "")
    }

    async fn prepare(draft: &mut Draft, _: Option<&Self>, after: &mut Self) -> Result<Vec<Failure>> {
        // A blank parent is none.
        after.parent_id.take_if(|id| id.trim().is_empty());
        if after.parent_id.is_none() {
            return Ok(Vec::new());
        }
        // Found one by one, so that the write holds only if none above was moved meanwhile.
        let mut above = HashMap::new();
        let mut next = after.parent_id.clone();
        while let Some(id) = next.take().filter(|id| !above.contains_key(id)) {
            if let Some(zone) = draft.find::<Zone>(&id).await? {
                next.clone_from(&zone.parent_id);
                above.insert(id, zone.parent_id);
            }
        }
        Ok(after.valid_parent(|id| above.get(id).cloned()).into_iter().collect())
    }

    async fn cascade(draft: &mut Draft, gone: &Self) -> Result<()> {
        let mut ids = vec![gone.id.clone()];
        let zones = draft.all::<Zone>(|_| true).await?;
        let mut next = 0;
        while let Some(parent) = ids.get(next).cloned() {
            let children = zones.iter().filter(|zone| zone.parent_id.as_deref() == Some(parent.as_str()));
            for child in children {
                if !ids.contains(&child.id) {
                    draft.delete::<Zone>(&child.id);
                    ids.push(child.id.clone());
                }
            }
            next += 1;
        }
        let refs: Vec<&str> = ids.iter().map(String::as_str).collect();
        super::settings::remove_of(draft, &refs).await?;
        super::metadata::remove_of(draft, &refs).await?;
        let inside = |system: &System| system.zones.iter().any(|zone| ids.contains(zone));
        for mut system in draft.all::<System>(inside).await? {
            system.zones.retain(|zone| !ids.contains(zone));
            systems::bump(&mut system);
            draft.put(&system)?;
        }
        Ok(())
    }
}

/// The zones of a system, in its order.
pub(super) async fn of(state: &State, system: &System) -> Result<Vec<Zone>> {
    let mut zones = Vec::with_capacity(system.zones.len());
    for id in &system.zones {
        if let Ok(zone) = crud::show::<Zone>(state, id).await {
            zones.push(zone);
        }
    }
    Ok(zones)
}

async fn index(Extract(state): Extract<State>, caller: Caller, query: Query) -> Result<Response> {
    let (parents, tags) = (query.list("parent_id"), query.list("tags"));
    if parents.is_none() && tags.is_none() {
        caller.reaches(Access::Support)?;
    }
    let tags = tags.unwrap_or_default();
    let (page, items, total) = crud::list::<Zone>(&state, &query, |zone| {
        parents.as_ref().is_none_or(|parents| parents.contains(&zone.parent_id.as_deref().unwrap_or("root")))
            && tags.iter().all(|tag| zone.tags.iter().any(|other| other == tag))
    })
    .await?;
    if !query.flag("include_children_count") {
        return Ok(page.respond(&query, Zone::TABLE, &items, total));
    }
    let all = crud::all::<Zone>(&state).await?;
    let mut counted = Vec::with_capacity(items.len());
    for zone in &items {
        let mut body = crud::wire(zone)?;
        let children = all.iter().filter(|other| other.parent_id.as_deref() == Some(zone.id.as_str()));
        body.insert("children_count".into(), children.count().into());
        counted.push(body);
    }
    Ok(page.respond(&query, Zone::TABLE, &counted, total))
}

async fn tags(Extract(state): Extract<State>) -> Result<Response> {
    let zones = crud::all::<Zone>(&state).await?;
    let tags: std::collections::BTreeSet<&str> =
        zones.iter().flat_map(|zone| zone.tags.iter().map(String::as_str)).collect();
    Ok(json(StatusCode::OK, &tags))
}

async fn execute(
    Extract(state): Extract<State>,
    caller: Caller,
    Path((id, module, method)): Path<(String, String, String)>,
    Arguments(args): Arguments,
) -> Result<Response> {
    crud::show::<Zone>(&state, &id).await?;
    let (name, index) = exec::slug(&module);
    let mut found = crud::all::<System>(&state).await?;
    found.retain(|system| system.zones.contains(&id));
    crud::sort(&mut found);
    let calls = found.into_iter().map(|system| {
        let (state, caller) = (&state, &caller);
        let (name, method, args): (String, String, Box<RawValue>) =
            (name.clone(), method.clone(), args.clone());
        async move {
            let Some(module) = state.runtime().resolve(&system.id, &name, index) else {
                return (system.id, None);
            };
            let called = exec::call(state, caller, Target::Module(module.to_string()), method, args).await;
            (system.id, Some(called.is_ok()))
        }
    });
    let mut outcome = Outcome::default();
    let results: Vec<_> = stream::iter(calls).buffered(AT_ONCE).collect().await;
    for (system, succeeded) in results {
        match succeeded {
            Some(true) => outcome.success.push(system),
            Some(false) => outcome.failure.push(system),
            None => outcome.module_missing.push(system),
        }
    }
    Ok(json(StatusCode::OK, &outcome))
}
