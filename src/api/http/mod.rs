//! Conventions that every route follows: paths, bodies, queries, pages, request ids.

pub(crate) mod body;
pub(crate) mod outer;
pub(crate) mod page;
pub(crate) mod query;
pub(crate) mod search;
#[cfg(test)]
mod tests;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::error::Error;

/// A JSON body with a status.
pub(crate) fn json<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => raw(status, body),
        Err(error) => Error::Internal(format!("could not write a response: {error}")).into_response(),
    }
}

/// JSON text as a body.
pub(crate) fn raw(status: StatusCode, body: impl Into<axum::body::Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Done, and nothing to say.
pub(crate) fn empty(status: StatusCode) -> Response {
    raw(status, axum::body::Body::empty())
}
