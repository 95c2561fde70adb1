//! Metadata: named JSON of zones, systems and users, for front ends. Not inherited.

use std::collections::BTreeMap;

use axum::{
    extract::{Path, State as Extract},
    http::StatusCode,
    response::Response,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{ToSchema, openapi::schema::Type};

use crate::{
    api::{
        State,
        auth::{Access, Caller, keys::ApiKey},
        crud,
        draft::{self, Draft, Lock},
        endpoint::{Endpoint, delete, get, patch, put},
        error::{Error, Result},
        http::{
            body::{Object, word},
            empty, json as respond, page,
            page::Page,
            query::Query,
        },
        now,
    },
    model::{self, Failure, Kind, Resource, System, Zone},
};

const SCOPE: &[&str] = &["metadata"];
const TABLE: &str = "metadata";

pub(super) fn endpoints() -> Vec<Endpoint> {
    let parent = "/api/engine/v2/metadata/{id}";
    let name = |endpoint: Endpoint| endpoint.query("name", Type::String, "Only that of this name.");
    vec![
        name(get(parent, index))
            .takes(Access::User, SCOPE)
            .says("The metadata of a zone, system or user, by name.")
            .gives::<BTreeMap<String, Metadata>>(StatusCode::OK, "By name; empty if there is none"),
        put(parent, replace)
            .takes(Access::User, SCOPE)
            .says("Creates metadata, or replaces its details.")
            .body::<Metadata>()
            .gives::<Metadata>(StatusCode::OK, "The metadata as it is now"),
        patch(parent, merge)
            .takes(Access::User, SCOPE)
            .says("Creates metadata, or merges into its details (JSON merge patch).")
            .body::<Metadata>()
            .gives::<Metadata>(StatusCode::OK, "The metadata as it is now"),
        patch("/api/engine/v2/metadata/{id}/name", rename)
            .takes(Access::User, SCOPE)
            .says("Renames metadata: `current_name` to `new_name`.")
            .body::<Value>()
            .gives::<Metadata>(StatusCode::OK, "The metadata as it is now"),
        delete(parent, destroy)
            .takes(Access::User, SCOPE)
            .says("Deletes metadata.")
            .query("name", Type::String, "Of this name; required.")
            .ends(StatusCode::ACCEPTED, "Deleted"),
        name(get("/api/engine/v2/metadata/{id}/children", children))
            .takes(Access::User, SCOPE)
            .says("The children of a zone, each with its metadata.")
            .gives::<Value>(StatusCode::OK, "`zone` and `metadata` of each"),
        name(get("/api/engine/v2/metadata/{id}/history", history))
            .takes(Access::User, SCOPE)
            .says("The versions of metadata that are kept, newest first, by name.")
            .query("limit", Type::Integer, "So many; 100 if not given.")
            .query("offset", Type::Integer, "Versions before the page.")
            .gives::<BTreeMap<String, Vec<Metadata>>>(StatusCode::OK, "By name"),
        get("/api/engine/v2/metadata/{id}/bulk", bulk)
            .takes(Access::User, SCOPE)
            .says("The metadata of this name (in the path) of several parents.")
            .query("parent_ids", Type::String, "Parents, separated by commas.")
            .gives::<Value>(StatusCode::OK, "By parent; null where there is none"),
        name(get("/api/engine/v2/zones/{id}/metadata", index))
            .takes(Access::User, &["zones"])
            .says("The metadata of a zone, by name.")
            .gives::<BTreeMap<String, Metadata>>(StatusCode::OK, "By name"),
        name(get("/api/engine/v2/systems/{id}/metadata", index))
            .takes(Access::Support, &["systems"])
            .says("The metadata of a system, by name.")
            .gives::<BTreeMap<String, Metadata>>(StatusCode::OK, "By name"),
        name(get("/api/engine/v2/users/{id}/metadata", index))
            .takes(Access::User, &["users"])
            .says("The metadata of a user, by name.")
            .gives::<BTreeMap<String, Metadata>>(StatusCode::OK, "By name"),
    ]
}

/// Named JSON of a zone, system or user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct Metadata {
    /// Not shown: metadata is addressed by parent and name.
    #[schema(ignore)]
    id: String,
    name: String,
    description: String,
    /// Any JSON.
    details: Value,
    parent_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_id: Option<String>,
    /// Roles that may change it beside support.
    editors: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified_by_id: Option<String>,
    /// Unix seconds.
    created_at: i64,
    /// Unix seconds.
    updated_at: i64,
}

