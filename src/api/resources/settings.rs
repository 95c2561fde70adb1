//! Settings: create, show, change, delete. From level support on they are sealed at rest; who lacks the clearance
//! gets the sealed text, and the names of its keys.

use axum::{
    extract::{Path, State as Extract},
    http::StatusCode,
    response::Response,
};
use serde_json::{Map, Value};
use utoipa::openapi::schema::Type;

use super::{plain, settings_reads};
use crate::{
    api::{
        State,
        auth::{Access, Caller},
        crud::{self, Managed},
        draft::{Draft, Lock},
        endpoint::{Endpoint, delete, get, patch, post, put},
        error::{Error, Result},
        http::{body::Object, json, page, query::Query},
    },
    connections,
    model::{self, Driver, Failure, Kind, Module, Role, Settings, System, Zone, settings::ParentType},
    secrets::{fields, is_sealed},
    store::typed,
};

pub(super) const SCOPE: &[&str] = &["settings"];

pub(super) fn endpoints() -> Vec<Endpoint> {
    let one = "/api/engine/v2/settings/{id}";
    vec![
        get("/api/engine/v2/settings", index)
            .takes(Access::Support, SCOPE)
            .says("The settings of these parents, highest level first; without `parent_id`, a page of all.")
            .paged()
            .query("parent_id", Type::String, "Parents, separated by commas.")
            .lists::<Settings>(StatusCode::OK, "Settings"),
        post("/api/engine/v2/settings", create)
            .takes(Access::Admin, SCOPE)
            .says("Creates the settings of a parent at a level.")
            .body::<Settings>()
            .gives::<Settings>(StatusCode::CREATED, "The new settings"),
        get(one, show)
            .takes(Access::Support, SCOPE)
            .says("Shows settings.")
            .gives::<Settings>(StatusCode::OK, "The settings"),
        patch(one, update)
            .takes(Access::Admin, SCOPE)
            .says("Changes settings; the modules that have them get the new ones at once.")
            .body::<Settings>()
            .gives::<Settings>(StatusCode::OK, "The settings as they are now"),
        put(one, update)
            .takes(Access::Admin, SCOPE)
            .says("Changes settings; the same as PATCH.")
            .body::<Settings>()
            .gives::<Settings>(StatusCode::OK, "The settings as they are now"),
        delete(one, plain::destroy::<Settings>)
            .takes(Access::Admin, SCOPE)
            .says("Deletes settings.")
            .ends(StatusCode::ACCEPTED, "Deleted"),
        get("/api/engine/v2/settings/{id}/history", settings_reads::history)
            .takes(Access::Admin, SCOPE)
            .says("The versions of settings that are kept, newest first.")
            .query("limit", Type::Integer, "So many; 15 if not given.")
            .query("offset", Type::Integer, "Versions before the page.")
            .lists::<Settings>(StatusCode::OK, "Versions; `settings_id` is the id of the settings"),
    ]
}

impl Managed for Settings {
    const TABLE: &'static str = "sets";
    const LOCK: Lock = Lock::Exclusive;
    const UNIQUE: &'static str = "encryption_level";

    fn clashes(&self, other: &Self) -> bool {
        self.parent_id == other.parent_id && self.encryption_level == other.encryption_level
    }

    fn telltale(&self) -> &str {
        &self.parent_id
    }

    fn searched(&self) -> Vec<&str> {
        self.keys.iter().map(String::as_str).chain([self.id.as_str()]).collect()
    }

    fn order(&self) -> (&str, &str) {
        ("", "")
    }

    /// Works on the text in the clear: what a client read sealed and sends back is revealed first.
    async fn prepare(draft: &mut Draft, before: Option<&Self>, after: &mut Self) -> Result<Vec<Failure>> {
        let mut failures = Vec::new();
        if is_sealed(&after.settings_string) {
            match before.filter(|before| before.settings_string == after.settings_string) {
                Some(before) => after.settings_string = clear(draft.state(), before)?,
                None => failures.push(Failure::new(
                    "settings_string",
                    "is sealed for something else, or was sealed anew since; give it in the clear",
                )),
            }
        }
        let id = after.parent_id.clone();
        let moved = before.is_none_or(|before| before.parent_id != id);
        let mut role = None;
        let there = match ParentType::of(&id) {
            Some(ParentType::Driver) => {
                role = draft.find::<Driver>(&id).await?.map(|driver| driver.role);
                role.is_some()
            }
            Some(ParentType::Module) => {
                role = draft.find::<Module>(&id).await?.map(|module| module.role);
                role.is_some()
            }
            Some(ParentType::Zone) => draft.find::<Zone>(&id).await?.is_some(),
            Some(ParentType::ControlSystem) => draft.find::<System>(&id).await?.is_some(),
            // The model's own rules say so.
            None => true,
        };
        if moved && !there {
            failures.push(Failure::new("parent_id", "must reference an existing model"));
        }
        if role.is_some_and(|role| role != Role::Logic)
            && let Ok(mut values) = model::settings::parse(&after.settings_string)
            && let Err(why) = connections::Settings::read(values.remove(connections::SETTINGS_KEY))
        {
            failures.push(Failure::new("settings_string", why));
        }
        Ok(failures)
    }

