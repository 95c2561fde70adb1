//! Modules: create, show, change, delete, with what the runtime says of them.

use std::collections::HashMap;

use axum::{
    extract::{Path, State as Extract},
    http::StatusCode,
    response::Response,
};
use serde_json::{Map, Value, json};
use utoipa::openapi::schema::Type;

use super::{plain, systems};
use crate::{
    api::{
        State,
        auth::{Access, Caller},
        crud::{self, Managed},
        draft::{Draft, Lock},
        endpoint::{Endpoint, delete, get, patch, post, put},
        error::Result,
        http::{
            body::Object,
            json as respond,
            page::{self, Page},
            query::Query,
            search::Search,
        },
    },
    model::{Driver, Failure, Module, Role, System},
};

const SCOPE: &[&str] = &["modules"];

pub(super) fn endpoints() -> Vec<Endpoint> {
    let one = "/api/engine/v2/modules/{id}";
    vec![
        get("/api/engine/v2/modules", index)
            .takes(Access::Support, SCOPE)
            .says("Lists modules.")
            .paged()
            .query(
                "control_system_id",
                Type::String,
                "The modules of this system, in its order, all at once.",
            )
            .query("driver_id", Type::String, "Of this driver.")
            .query("no_logic", Type::Boolean, "Without logic modules.")
            .query("running", Type::Boolean, "Only those that should run, or only others.")
            .query("as_of", Type::Integer, "Changed at or before this second.")
            .lists::<Module>(StatusCode::OK, "A page of modules"),
        post("/api/engine/v2/modules", create)
            .takes(Access::Support, SCOPE)
            .says("Creates a module. A logic module is put into its system.")
            .body::<Module>()
            .gives::<Module>(StatusCode::CREATED, "The new module"),
        get(one, show)
            .takes(Access::Support, SCOPE)
            .says("Shows a module; `runtime` says what it is doing, and why not.")
            .query("complete", Type::Boolean, "With its driver and its system.")
            .gives::<Module>(StatusCode::OK, "The module"),
        patch(one, update)
            .takes(Access::Support, SCOPE)
            .says("Changes a module.")
            .body::<Module>()
            .gives::<Module>(StatusCode::OK, "The module as it is now"),
        put(one, update)
            .takes(Access::Support, SCOPE)
            .says("Changes a module; the same as PATCH.")
            .body::<Module>()
            .gives::<Module>(StatusCode::OK, "The module as it is now"),
        delete(one, plain::destroy::<Module>)
            .takes(Access::Support, SCOPE)
            .says("Deletes a module, with its settings, and takes it out of its systems.")
            .ends(StatusCode::ACCEPTED, "Deleted"),
    ]
}

impl Managed for Module {
    const TABLE: &'static str = "mod";
    const LOCK: Lock = Lock::Shared;

    fn searched(&self) -> Vec<&str> {
        let mut fields = vec![self.name.as_str(), &self.ip, &self.uri, &self.notes, &self.id];
        fields.extend(self.custom_name.as_deref());
        fields
    }

    fn order(&self) -> (&str, &str) {
        (self.custom_name.as_deref().unwrap_or_default(), &self.name)
    }

    async fn prepare(draft: &mut Draft, before: Option<&Self>, after: &mut Self) -> Result<Vec<Failure>> {
        let driver = draft.find::<Driver>(&after.driver_id).await?;
        if let Some(driver) = &driver {
            after.adopt(driver);
            if before.is_none() && after.alert_level.is_none() {
                after.alert_level = Some(driver.alert_level.clone());
            }
        }
        let system = match &after.control_system_id {
            Some(id) => draft.find::<System>(id).await?.is_some(),
            None => false,
        };
        Ok(after.validate_references(driver.is_some(), system))
    }

    async fn effects(draft: &mut Draft, before: Option<&Self>, after: &mut Self) -> Result<()> {
        let moved = before.is_none_or(|before| before.control_system_id != after.control_system_id);
        let Some(id) = after.control_system_id.as_ref().filter(|_| moved && after.role == Role::Logic) else {
            return Ok(());
        };
        let mut system: System = draft.require(id).await?;
        if !system.modules.contains(&after.id) {
            system.modules.push(after.id.clone());
            systems::bump(&mut system);
            draft.put(&system)?;
        }
        Ok(())
    }

    async fn cascade(draft: &mut Draft, gone: &Self) -> Result<()> {
        remove_all(draft, std::slice::from_ref(gone)).await
    }
}

/// Deletes modules with their settings, and takes them out of their systems.
pub(super) async fn remove_all(draft: &mut Draft, gone: &[Module]) -> Result<()> {
    if gone.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = gone.iter().map(|module| module.id.as_str()).collect();
    let set: std::collections::HashSet<&str> = ids.iter().copied().collect();
    for id in &ids {
        draft.delete::<Module>(id);
    }
    super::settings::remove_of(draft, &ids).await?;
    let has_one = |system: &System| system.modules.iter().any(|id| set.contains(id.as_str()));
    let only = if let [id] = ids.as_slice() { id } else { "" };
    for mut system in draft.holding::<System>(only, has_one).await? {
        system.modules.retain(|id| !set.contains(id.as_str()));
        systems::bump(&mut system);
        draft.put(&system)?;
    }
    Ok(())
}