impl Resource for Metadata {
    const KIND: Kind = Kind::Metadata;
    const PREFIX: &'static str = "metadata";
    const WRITABLE: &'static [&'static str] = &["name", "description", "details"];
    const REQUIRED: &'static [&'static str] = &[];

    fn id(&self) -> &str {
        &self.id
    }

    fn stamp(&mut self, id: String, created_at: i64, updated_at: i64) {
        self.id = id;
        self.created_at = created_at;
        self.updated_at = updated_at;
    }

    fn validate(&self) -> Vec<Failure> {
        if self.name.trim().is_empty() { vec![Failure::new("name", model::REQUIRED)] } else { Vec::new() }
    }
}

/// Deletes the metadata of these parents.
pub(super) async fn remove_of(draft: &mut Draft, parents: &[&str]) -> Result<()> {
    for metadata in draft.all::<Metadata>(|item| parents.contains(&item.parent_id.as_str())).await? {
        draft.delete::<Metadata>(&metadata.id);
    }
    Ok(())
}

fn wire(metadata: &Metadata) -> Result<Map<String, Value>> {
    let mut body = crud::wire(metadata)?;
    body.shift_remove("id");
    Ok(body)
}

/// The metadata of a parent, by name.
async fn map(state: &State, parent: &str, name: Option<&str>) -> Result<BTreeMap<String, Value>> {
    let mut found = BTreeMap::new();
    for item in crud::all::<Metadata>(state).await? {
        if item.parent_id == parent && name.is_none_or(|name| item.name == name) {
            found.insert(item.name.clone(), Value::Object(wire(&item)?));
        }
    }
    Ok(found)
}

async fn index(Extract(state): Extract<State>, Path(id): Path<String>, query: Query) -> Result<Response> {
    Ok(respond(StatusCode::OK, &map(&state, &id, query.text("name")).await?))
}

async fn children(Extract(state): Extract<State>, Path(id): Path<String>, query: Query) -> Result<Response> {
    let mut zones = crud::all::<Zone>(&state).await?;
    zones.retain(|zone| zone.parent_id.as_deref() == Some(id.as_str()));
    crud::sort(&mut zones);
    let mut found = Vec::with_capacity(zones.len());
    for zone in zones {
        let metadata = map(&state, &zone.id, query.text("name")).await?;
        found.push(json!({"zone": zone, "metadata": metadata}));
    }
    Ok(page::whole(TABLE, &found))
}

async fn bulk(Extract(state): Extract<State>, Path(name): Path<String>, query: Query) -> Result<Response> {
    let parents =
        query.list("parent_ids").ok_or(Error::Missing { parameter: "parent_ids", restriction: "String" })?;
    let mut found: Map<String, Value> = parents.iter().map(|id| ((*id).to_owned(), Value::Null)).collect();
    for item in crud::all::<Metadata>(&state).await? {
        if item.name == name
            && let Some(place) = found.get_mut(&item.parent_id)
        {
            *place = Value::Object(wire(&item)?);
        }
    }
    Ok(respond(StatusCode::OK, &found))
}

async fn history(Extract(state): Extract<State>, Path(id): Path<String>, query: Query) -> Result<Response> {
    let page = Page::of(&query)?;
    let mut found = Map::new();
    let (mut most, mut longest) = (0, 0);
    for item in crud::all::<Metadata>(&state).await? {
        if item.parent_id != id || query.text("name").is_some_and(|name| item.name != name) {
            continue;
        }
        let (total, versions) =
            state.store().history(Kind::Metadata, &item.id, page.limit, page.offset).await?;
        let bodies = versions.iter().filter_map(|version| version.body.as_deref());
        let versions: Vec<Map<String, Value>> = bodies
            .filter_map(|body| serde_json::from_str(body).ok())
            .map(|item| wire(&item))
            .collect::<Result<_>>()?;
        most = most.max(total);
        longest = longest.max(versions.len());
        found.insert(item.name.clone(), json!(versions));
    }
    let mut response = respond(StatusCode::OK, &found);
    page::set_counts(&mut response, TABLE, page.offset, page.offset + longest, most);
    Ok(response)
}

async fn replace(
    Extract(state): Extract<State>,
    caller: Caller,
    Path(id): Path<String>,
    Object(body): Object,
) -> Result<Response> {
    write(&state, &caller, &id, &body, |_, new| new).await
}

async fn merge(
    Extract(state): Extract<State>,
    caller: Caller,
    Path(id): Path<String>,
    Object(body): Object,
) -> Result<Response> {
    write(&state, &caller, &id, &body, |old, new| {
        let mut details = old;
        merge_patch(&mut details, new);
        details
    })
    .await
}

/// JSON merge patch, RFC 7396.
fn merge_patch(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(target) = target.as_object_mut() else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.shift_remove(&key);
        } else {
            merge_patch(target.entry(key).or_insert(Value::Null), value);
        }
    }
}

