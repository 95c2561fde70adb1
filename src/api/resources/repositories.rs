//! Repositories: create, show, change, delete, pull.

use axum::{
    extract::{Path, State as Extract},
    http::StatusCode,
    response::Response,
};
use serde_json::{Value, json};

use super::{drivers, plain};
use crate::{
    api::{
        State,
        auth::Access,
        crud::{self, Managed},
        draft::{Draft, Lock},
        endpoint::{Endpoint, delete, get, patch, post, put},
        error::{Error, Result},
        http::{json as respond, query::Query},
    },
    model::{Driver, Failure, Repository},
    secrets::{fields, is_sealed},
};

pub(super) const SCOPE: &[&str] = &["repositories"];

pub(super) fn endpoints() -> Vec<Endpoint> {
    let one = "/api/engine/v2/repositories/{id}";
    vec![
        get("/api/engine/v2/repositories", index)
            .takes(Access::Support, SCOPE)
            .says("Lists repositories.")
            .paged()
            .lists::<Repository>(StatusCode::OK, "A page of repositories"),
        post("/api/engine/v2/repositories", plain::create::<Repository>)
            .takes(Access::Admin, SCOPE)
            .says("Creates a repository, and starts to fetch it.")
            .body::<Repository>()
            .gives::<Repository>(StatusCode::CREATED, "The new repository"),
        get(one, plain::show::<Repository>)
            .takes(Access::Support, SCOPE)
            .says("Shows a repository; password and key are never in the clear.")
            .gives::<Repository>(StatusCode::OK, "The repository"),
        patch(one, plain::update::<Repository>)
            .takes(Access::Admin, SCOPE)
            .says("Changes a repository.")
            .body::<Repository>()
            .gives::<Repository>(StatusCode::OK, "The repository as it is now"),
        put(one, plain::update::<Repository>)
            .takes(Access::Admin, SCOPE)
            .says("Changes a repository; the same as PATCH.")
            .body::<Repository>()
            .gives::<Repository>(StatusCode::OK, "The repository as it is now"),
        delete(one, plain::destroy::<Repository>)
            .takes(Access::Admin, SCOPE)
            .says("Deletes a repository with its drivers and their modules.")
            .ends(StatusCode::ACCEPTED, "Deleted"),
        post("/api/engine/v2/repositories/{id}/pull", pull)
            .takes(Access::Admin, SCOPE)
            .says("Fetches a repository, and says which commit is in use now.")
            .gives::<Value>(StatusCode::OK, "`commit_hash`")
            .gives::<Value>(StatusCode::REQUEST_TIMEOUT, "It takes longer, and goes on"),
    ]
}

impl Managed for Repository {
    const TABLE: &'static str = "repo";
    const LOCK: Lock = Lock::Exclusive;
    const UNIQUE: &'static str = "folder_name";

    fn clashes(&self, other: &Self) -> bool {
        self.repo_type == other.repo_type && self.folder_name == other.folder_name
    }

    fn telltale(&self) -> &str {
        &self.folder_name
    }

    fn searched(&self) -> Vec<&str> {
        vec![&self.name, &self.folder_name, &self.uri, &self.description, &self.branch, &self.id]
    }

    fn order(&self) -> (&str, &str) {
        (&self.name, "")
    }

    async fn prepare(_: &mut Draft, before: Option<&Self>, after: &mut Self) -> Result<Vec<Failure>> {
        // What a client read sealed it may send back sealed; sealed text from elsewhere would not open here.
        let mut failures = Vec::new();
        let secrets = [
            ("password", before.and_then(|before| before.password.as_ref()), &mut after.password),
            ("key", before.and_then(|before| before.key.as_ref()), &mut after.key),
        ];
        for (field, before, after) in secrets {
            after.take_if(|text| text.is_empty());
            if after.as_ref().is_some_and(|text| is_sealed(text)) && after.as_ref() != before {
                failures.push(Failure::new(field, "is sealed for something else; give it in the clear"));
            }
        }
        Ok(failures)
    }

    async fn effects(draft: &mut Draft, _: Option<&Self>, after: &mut Self) -> Result<()> {
        fields::seal_repository(draft.state().vault(), after);
        Ok(())
    }

    async fn cascade(draft: &mut Draft, gone: &Self) -> Result<()> {
        let gone = draft.all::<Driver>(|driver| driver.repository_id == gone.id).await?;
        let ids: Vec<&str> = gone.iter().map(|driver| driver.id.as_str()).collect();
        for id in &ids {
            draft.delete::<Driver>(id);
        }
        drivers::remove_with_modules(draft, &ids).await
    }
}

async fn index(Extract(state): Extract<State>, query: Query) -> Result<Response> {
    let (page, items, total) = crud::list::<Repository>(&state, &query, |_| true).await?;
    Ok(page.respond(&query, Repository::TABLE, &items, total))
}

async fn pull(Extract(state): Extract<State>, Path(id): Path<String>) -> Result<Response> {
    crud::show::<Repository>(&state, &id).await?;
    let time = std::time::Duration::from_millis(state.options().pull_timeout_ms);
    // In a task of its own: a caller that goes away, or is told to come back, does not end the fetch.
    let runtime = state.runtime().clone();
    let pulling = tokio::spawn(async move { runtime.pull(&id).await });
    match tokio::time::timeout(time, pulling).await {
        Ok(Ok(pulled)) => {
            let commit = pulled.map_err(drivers::runtime_refusal)?;
            Ok(respond(StatusCode::OK, &json!({"commit_hash": commit})))
        }
        Ok(Err(error)) => Err(Error::Internal(format!("the pull ended early: {error}"))),
        Err(_) => Err(Error::Timeout(format!("the pull takes longer than {time:?}, and goes on"))),
    }
}
