//! Webhooks: services on the Internet call a driver's function, knowing its secret and nothing else.
//!
//! The secret of a function is derived from the vault's key and the module's id: nothing is stored, and it lasts as long as
//! the module and the key. Whoever does not know it learns nothing, not even whether there is such a module: 404, always.

use std::collections::BTreeMap;

use axum::{
    extract::{Path, State as Extract},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use drivers_sdk_protocol::manifest::{Function, Security};
use serde::{Deserialize, Serialize};
use serde_json::{json, value::to_raw_value};
use utoipa::{ToSchema, openapi::schema::Type};

use crate::{
    api::{
        State,
        auth::Access,
        crud,
        endpoint::{Endpoint, get, post},
        error::{Error, Result},
        http::{body::Whole, empty, json as respond, query::Query},
    },
    model::Module,
    runtime::{Exec, Target, exec},
};

/// The longest body a webhook takes, in bytes.
const LONGEST: usize = 256 * 1024;

/// Where a service may put the secret, if not into the query.
const SECRET_HEADER: &str = "x-webhook-secret";

/// Headers that are none of a driver's business.
const KEPT_BACK: [&str; 3] = ["cookie", "x-api-key", SECRET_HEADER];

pub(super) fn endpoints() -> Vec<Endpoint> {
    let path = "/api/engine/v2/modules/{id}/webhook/{function}";
    let public = |endpoint: Endpoint| {
        endpoint
            .takes(Access::Public, &[])
            .at_most(LONGEST)
            .query("secret", Type::String, "The secret; or in the header `X-Webhook-Secret`.")
            .gives::<serde_json::Value>(
                StatusCode::OK,
                "Whatever the function answers; it chooses the status too",
            )
            .ends(StatusCode::NOT_FOUND, "No such webhook, or not its secret")
            .ends(StatusCode::PAYLOAD_TOO_LARGE, "The body has more than 256 KiB")
            .ends(StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is no text in UTF-8")
            .ends(StatusCode::SERVICE_UNAVAILABLE, "The module does not run at this moment: try again")
    };
    vec![
        get("/api/engine/v2/modules/{id}/webhooks", index)
            .takes(Access::Admin, &["modules"])
            .says("The webhooks of a module, with their secrets.")
            .lists::<Shown>(StatusCode::OK, "Webhooks"),
        public(post(path, deliver).says("A service calls a webhook of a module.")),
        public(
            get(path, deliver).says("A service calls a webhook of a module, to verify that it is there say."),
        ),
    ]
}

/// A webhook, for whoever tells a service of it.
#[derive(Debug, Serialize, ToSchema)]
struct Shown {
    function: String,
    /// Markdown.
    description: String,
    secret: String,
    /// Path and query to be called, below the address at which the daemon is reached.
    path: String,
}

/// What the function gives: see `Function::webhook` of the protocol.
#[derive(Debug, Deserialize)]
struct Given {
    status: u16,
    #[serde(default)]
    content_type: String,
    #[serde(default)]
    body: String,
}

async fn index(Extract(state): Extract<State>, Path(id): Path<String>) -> Result<Response> {
    crud::show::<Module>(&state, &id).await?;
    let shown = |function: &Function| {
        let (name, secret) = (&function.name, state.vault().derive(&context(&id, &function.name)));
        Shown {
            path: format!("/api/engine/v2/modules/{id}/webhook/{name}?secret={secret}"),
            function: name.clone(),
            description: function.description.clone(),
            secret,
        }
    };
    let manifest = state.runtime().manifest(&id);
    let functions = manifest.iter().flat_map(|manifest| &manifest.functions);
    let webhooks: Vec<Shown> = functions.filter(|function| function.webhook).map(shown).collect();
    Ok(respond(StatusCode::OK, &webhooks))
}

/// What the secret is derived from.
fn context(module: &str, function: &str) -> String {
    format!("webhook/{module}/{function}")
}

async fn deliver(
    Extract(state): Extract<State>,
    Path((id, name)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
    query: Query,
    Whole(body): Whole,
) -> Result<Response> {
    let absent = || Error::NotFound("there is no such webhook, or this is not its secret".into());
    let header = headers.get(SECRET_HEADER).and_then(|value| value.to_str().ok());
    let secret = header.or_else(|| query.get("secret")).unwrap_or_default();
    if !state.vault().is_derived(secret, &context(&id, &name)) {
        return Err(absent());
    }
    let manifest = state.runtime().manifest(&id).ok_or_else(absent)?;
    if !manifest.functions.iter().any(|function| function.name == name && function.webhook) {
        return Err(absent());
    }
    let body = std::str::from_utf8(&body).map_err(|_| {
        let problem = json!({"error": "a webhook takes text in UTF-8"});
        Error::Other(StatusCode::UNSUPPORTED_MEDIA_TYPE, problem)
    })?;
    let query: BTreeMap<&str, &str> = query
        .pairs()
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .filter(|(key, _)| *key != "secret")
        .collect();
    let request =
        json!({"method": method.as_str(), "query": query, "headers": passed(&headers), "body": body});
    let args = to_raw_value(&[request]).map_err(|error| Error::Internal(error.to_string()))?;
    let request = Exec {
        target: Target::Module(id),
        function: name,
        args,
        user: None,
        clearance: Security::Administrator,
        deadline: Some(state.options().exec_timeout()),
    };
    match state.runtime().exec(request).await {
        Ok(reply) => answer(&reply.value),
        Err(error) => Err(refusal(&error)),
    }
}

/// The headers a driver is given.
fn passed(headers: &HeaderMap) -> BTreeMap<&str, String> {
    let mut passed: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in headers {
        if KEPT_BACK.contains(&name.as_str()) {
            continue;
        }
        let value = String::from_utf8_lossy(value.as_bytes());
        let all = passed.entry(name.as_str()).or_default();
        if !all.is_empty() {
            all.push_str(", ");
        }
        all.push_str(&value);
    }
    passed
}

fn answer(value: &[u8]) -> Result<Response> {
    let wrong =
        || Error::Other(StatusCode::BAD_GATEWAY, json!({"error": "the driver's answer is no response"}));
    let Given { status, content_type, body } = serde_json::from_slice(value).map_err(|_| wrong())?;
    let status =
        StatusCode::from_u16(status).ok().filter(|status| status.as_u16() >= 200).ok_or_else(wrong)?;
    let mut response = empty(status);
    *response.body_mut() = body.into();
    response.headers_mut().remove(header::CONTENT_TYPE);
    if !content_type.is_empty() {
        let content_type = HeaderValue::from_str(&content_type).map_err(|_| wrong())?;
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        // Whatever a driver answers, a browser is not to take it for a page of this server.
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let sandbox = HeaderValue::from_static("sandbox");
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, sandbox);
    }
    Ok(response)
}

/// A service is told the kind of failure, and not what a driver says to its own people.
fn refusal(error: &exec::Error) -> Error {
    let status = StatusCode::from_u16(error.status()).ok().filter(|status| status.as_u16() >= 400);
    let word = match error {
        exec::Error::Raised(failure) => failure.code.as_str(),
        exec::Error::BadRequest(_) => "bad_request",
        exec::Error::Timeout { .. } => "timeout",
        _ => "unavailable",
    };
    Error::Other(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), json!({"error": word}))
}
