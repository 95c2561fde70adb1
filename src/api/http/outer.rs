//! What happens to every request before a route is chosen and after it was answered: clients' odd URLs are
//! mended, a request id is given, a panic becomes a 500, the request is counted.

use std::{borrow::Cow, panic::AssertUnwindSafe, time::Instant};

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, Uri, uri::PathAndQuery},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use tower::ServiceExt;

use crate::api::{State, error::Error};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const ROOT: &str = "/api/engine/v2";
/// A longer request id is not echoed but replaced.
const LONGEST_ID: usize = 200;

/// Answers one request with `routes`.
pub(crate) async fn answer(state: State, routes: axum::Router, mut request: Request) -> Response {
    let start = Instant::now();
    let id = request
        .headers()
        .get(REQUEST_ID)
        .filter(|id| !id.is_empty() && id.len() <= LONGEST_ID)
        .cloned()
        .or_else(|| HeaderValue::try_from(uuid::Uuid::new_v4().to_string()).ok());
    mend(request.uri_mut());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let routed: std::result::Result<Response, _> =
        match AssertUnwindSafe(routes.oneshot(request)).catch_unwind().await {
            Ok(response) => response,
            Err(panic) => {
                let what = panic
                    .downcast_ref::<&str>()
                    .map(|text| (*text).to_owned())
                    .or_else(|| panic.downcast_ref::<String>().cloned())
                    .unwrap_or_default();
                Ok(Error::Internal(format!("panic while answering {method} {path}: {what}")).into_response())
            }
        };
    let mut response = routed.unwrap_or_else(|never| match never {});
    if let Some(id) = id {
        tracing::debug!(
            %method, path, status = response.status().as_u16(), ms = start.elapsed().as_millis() as u64,
            request = id.to_str().unwrap_or("?"), "answered"
        );
        response.headers_mut().insert(REQUEST_ID, id);
    }
    state.metrics().request(&method, response.status(), start.elapsed());
    response
}

/// Takes a trailing slash off, and puts in the slash that some functions of ts-client leave out after `v2`.
fn mend(uri: &mut Uri) {
    let Some(path) = mended(uri.path()) else { return };
    let text = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.into_owned(),
    };
    let mut parts = std::mem::take(uri).into_parts();
    if let Ok(path_and_query) = PathAndQuery::try_from(text) {
        parts.path_and_query = Some(path_and_query);
    }
    *uri = Uri::from_parts(parts).unwrap_or_default();
}

/// The path as the routes know it, if it differs.
pub(crate) fn mended(path: &str) -> Option<Cow<'_, str>> {
    let trimmed = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    let trimmed = if trimmed.is_empty() { "/" } else { trimmed };
    match trimmed.strip_prefix(ROOT) {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') => {
            Some(format!("{ROOT}/{rest}").into())
        }
        _ if trimmed.len() != path.len() => Some(trimmed.into()),
        _ => None,
    }
}
