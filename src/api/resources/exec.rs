//! Calling functions over REST: JSON goes through as text, and failures become the contract's statuses.

use axum::{http::StatusCode, response::Response};
use serde_json::{json, value::RawValue};

use crate::{
    api::{
        State,
        auth::Caller,
        error::{Error, Result},
        http::raw,
    },
    runtime::{Exec, Target, exec},
};

/// Calls a function and answers with what it returned.
pub(super) async fn answer(
    state: &State,
    caller: &Caller,
    target: Target,
    function: String,
    args: Box<RawValue>,
) -> Result<Response> {
    let asked = target.clone();
    match call(state, caller, target, function, args).await {
        Ok(reply) => {
            let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
            Ok(raw(status, if reply.value.is_empty() { "null".into() } else { reply.value }))
        }
        Err(error) => Err(refusal(&asked, &error)),
    }
}

/// Calls a function with the caller's clearance.
pub(super) async fn call(
    state: &State,
    caller: &Caller,
    target: Target,
    function: String,
    args: Box<RawValue>,
) -> std::result::Result<crate::runtime::Reply, exec::Error> {
    let request = Exec {
        target,
        function,
        args,
        user: Some(caller.user_id.clone()),
        clearance: caller.clearance(),
        deadline: Some(state.options().exec_timeout()),
    };
    state.runtime().exec(request).await
}

fn refusal(target: &Target, error: &exec::Error) -> Error {
    // A known caller that lacks clearance: 403, with a body that says which.
    let status = StatusCode::from_u16(error.status()).ok().filter(|status| status.as_u16() >= 400);
    let mut body = json!({"error": error.to_string(), "message": error.to_string()});
    if let Some(body) = body.as_object_mut() {
        match target {
            Target::Module(id) => drop(body.insert("module_id".into(), id.as_str().into())),
            Target::Named { system, name, index } => {
                body.insert("sys_id".into(), system.as_str().into());
                body.insert("module_name".into(), name.as_str().into());
                body.insert("index".into(), (*index).into());
            }
        }
        if let exec::Error::Raised(failure) = error {
            body.insert("code".into(), failure.code.as_str().into());
            if !failure.backtrace.is_empty() {
                body.insert("backtrace".into(), failure.backtrace.clone().into());
            }
        }
    }
    Error::Other(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body)
}

/// A module's slug in a URL: `Display_2` is the second Display; without a number after the last `_`, the first.
pub(super) fn slug(text: &str) -> (String, u32) {
    match text.rsplit_once('_').map(|(name, index)| (name, index.parse::<u32>())) {
        Some((name, Ok(index))) if !name.is_empty() => (name.to_owned(), index),
        _ => (text.to_owned(), 1),
    }
}
