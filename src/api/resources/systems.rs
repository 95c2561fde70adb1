//! Systems: create, show, change, delete, and which modules are in them.

use axum::{
    extract::{Path, State as Extract},
    http::StatusCode,
    response::Response,
};
use serde_json::{Map, Value};
use utoipa::openapi::schema::Type;

use super::{modules, plain, zones};
use crate::{
    api::{
        State,
        auth::{Access, Caller},
        crud::{self, Managed},
        draft::{self, Draft, Lock},
        endpoint::{Endpoint, delete, get, patch, post, put},
        error::{Error, Result},
        http::{body::Object, json, page, query::Query},
    },
    model::{Failure, Module, System, Zone},
};

pub(super) const SCOPE: &[&str] = &["systems"];

pub(super) fn endpoints() -> Vec<Endpoint> {
    let both = "/api/engine/v2/systems/{id}";
    vec![
        get("/api/engine/v2/systems", index)
            .takes(Access::User, SCOPE)
            .says("Lists systems.")
            .paged()
            .query("zone_id", Type::String, "Zones, separated by commas, that must all be the system's.")
            .query("module_id", Type::String, "A module that must be in the system.")
            .query("features", Type::String, "Features, separated by commas, that it must all have.")
            .query("email", Type::String, "Addresses, separated by commas, of which it must have one.")
            .query("capacity", Type::Integer, "At least so many people.")
            .query("bookable", Type::Boolean, "Only bookable systems, or only others.")
            .query("public", Type::Boolean, "Only public systems.")
            .lists::<System>(StatusCode::OK, "A page of systems"),
        get("/api/engine/v2/systems/with_emails", with_emails)
            .takes(Access::User, SCOPE)
            .says("The systems that have one of these e-mail addresses.")
            .query("in", Type::String, "Addresses, separated by commas.")
            .lists::<System>(StatusCode::OK, "The systems"),
        post("/api/engine/v2/systems", plain::create::<System>)
            .takes(Access::Support, SCOPE)
            .says("Creates a system.")
            .body::<System>()
            .gives::<System>(StatusCode::CREATED, "The new system"),
        get(both, show)
            .takes(Access::User, SCOPE)
            .says("Shows a system, by its id or e-mail address.")
            .query("complete", Type::Boolean, "With its zones and modules.")
            .gives::<System>(StatusCode::OK, "The system"),
        patch(both, update)
            .takes(Access::Support, SCOPE)
            .says("Changes a system.")
            .query("version", Type::Integer, "The version that the change is based on; required.")
            .body::<System>()
            .gives::<System>(StatusCode::OK, "The system as it is now"),
        put(both, update)
            .takes(Access::Support, SCOPE)
            .says("Changes a system; the same as PATCH.")
            .query("version", Type::Integer, "The version that the change is based on; required.")
            .body::<System>()
            .gives::<System>(StatusCode::OK, "The system as it is now"),
        delete(both, plain::destroy::<System>)
            .takes(Access::Admin, SCOPE)
            .says("Deletes a system, with its settings, its metadata and the modules that are in no other system.")
            .ends(StatusCode::ACCEPTED, "Deleted"),
        get("/api/engine/v2/systems/{id}/zones", show_zones)
            .takes(Access::Support, SCOPE)
            .says("The zones of a system, in its order.")
            .lists::<Zone>(StatusCode::OK, "The zones"),
        put("/api/engine/v2/systems/{id}/module/{module_id}", add_module)
            .takes(Access::Admin, SCOPE)
            .says("Puts a module into a system, at the end.")
            .gives::<System>(StatusCode::OK, "The system as it is now"),
        delete("/api/engine/v2/systems/{id}/module/{module_id}", remove_module)
            .takes(Access::Admin, SCOPE)
            .says("Takes a module out of a system, and deletes it if it is in no other.")
            .gives::<System>(StatusCode::ACCEPTED, "The system as it is now"),
    ]
}