    async fn effects(draft: &mut Draft, _: Option<&Self>, after: &mut Self) -> Result<()> {
        fields::seal_settings(draft.state().vault(), after);
        Ok(())
    }
}

/// The text in the clear, whoever asks.
pub(super) fn clear(state: &State, settings: &Settings) -> Result<String> {
    fields::reveal_settings(state.vault(), settings)
        .map_err(|error| Error::Internal(format!("settings {}: {error}", settings.id)))
}

/// Settings as a caller may see them.
pub(super) fn wire(state: &State, caller: &Caller, settings: &Settings) -> Result<Map<String, Value>> {
    let mut body = crud::wire(settings)?;
    if caller.sees(settings.encryption_level) {
        body.insert("settings_string".into(), clear(state, settings)?.into());
    }
    Ok(body)
}

/// Deletes the settings of these parents.
pub(super) async fn remove_of(draft: &mut Draft, parents: &[&str]) -> Result<()> {
    let parents: std::collections::HashSet<&str> = parents.iter().copied().collect();
    let only = if parents.len() == 1 { parents.iter().next().copied().unwrap_or_default() } else { "" };
    let of_them = |settings: &Settings| parents.contains(settings.parent_id.as_str());
    for settings in draft.holding::<Settings>(only, of_them).await? {
        draft.delete::<Settings>(&settings.id);
    }
    Ok(())
}

/// The settings of these parents, in no order.
pub(super) async fn of(state: &State, parents: &[String]) -> Result<Vec<Settings>> {
    let mut found = Vec::new();
    for document in state.store().list(Kind::Settings).await? {
        // Ids need no escapes in JSON.
        if !parents.iter().any(|parent| document.body.contains(parent.as_str())) {
            continue;
        }
        let settings: Settings = typed::decode(&document)?;
        if parents.contains(&settings.parent_id) {
            found.push(settings);
        }
    }
    Ok(found)
}

async fn index(Extract(state): Extract<State>, caller: Caller, query: Query) -> Result<Response> {
    let Some(parents) = query.list("parent_id") else {
        let (page, items, total) = crud::list::<Settings>(&state, &query, |_| true).await?;
        return Ok(page.respond(&query, Settings::TABLE, &items, total));
    };
    let parents: Vec<String> = parents.into_iter().map(str::to_owned).collect();
    let mut found = of(&state, &parents).await?;
    found.sort_by(|a, b| b.encryption_level.cmp(&a.encryption_level).then_with(|| a.id.cmp(&b.id)));
    let items = found.iter().map(|item| wire(&state, &caller, item)).collect::<Result<Vec<_>>>()?;
    Ok(page::whole(Settings::TABLE, &items))
}

async fn create(Extract(state): Extract<State>, caller: Caller, Object(body): Object) -> Result<Response> {
    let settings: Settings = crud::create_with(&state, &body, |settings: &mut Settings| {
        settings.modified_by_id = Some(caller.user_id.clone());
        Ok(())
    })
    .await?;
    Ok(json(StatusCode::CREATED, &wire(&state, &caller, &settings)?))
}

async fn show(Extract(state): Extract<State>, caller: Caller, Path(id): Path<String>) -> Result<Response> {
    let settings: Settings = crud::show(&state, &id).await?;
    Ok(json(StatusCode::OK, &wire(&state, &caller, &settings)?))
}

async fn update(
    Extract(state): Extract<State>,
    caller: Caller,
    Path(id): Path<String>,
    Object(body): Object,
) -> Result<Response> {
    let (settings, _) = crud::update::<Settings>(&state, &id, &body, |before, after| {
        // What nobody may see over the API does not become visible by being filed at a lower level.
        let hidden = !caller.sees(before.encryption_level) && is_sealed(&after.settings_string);
        if hidden && after.encryption_level < before.encryption_level {
            return Err(Error::invalid(
                "encryption_level",
                "can only be lowered with the settings in the clear",
            ));
        }
        after.modified_by_id = Some(caller.user_id.clone());
        Ok(())
    })
    .await?;
    Ok(json(StatusCode::OK, &wire(&state, &caller, &settings)?))
}