async fn write(
    state: &State,
    caller: &Caller,
    parent: &str,
    body: &Map<String, Value>,
    details: impl Fn(Value, Value) -> Value,
) -> Result<Response> {
    let object = Object(body.clone());
    let (name, description) =
        (object.require("name")?.trim().to_owned(), object.require("description")?.to_owned());
    let given = body.get("details").cloned();
    let given = given.ok_or_else(|| Error::BadRequest("the body must have 'details'".into()))?;
    may_write(caller, parent)?;
    let (name, description, given, details) = (&name, &description, &given, &details);
    let (metadata, _) = draft::write(state, Lock::Exclusive, |mut draft| async move {
        require_parent(&mut draft, caller, parent).await?;
        let mut found =
            draft.holding::<Metadata>(parent, |item| item.parent_id == parent && item.name == *name).await?;
        let mut metadata = found.pop().unwrap_or_else(|| Metadata {
            id: model::id::new(Metadata::PREFIX),
            parent_id: parent.to_owned(),
            created_at: now(),
            ..Metadata::default()
        });
        metadata.name.clone_from(name);
        metadata.description.clone_from(description);
        metadata.details = details(std::mem::take(&mut metadata.details), given.clone());
        if caller.is_support() {
            if let Some(editors) = body.get("editors").filter(|editors| !editors.is_null()) {
                metadata.editors = serde_json::from_value(editors.clone()).map_err(|_| {
                    Error::BadRequest(format!("'editors' must be a list of strings, not {}", word(editors)))
                })?;
            }
            match body.get("schema_id") {
                Some(Value::String(id)) => metadata.schema_id = Some(id.clone()),
                Some(Value::Null) => metadata.schema_id = None,
                _ => {}
            }
        }
        metadata.modified_by_id = Some(caller.user_id.clone());
        metadata.updated_at = now();
        let failures = metadata.validate();
        if !failures.is_empty() {
            return Err(Error::Invalid(failures));
        }
        draft.put(&metadata)?;
        Ok((draft, metadata))
    })
    .await?;
    Ok(respond(StatusCode::OK, &wire(&metadata)?))
}

/// Support may write any; others their own user's.
fn may_write(caller: &Caller, parent: &str) -> Result<()> {
    if caller.is_support() || caller.user_id == parent { Ok(()) } else { Err(Error::Forbidden) }
}

async fn require_parent(draft: &mut Draft, caller: &Caller, parent: &str) -> Result<()> {
    let prefix = parent.split_once('-').map_or("", |(prefix, _)| prefix);
    let there = match prefix {
        "zone" => draft.find::<Zone>(parent).await?.is_some(),
        "sys" => draft.find::<System>(parent).await?.is_some(),
        "user" if parent == caller.user_id => true,
        // Users are those that API keys act for.
        "user" => !draft.all::<ApiKey>(|key| key.user_id == parent).await?.is_empty(),
        _ => false,
    };
    if there { Ok(()) } else { Err(Error::invalid("parent_id", "must reference an existing model")) }
}

async fn rename(
    Extract(state): Extract<State>,
    caller: Caller,
    Path(id): Path<String>,
    object: Object,
) -> Result<Response> {
    may_write(&caller, &id)?;
    let (from, to) = (object.require("current_name")?, object.require("new_name")?.trim());
    if to.is_empty() {
        return Err(Error::invalid("name", model::REQUIRED));
    }
    let (id, caller) = (&id, &caller);
    let (metadata, _) = draft::write(&state, Lock::Exclusive, |mut draft| async move {
        let mut found = draft.holding::<Metadata>(id, |item| item.parent_id == *id).await?;
        let twin = from != to && found.iter().any(|item| item.name == to);
        found.retain(|item| item.name == from);
        let mut metadata =
            found.pop().ok_or_else(|| Error::NotFound(format!("{id} has no metadata {from}")))?;
        if twin {
            return Err(Error::invalid("name", model::UNIQUE));
        }
        metadata.name = to.to_owned();
        metadata.modified_by_id = Some(caller.user_id.clone());
        metadata.updated_at = now();
        draft.put(&metadata)?;
        Ok((draft, metadata))
    })
    .await?;
    Ok(respond(StatusCode::OK, &wire(&metadata)?))
}

async fn destroy(
    Extract(state): Extract<State>,
    caller: Caller,
    Path(id): Path<String>,
    query: Query,
) -> Result<Response> {
    may_write(&caller, &id)?;
    let name = query.require("name")?;
    let id = &id;
    draft::write(&state, Lock::Exclusive, |mut draft| async move {
        let found = draft.holding::<Metadata>(id, |item| item.parent_id == *id && item.name == name).await?;
        if found.is_empty() {
            return Err(Error::NotFound(format!("{id} has no metadata {name}")));
        }
        for item in found {
            draft.delete::<Metadata>(&item.id);
        }
        Ok((draft, ()))
    })
    .await?;
    Ok(empty(StatusCode::ACCEPTED))
}
