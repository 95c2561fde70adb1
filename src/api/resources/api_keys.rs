//! API keys: create, show, change, delete. The key itself is shown once, when it is made.

use axum::{
    extract::{Path, State as Extract},
    http::StatusCode,
    response::Response,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::plain;
use crate::{
    api::{
        State,
        auth::{Access, Caller, Permissions, keys::ApiKey},
        crud::{self, Managed},
        draft::Lock,
        endpoint::{Endpoint, delete, get, patch, post, put},
        error::{Error, Result},
        http::{body::Object, json as respond, query::Query},
        now,
    },
    secrets::key::Key,
};

const SCOPE: &[&str] = &["api_keys"];

pub(super) fn endpoints() -> Vec<Endpoint> {
    let one = "/api/engine/v2/api_keys/{id}";
    vec![
        get("/api/engine/v2/api_keys", index)
            .takes(Access::Admin, SCOPE)
            .says("Lists API keys; the keys themselves are not kept.")
            .paged()
            .lists::<Shown>(StatusCode::OK, "A page of API keys"),
        post("/api/engine/v2/api_keys", create)
            .takes(Access::Admin, SCOPE)
            .says("Creates an API key. Only this answer has the key itself, as `x_api_key`.")
            .body::<Shown>()
            .gives::<Shown>(StatusCode::CREATED, "The new API key"),
        get("/api/engine/v2/api_keys/inspect", inspect)
            .takes(Access::User, &[])
            .says("Who the caller is, and what it may do.")
            .gives::<Value>(StatusCode::OK, "Claims as of a token"),
        get(one, show)
            .takes(Access::Admin, SCOPE)
            .says("Shows an API key.")
            .gives::<Shown>(StatusCode::OK, "The API key"),
        patch(one, update)
            .takes(Access::Admin, SCOPE)
            .says("Changes an API key; who uses it is held to it at once.")
            .body::<Shown>()
            .gives::<Shown>(StatusCode::OK, "The API key as it is now"),
        put(one, update)
            .takes(Access::Admin, SCOPE)
            .says("Changes an API key; the same as PATCH.")
            .body::<Shown>()
            .gives::<Shown>(StatusCode::OK, "The API key as it is now"),
        delete(one, plain::destroy::<ApiKey>)
            .takes(Access::Admin, SCOPE)
            .says("Deletes an API key; it is refused at once.")
            .ends(StatusCode::ACCEPTED, "Deleted"),
    ]
}

/// An API key as it is shown.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
struct Shown {
    id: String,
    /// Unique; lower case.
    name: String,
    description: String,
    /// Whom it acts for.
    user_id: String,
    authority_id: &'static str,
    /// `public`, or `<resource>`, `<resource>.read`, `<resource>.write`.
    scopes: Vec<String>,
    /// `user`, `support`, `admin` or `admin_support`.
    #[schema(value_type = String)]
    permissions: Permissions,
    /// Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    /// Unix seconds.
    created_at: i64,
    /// Unix seconds.
    updated_at: i64,
    #[schema(value_type = Object)]
    user: Value,
    #[schema(value_type = Object)]
    authority: Value,
    /// The key itself: in the answer to its creation, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    x_api_key: Option<String>,
}

impl Managed for ApiKey {
    const TABLE: &'static str = "api_key";
    const LOCK: Lock = Lock::Exclusive;
    const UNIQUE: &'static str = "name";

    fn clashes(&self, other: &Self) -> bool {
        self.name == other.name
    }

    fn telltale(&self) -> &str {
        &self.name
    }

    fn searched(&self) -> Vec<&str> {
        vec![&self.name, &self.description, &self.id]
    }

    fn order(&self) -> (&str, &str) {
        (&self.name, "")
    }
}

fn shown(key: &ApiKey, full: Option<&Key>) -> Shown {
    Shown {
        id: key.id.clone(),
        name: key.name.clone(),
        description: key.description.clone(),
        user_id: key.user_id.clone(),
        authority_id: super::authority::ID,
        scopes: key.scopes.clone(),
        permissions: key.permissions,
        expires_at: key.expires_at,
        created_at: key.created_at,
        updated_at: key.updated_at,
        user: json!({"id": key.user_id, "name": key.name}),
        authority: json!({"id": super::authority::ID, "name": super::authority::NAME}),
        x_api_key: full.map(Key::expose),
    }
}

/// What the common rules do not read from a body: `permissions` and `ttl`.
fn apply(key: &mut ApiKey, body: &Map<String, Value>) -> Result<()> {
    if let Some(value) = body.get("permissions") {
        let none = || {
            Error::BadRequest("'permissions' must be 0 to 3, user, support, admin or admin_support".into())
        };
        key.permissions = Permissions::parse(value).ok_or_else(none)?;
    }
    if let Some(value) = body.get("ttl").filter(|value| !value.is_null()) {
        let none = || Error::BadRequest("'ttl' must be a positive number of seconds".into());
        let ttl = value.as_i64().filter(|ttl| *ttl > 0).ok_or_else(none)?;
        key.expires_at = Some(now().saturating_add(ttl));
    }
    Ok(())
}

async fn index(Extract(state): Extract<State>, query: Query) -> Result<Response> {
    let (page, items, total) = crud::list::<ApiKey>(&state, &query, |_| true).await?;
    let items: Vec<Shown> = items.iter().map(|key| shown(key, None)).collect();
    Ok(page.respond(&query, ApiKey::TABLE, &items, total))
}

async fn create(Extract(state): Extract<State>, caller: Caller, Object(body): Object) -> Result<Response> {
    let full = Key::mint();
    let user = match body.get("user_id") {
        None | Some(Value::Null) => caller.user_id.clone(),
        Some(Value::String(id)) if !id.trim().is_empty() => id.clone(),
        Some(_) => return Err(Error::BadRequest("'user_id' must be the id of a user".into())),
    };
    let key = crud::create_with(&state, &body, |key: &mut ApiKey| {
        key.id = full.id.clone();
        key.hash = full.hash();
        key.user_id = user.clone();
        apply(key, &body)
    })
    .await?;
    Ok(respond(StatusCode::CREATED, &shown(&key, Some(&full))))
}

async fn inspect(caller: Caller) -> Result<Response> {
    let claims = json!({
        "iss": "Headend",
        "iat": caller.issued_at,
        "exp": caller.expires_at.unwrap_or(i64::from(i32::MAX)),
        "jti": caller.key_id,
        "aud": super::authority::NAME,
        "sub": caller.user_id,
        "scope": caller.scopes,
        "u": {"n": caller.name, "e": super::users::email(&caller), "p": caller.permissions.number(), "r": []},
    });
    Ok(respond(StatusCode::OK, &claims))
}

async fn show(Extract(state): Extract<State>, Path(id): Path<String>) -> Result<Response> {
    let key: ApiKey = crud::show(&state, &id).await?;
    Ok(respond(StatusCode::OK, &shown(&key, None)))
}

async fn update(
    Extract(state): Extract<State>,
    Path(id): Path<String>,
    Object(body): Object,
) -> Result<Response> {
    let (key, _) = crud::update::<ApiKey>(&state, &id, &body, |_, key| apply(key, &body)).await?;
    Ok(respond(StatusCode::OK, &shown(&key, None)))
}