impl Managed for System {
    const TABLE: &'static str = "sys";
    const LOCK: Lock = Lock::Exclusive;
    const UNIQUE: &'static str = "name";

    fn telltale(&self) -> &str {
        &self.name
    }

    fn searched(&self) -> Vec<&str> {
        let optional = [&self.display_name, &self.code, &self.r#type, &self.email];
        let mut fields = vec![self.name.as_str(), &self.description, &self.id];
        fields.extend(optional.into_iter().flatten().map(String::as_str));
        fields.extend(self.features.iter().map(String::as_str));
        fields
    }

    fn order(&self) -> (&str, &str) {
        (&self.name, "")
    }

    async fn prepare(draft: &mut Draft, before: Option<&Self>, after: &mut Self) -> Result<Vec<Failure>> {
        after.version = before.map_or(0, |before| before.version + 1);
        let mut known = Vec::with_capacity(after.modules.len());
        for id in std::mem::take(&mut after.modules) {
            let there = before.is_some_and(|before| before.modules.contains(&id));
            if !known.contains(&id) && (there || draft.find::<Module>(&id).await?.is_some()) {
                known.push(id);
            }
        }
        after.modules = known;
        let mut failures = Vec::new();
        for id in &after.zones {
            let there = before.is_some_and(|before| before.zones.contains(id));
            if !there && draft.find::<Zone>(id).await?.is_none() {
                failures
                    .push(Failure::new("zones", format!("must reference existing zones: there is no {id}")));
            }
        }
        Ok(failures)
    }

    async fn cascade(draft: &mut Draft, gone: &Self) -> Result<()> {
        super::settings::remove_of(draft, &[&gone.id]).await?;
        super::metadata::remove_of(draft, &[&gone.id]).await?;
        let others = draft.all::<System>(|_| true).await?;
        let kept = |id: &String| others.iter().any(|system| system.modules.contains(id));
        let orphans = draft
            .all::<Module>(|module| {
                let own = module.control_system_id.as_deref() == Some(gone.id.as_str());
                own || gone.modules.contains(&module.id) && !kept(&module.id)
            })
            .await?;
        modules::remove_all(draft, &orphans).await
    }
}

/// Marks a system as changed.
pub(super) fn bump(system: &mut System) {
    system.version += 1;
    system.updated_at = crate::api::now();
}

/// A system, by its id or e-mail address.
async fn find(state: &State, id: &str) -> Result<System> {
    if id.contains('@') {
        let email = id.to_lowercase();
        let found = crud::all::<System>(state).await?;
        return found
            .into_iter()
            .find(|system| system.email.as_deref() == Some(email.as_str()))
            .ok_or_else(|| Error::missing("system", id));
    }
    crud::show(state, id).await
}

fn has_email(system: &System, emails: &[&str]) -> bool {
    let own = system.email.as_deref();
    own.is_some_and(|own| emails.iter().any(|email| email.eq_ignore_ascii_case(own)))
}

async fn index(Extract(state): Extract<State>, query: Query) -> Result<Response> {
    let capacity = query.integer("capacity")?;
    let (bookable, public) = (query.tristate("bookable"), query.flag("public"));
    let module = query.text("module_id");
    let zones = query.list("zone_id").unwrap_or_default();
    let features = query.list("features").unwrap_or_default();
    let emails = query.list("email");
    let has = |list: &[String], item: &str| list.iter().any(|other| other == item);
    let (page, items, total) = crud::list::<System>(&state, &query, |system| {
        capacity.is_none_or(|least| system.capacity >= least)
            && bookable.is_none_or(|bookable| system.bookable == bookable)
            && (!public || system.public)
            && module.is_none_or(|id| has(&system.modules, id))
            && zones.iter().all(|id| has(&system.zones, id))
            && features.iter().all(|feature| has(&system.features, feature))
            && emails.as_ref().is_none_or(|emails| has_email(system, emails))
    })
    .await?;
    Ok(page.respond(&query, System::TABLE, &items, total))
}

async fn with_emails(Extract(state): Extract<State>, query: Query) -> Result<Response> {
    let emails = query.list("in").unwrap_or_default();
    let mut found = crud::all::<System>(&state).await?;
    found.retain(|system| has_email(system, &emails));
    crud::sort(&mut found);
    Ok(page::whole(System::TABLE, &found))
}

async fn show(
    Extract(state): Extract<State>,
    caller: Caller,
    Path(id): Path<String>,
    query: Query,
) -> Result<Response> {
    let system = find(&state, &id).await?;
    let mut body = crud::wire(&system)?;
    if query.flag("complete") {
        complete(&state, &caller, &system, &mut body).await?;
    }
    Ok(json(StatusCode::OK, &body))
}

async fn complete(
    state: &State,
    caller: &Caller,
    system: &System,
    body: &mut Map<String, Value>,
) -> Result<()> {
    let mut zones = Vec::new();
    for id in &system.zones {
        if let Ok(zone) = crud::show::<Zone>(state, id).await {
            zones.push(Value::Object(crud::wire(&zone)?));
        }
    }
    let mut list = Vec::new();
    for id in &system.modules {
        // A module whose driver is missing is left out.
        if let Ok(module) = crud::show::<Module>(state, id).await
            && let Some(module) = modules::with_driver(state, caller, &module).await?
        {
            list.push(Value::Object(module));
        }
    }
    body.insert("zone_data".into(), Value::Array(zones));
    body.insert("module_data".into(), Value::Array(list));
    Ok(())
}

async fn update(
    Extract(state): Extract<State>,
    Path(id): Path<String>,
    query: Query,
    Object(body): Object,
) -> Result<Response> {
    let missing = Error::Missing { parameter: "version", restriction: "Int32" };
    let version = query.integer("version")?.ok_or(missing)?;
    let (system, _) = crud::update::<System>(&state, &id, &body, |before, _| {
        if before.version == version {
            Ok(())
        } else {
            Err(Error::Conflict("Attempting to edit an old System version".into()))
        }
    })
    .await?;
    Ok(json(StatusCode::OK, &system))
}

async fn show_zones(Extract(state): Extract<State>, Path(id): Path<String>) -> Result<Response> {
    let system: System = crud::show(&state, &id).await?;
    Ok(page::whole(Zone::TABLE, &zones::of(&state, &system).await?))
}

async fn add_module(
    Extract(state): Extract<State>,
    Path((id, module)): Path<(String, String)>,
) -> Result<Response> {
    let (id, module) = (&id, &module);
    let (system, _) = draft::write(&state, Lock::Exclusive, |mut draft| async move {
        let mut system: System = draft.require(id).await?;
        draft.require::<Module>(module).await?;
        if !system.modules.contains(module) {
            system.modules.push(module.clone());
            bump(&mut system);
            draft.put(&system)?;
        }
        Ok((draft, system))
    })
    .await?;
    Ok(json(StatusCode::OK, &system))
}

async fn remove_module(
    Extract(state): Extract<State>,
    Path((id, module)): Path<(String, String)>,
) -> Result<Response> {
    let (id, module) = (&id, &module);
    let (system, _) = draft::write(&state, Lock::Exclusive, |mut draft| async move {
        let mut system: System = draft.require(id).await?;
        let gone: Module = draft.require(module).await?;
        if system.modules.contains(module) {
            system.modules.retain(|other| other != module);
            let name = gone.resolved_name();
            let mut same_name = false;
            for other in &system.modules {
                let other = draft.find::<Module>(other).await?;
                same_name |= other.is_some_and(|other| other.resolved_name() == name);
            }
            if !same_name {
                system.features.retain(|feature| feature != name);
            }
            bump(&mut system);
            draft.put(&system)?;
            if draft.holding::<System>(module, |other| other.modules.contains(module)).await?.is_empty() {
                modules::remove_all(&mut draft, &[gone]).await?;
            }
        }
        Ok((draft, system))
    })
    .await?;
    Ok(json(StatusCode::ACCEPTED, &system))
}
