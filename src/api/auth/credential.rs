//! Where a request may carry its credential. The first place that has one decides.

use axum::http::{HeaderMap, header, request::Parts};

use crate::api::http::query::Query;

/// The credential of a request, if it carries one: header, query and cookie of the API key, then of a bearer.
pub(crate) fn find(parts: &Parts) -> Option<String> {
    let headers = &parts.headers;
    let query = Query::of(&parts.uri);
    let given = |text: Option<&str>| text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    if let Some(key) = given(headers.get("x-api-key").and_then(|value| value.to_str().ok()))
        .or_else(|| given(query.get("api-key")))
        .or_else(|| given(cookie(headers, "api-key").as_deref()))
    {
        return Some(key);
    }
    // An Authorization header that holds nothing still blocks the places after it.
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
        let known = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token");
        return if known { given(Some(token)) } else { None };
    }
    given(query.get("bearer_token")).or_else(|| given(cookie(headers, "bearer_token").as_deref()))
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let value = pairs
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.trim_matches('"'))?;
    // Clients percent-encode what a cookie cannot hold.
    url::form_urlencoded::parse(format!("v={}", value.replace('+', "%2B")).as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
}
