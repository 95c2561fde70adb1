//! Requests to the control API, and what its refusals mean to a person.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::{Access, Error, Result};

const ROOT: &str = "/api/engine/v2";
/// A daemon on the same machine or the next room answers a connection at once.
const CONNECT: Duration = Duration::from_secs(5);
/// Longer than any call of a function may take by default.
const ANSWER: Duration = Duration::from_secs(120);
/// What is followed goes on until somebody interrupts it, or the connection is found to be dead.
const ENDLESS: Duration = Duration::from_secs(10 * 365 * 86_400);
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Rows asked for at a time.
const PAGE: usize = 1000;

/// A daemon's control API.
pub(super) struct Client {
    pub(super) access: Access,
    http: reqwest::Client,
}

/// A path under the API's root, put together from parts that are escaped.
pub(super) struct Route(String);

impl Route {
    pub(super) fn new(parts: &[&str]) -> Self {
        let mut url = url::Url::from_directory_path("/").ok();
        if let Some(mut segments) = url.as_mut().and_then(|url| url.path_segments_mut().ok()) {
            segments.clear().extend(parts);
        }
        Route(url.map(|url| url.path().to_owned()).unwrap_or_default())
    }
}

impl Client {
    pub(super) fn new(access: Access) -> Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .tcp_keepalive(KEEPALIVE)
            .user_agent(concat!("headend/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|cause| Error::Usage(format!("cannot set up HTTP: {cause}")))?;
        Ok(Client { access, http })
    }

    /// GET, or `None` if there is no such thing.
    pub(super) async fn find(&self, route: &Route) -> Result<Option<Value>> {
        match self.get(route).await {
            Ok(value) => Ok(Some(value)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn get(&self, route: &Route) -> Result<Value> {
        Ok(self.send(Method::GET, route, &[], None).await?.1)
    }

    pub(super) async fn post(&self, route: &Route, body: &Value) -> Result<Value> {
        Ok(self.send(Method::POST, route, &[], Some(body)).await?.1)
    }

    /// Every row of a list, narrowed by `filter`.
    pub(super) async fn list(&self, route: &Route, filter: &[(&str, String)]) -> Result<Vec<Value>> {
        let mut rows = Vec::new();
        loop {
            let mut query = vec![("limit", PAGE.to_string()), ("offset", rows.len().to_string())];
            query.extend_from_slice(filter);
            let (total, page) = self.send(Method::GET, route, &query, None).await?;
            let Value::Array(page) = page else {
                return Err(Error::Failed("the daemon gave no list".into()));
            };
            let done = page.is_empty();
            rows.extend(page);
            if done || rows.len() >= total.unwrap_or(0) {
                return Ok(rows);
            }
        }
    }

    /// GET of something that is no JSON, or has no end: `endless`.
    pub(super) async fn stream(
        &self,
        route: &Route,
        query: &[(&str, String)],
        endless: bool,
    ) -> Result<reqwest::Response> {
        let mut request = self.request(Method::GET, route, query)?;
        if endless {
            request = request.timeout(ENDLESS);
        }
        let answer = request.send().await.map_err(|cause| self.unreachable(&cause))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = answer.text().await.map_err(|cause| self.unreachable(&cause))?;
        Err(self.refusal(status, &text))
    }

    fn request(
        &self,
        method: Method,
        route: &Route,
        query: &[(&str, String)],
    ) -> Result<reqwest::RequestBuilder> {
        let mut url = url::Url::parse(&format!("{}{ROOT}{}", self.access.url, route.0))
            .map_err(|cause| Error::Usage(format!("{}: {cause}", self.access.url)))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.http.request(method, url);
        Ok(match &self.access.key {
            Some(key) => request.header("X-API-Key", key.expose()),
            None => request,
        })
    }

    /// The answer's total count, if it has one, and its body.
    async fn send(
        &self,
        method: Method,
        route: &Route,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<(Option<usize>, Value)> {
        let mut request = self.request(method, route, query)?;
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|cause| self.unreachable(&cause))?;
        let status = answer.status();
        let total = answer.headers().get("x-total-count").and_then(|count| count.to_str().ok()?.parse().ok());
        let text = answer.text().await.map_err(|cause| self.unreachable(&cause))?;
        if !status.is_success() {
            return Err(self.refusal(status, &text));
        }
        let value = if text.is_empty() { Ok(Value::Null) } else { serde_json::from_str(&text) };
        let strange = |_| {
            Error::Failed(format!(
                "{} answered something that is not JSON: is it a headend?",
                self.access.url
            ))
        };
        Ok((total, value.map_err(strange)?))
    }

    pub(super) fn unreachable(&self, cause: &dyn std::error::Error) -> Error {
        // The innermost cause is the one that says something: "Connection refused".
        let innermost = std::iter::successors(Some(cause), |cause| cause.source()).last().unwrap_or(cause);
        Error::Unreachable { url: self.access.url.clone(), why: innermost.to_string() }
    }

    pub(super) fn refusal(&self, status: StatusCode, body: &str) -> Error {
        let said: Value = serde_json::from_str(body).unwrap_or_default();
        let said = said.get("message").or_else(|| said.get("error")).and_then(Value::as_str).unwrap_or("");
        let url = &self.access.url;
        match status {
            StatusCode::UNAUTHORIZED if self.access.key.is_none() => Error::Refused(format!(
                "{url} wants an API key: give it with --key or HEADEND_KEY. The daemon showed the admin key when it \
                 was first started"
            )),
            StatusCode::UNAUTHORIZED => {
                Error::Refused(format!("{url} does not know this key, or it has expired"))
            }
            StatusCode::FORBIDDEN => {
                let why = if said.is_empty() { String::new() } else { format!(": {said}") };
                Error::Refused(format!("this key may not do that{why}"))
            }
            StatusCode::NOT_FOUND => {
                Error::NotFound(if said.is_empty() { "there is no such thing".into() } else { said.into() })
            }
            _ if said.is_empty() => Error::Failed(format!("the daemon answered {status}")),
            _ => Error::Failed(said.into()),
        }
    }
}
