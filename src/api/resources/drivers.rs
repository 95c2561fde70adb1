//! Drivers: create, show, change, delete, and whether they are built.

use axum::{
    extract::{Path, State as Extract},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use utoipa::openapi::schema::Type;

use super::{modules, plain, repository_git};
use crate::{
    api::{
        State,
        auth::Access,
        crud::{self, Managed},
        draft::{Draft, Lock},
        endpoint::{Endpoint, delete, get, patch, post, put},
        error::{Error, Result},
        http::{empty, json as respond, query::Query},
    },
    model::{Driver, Failure, Module, Repository, Role},
    runtime::{self, DriverView},
};

const SCOPE: &[&str] = &["drivers"];

pub(super) fn endpoints() -> Vec<Endpoint> {
    let one = "/api/engine/v2/drivers/{id}";
    vec![
        get("/api/engine/v2/drivers", index)
            .takes(Access::Support, SCOPE)
            .says("Lists drivers.")
            .paged()
            .query(
                "role",
                Type::String,
                "Of this role: its number, or ssh, device, service, websocket, logic.",
            )
            .query("update_available", Type::Boolean, "Only those with a newer commit, or only others.")
            .lists::<Driver>(StatusCode::OK, "A page of drivers"),
        post("/api/engine/v2/drivers", plain::create::<Driver>)
            .takes(Access::Admin, SCOPE)
            .says("Creates a driver, and starts to build it.")
            .body::<Driver>()
            .gives::<Driver>(StatusCode::CREATED, "The new driver"),
        get(one, show)
            .takes(Access::User, SCOPE)
            .says("Shows a driver; `build` says how far it is built.")
            .query("compilation_status", Type::Boolean, "With `compilation_status`; that is the default.")
            .gives::<Driver>(StatusCode::OK, "The driver"),
        patch(one, plain::update::<Driver>)
            .takes(Access::Admin, SCOPE)
            .says("Changes a driver; its modules follow.")
            .body::<Driver>()
            .gives::<Driver>(StatusCode::OK, "The driver as it is now"),
        put(one, plain::update::<Driver>)
            .takes(Access::Admin, SCOPE)
            .says("Changes a driver; the same as PATCH.")
            .body::<Driver>()
            .gives::<Driver>(StatusCode::OK, "The driver as it is now"),
        delete(one, plain::destroy::<Driver>)
            .takes(Access::Admin, SCOPE)
            .says("Deletes a driver with its modules and settings.")
            .ends(StatusCode::ACCEPTED, "Deleted"),
        get("/api/engine/v2/drivers/{id}/readme", readme)
            .takes(Access::Support, SCOPE)
            .says("The README beside the driver's Cargo.toml, at its commit.")
            .gives::<String>(StatusCode::OK, "Markdown, as a JSON string"),
        get("/api/engine/v2/drivers/{id}/compiled", compiled)
            .takes(Access::Support, SCOPE)
            .says("Is it built?")
            .ends(StatusCode::OK, "Built")
            .gives::<Value>(StatusCode::SERVICE_UNAVAILABLE, "`compilation_output`: the last build failed"),
        post("/api/engine/v2/drivers/{id}/recompile", recompile)
            .takes(Access::Admin, SCOPE)
            .says("Builds it again, and runs the result.")
            .ends(StatusCode::OK, "The text `OK`")
            .gives::<Value>(StatusCode::UNPROCESSABLE_ENTITY, "`compilation_output`: the build failed"),
        post("/api/engine/v2/drivers/{id}/reload", reload)
            .takes(Access::Admin, SCOPE)
            .says("Makes sure that its modules run what is built, building it if need be.")
            .ends(StatusCode::OK, "The text `OK`")
            .gives::<Value>(StatusCode::UNPROCESSABLE_ENTITY, "`compilation_output`: the build failed"),
    ]
}

impl Managed for Driver {
    const TABLE: &'static str = "driver";
    const LOCK: Lock = Lock::Shared;

    fn searched(&self) -> Vec<&str> {
        let mut fields =
            vec![self.name.as_str(), &self.module_name, &self.file_name, &self.description, &self.id];
        fields.extend(self.default_uri.as_deref());
        fields
    }

    fn order(&self) -> (&str, &str) {
        (&self.name, "")
    }

    async fn prepare(draft: &mut Draft, before: Option<&Self>, after: &mut Self) -> Result<Vec<Failure>> {
        let repository = draft.find::<Repository>(&after.repository_id).await?;
        Ok(after.validate_references(repository.as_ref(), before))
    }

    async fn effects(draft: &mut Draft, before: Option<&Self>, after: &mut Self) -> Result<()> {
        let same = before.is_none_or(|before| {
            before.module_name == after.module_name && before.role.number() == after.role.number()
        });
        if same {
            return Ok(());
        }
        for mut module in draft.all::<Module>(|module| module.driver_id == after.id).await? {
            module.adopt(after);
            module.updated_at = crate::api::now();
            draft.put(&module)?;
        }
        Ok(())
    }

    async fn cascade(draft: &mut Draft, gone: &Self) -> Result<()> {
        remove_with_modules(draft, &[&gone.id]).await
    }
}

/// What goes with drivers: their modules and settings.
pub(super) async fn remove_with_modules(draft: &mut Draft, drivers: &[&str]) -> Result<()> {
    super::settings::remove_of(draft, drivers).await?;
    let gone = draft.all::<Module>(|module| drivers.contains(&module.driver_id.as_str())).await?;
    modules::remove_all(draft, &gone).await
}

async fn index(Extract(state): Extract<State>, query: Query) -> Result<Response> {
    let role = match query.text("role") {
        None => None,
        Some(text) => {
            let number = text.parse().ok().and_then(Role::from_number);
            let refused = || Error::Parameter { parameter: "role".into(), restriction: "Role" };
            Some(number.or_else(|| Role::from_name(text)).ok_or_else(refused)?)
        }
    };
    let update = query.tristate("update_available");
    let (page, items, total) = crud::list::<Driver>(&state, &query, |driver| {
        role.is_none_or(|role| driver.role == role)
            && update.is_none_or(|update| driver.update_available == update)
    })
    .await?;
    Ok(page.respond(&query, Driver::TABLE, &items, total))
}

async fn show(Extract(state): Extract<State>, Path(id): Path<String>, query: Query) -> Result<Response> {
    let driver: Driver = crud::show(&state, &id).await?;
    let mut body = crud::wire(&driver)?;
    let view = state.runtime().driver(&id);
    if query.tristate("compilation_status") != Some(false) {
        let compiled = view.as_ref().is_some_and(|view| view.compiled);
        body.insert("compilation_status".into(), json!({super::cluster::NODE: compiled}));
    }
    if let Some(view) = view {
        // The document is written a moment after the build has failed or succeeded.
        match &view.output {
            Some(output) => body.insert("compilation_output".into(), output.as_str().into()),
            None => body.remove("compilation_output"),
        };
        if let Ok(view) = serde_json::to_value(view) {
            body.insert("build".into(), view);
        }
    }
    Ok(respond(StatusCode::OK, &body))
}

async fn readme(Extract(state): Extract<State>, Path(id): Path<String>) -> Result<Response> {
    let driver: Driver = crud::show(&state, &id).await?;
    let source = repository_git::source(&state, &driver.repository_id).await?;
    let text = state.repositories().readme(&source, &driver.commit, &driver.file_name).await;
    Ok(respond(StatusCode::OK, &text.map_err(repository_git::refusal)?))
}

async fn compiled(Extract(state): Extract<State>, Path(id): Path<String>) -> Result<Response> {
    crud::show::<Driver>(&state, &id).await?;
    let view = state.runtime().driver(&id).unwrap_or_default();
    match view.output {
        // Also while what was built before runs on: whoever asked for this commit must see why it does not.
        Some(output) if !view.building => {
            Err(Error::Other(StatusCode::SERVICE_UNAVAILABLE, json!({"compilation_output": output})))
        }
        None if view.compiled && !view.building => Ok(empty(StatusCode::OK)),
        _ => Err(Error::NotFound(format!("{id} is not built yet"))),
    }
}

async fn recompile(Extract(state): Extract<State>, Path(id): Path<String>) -> Result<Response> {
    compile(&state, &id, true).await
}

async fn reload(Extract(state): Extract<State>, Path(id): Path<String>) -> Result<Response> {
    compile(&state, &id, false).await
}

async fn compile(state: &State, id: &str, force: bool) -> Result<Response> {
    crud::show::<Driver>(state, id).await?;
    let time = std::time::Duration::from_millis(state.options().compile_timeout_ms);
    let view: DriverView = match tokio::time::timeout(time, state.runtime().compile(id, force)).await {
        Ok(Ok(view)) => view,
        Ok(Err(error)) => return Err(runtime_refusal(error)),
        Err(_) => {
            let what = format!("the build of {id} takes longer than {time:?} and goes on; see /compiled");
            return Err(Error::Timeout(what));
        }
    };
    match view.output {
        None => {
            let plain = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
            Ok((StatusCode::OK, plain, "OK").into_response())
        }
        Some(output) => Err(Error::Other(
            StatusCode::UNPROCESSABLE_ENTITY,
            json!({"error": "the build failed", "compilation_output": output}),
        )),
    }
}

/// What the runtime's refusals are on the wire.
pub(super) fn runtime_refusal(error: runtime::Error) -> Error {
    match error {
        runtime::Error::NotFound { .. } => Error::NotFound(error.to_string()),
        runtime::Error::Failed(_) => {
            Error::Other(StatusCode::UNPROCESSABLE_ENTITY, json!({"error": error.to_string()}))
        }
        runtime::Error::Stopping => Error::Unavailable(error.to_string()),
    }
}