/// A module on the wire: with live `connected`, and what the runtime says of it.
pub(super) fn live(state: &State, module: &Module) -> Result<Map<String, Value>> {
    let mut body = crud::wire(module)?;
    let view = state.runtime().module(&module.id);
    let connected = !module.running || view.as_ref().is_some_and(|view| view.connected);
    body.insert("connected".into(), Value::Bool(connected));
    if let Some(view) = view
        && let Ok(Value::Object(mut view)) = serde_json::to_value(view)
    {
        view.shift_remove("id");
        let system = module.control_system_id.as_deref();
        if let Some(lacks) = system.and_then(|system| state.runtime().lacks(&module.id, system)) {
            view.insert("lacks".into(), json!(lacks));
        }
        body.insert("runtime".into(), Value::Object(view));
    }
    Ok(body)
}

/// A live module with its `driver`; `None` if that is missing.
pub(super) async fn with_driver(
    state: &State,
    _: &Caller,
    module: &Module,
) -> Result<Option<Map<String, Value>>> {
    let Ok(driver) = crud::show::<Driver>(state, &module.driver_id).await else { return Ok(None) };
    let mut body = live(state, module)?;
    body.insert("driver".into(), brief(&driver));
    Ok(Some(body))
}

fn brief(driver: &Driver) -> Value {
    json!({"name": driver.name, "description": driver.description, "module_name": driver.module_name})
}

async fn with_system(state: &State, module: &Module, body: &mut Map<String, Value>) -> Result<()> {
    if let Some(id) = &module.control_system_id
        && let Ok(system) = crud::show::<System>(state, id).await
    {
        let zones = super::zones::of(state, &system).await?;
        body.insert("control_system".into(), json!({"name": system.name, "zone_data": zones}));
    }
    Ok(())
}

async fn index(Extract(state): Extract<State>, caller: Caller, query: Query) -> Result<Response> {
    if let Some(id) = query.text("control_system_id") {
        let system: System = crud::show(&state, id).await?;
        let mut items = Vec::with_capacity(system.modules.len());
        for id in &system.modules {
            if let Ok(module) = crud::show::<Module>(&state, id).await
                && let Some(body) = with_driver(&state, &caller, &module).await?
            {
                items.push(body);
            }
        }
        return Ok(page::whole(Module::TABLE, &items));
    }
    let page = Page::of(&query)?;
    let search = Search::parse(query.get("q"));
    let (as_of, running) = (query.integer("as_of")?, query.tristate("running"));
    let (driver, no_logic) = (query.text("driver_id"), query.flag("no_logic"));
    let drivers: HashMap<String, Driver> =
        crud::all::<Driver>(&state).await?.into_iter().map(|driver| (driver.id.clone(), driver)).collect();
    let mut found = crud::all::<Module>(&state).await?;
    found.retain(|module| {
        let of_driver = drivers.get(&module.driver_id);
        driver.is_none_or(|id| module.driver_id == id)
            && !(no_logic && module.role == Role::Logic)
            && running.is_none_or(|running| module.running == running)
            && as_of.is_none_or(|at| module.updated_at <= at)
            && search.matches(
                module.searched().into_iter().chain(of_driver.map(Managed::searched).into_iter().flatten()),
            )
    });
    crud::sort(&mut found);
    let (found, total) = page.cut(found);
    let mut items = Vec::with_capacity(found.len());
    for module in &found {
        let mut body = live(&state, module)?;
        if let Some(driver) = drivers.get(&module.driver_id) {
            body.insert("driver".into(), brief(driver));
        }
        with_system(&state, module, &mut body).await?;
        items.push(body);
    }
    Ok(page.respond(&query, Module::TABLE, &items, total))
}

async fn create(Extract(state): Extract<State>, Object(body): Object) -> Result<Response> {
    let module: Module = crud::create(&state, &body).await?;
    Ok(respond(StatusCode::CREATED, &live(&state, &module)?))
}

async fn show(Extract(state): Extract<State>, Path(id): Path<String>, query: Query) -> Result<Response> {
    let module: Module = crud::show(&state, &id).await?;
    let mut body = live(&state, &module)?;
    body.insert("core_node".into(), super::cluster::NODE.into());
    if query.flag("complete") {
        if let Ok(driver) = crud::show::<Driver>(&state, &module.driver_id).await {
            body.insert("driver".into(), brief(&driver));
        }
        with_system(&state, &module, &mut body).await?;
    }
    Ok(respond(StatusCode::OK, &body))
}

async fn update(
    Extract(state): Extract<State>,
    caller: Caller,
    Path(id): Path<String>,
    Object(body): Object,
) -> Result<Response> {
    let (module, _) = crud::update::<Module>(&state, &id, &body, |_, _| Ok(())).await?;
    let shown = with_driver(&state, &caller, &module).await?;
    Ok(respond(StatusCode::OK, &shown.map_or_else(|| live(&state, &module), Ok)?))
}
