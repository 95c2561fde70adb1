//! Request bodies: read once, in bounded memory and time, before the handler runs.
//!
//! A body over the limit is thrown away as it arrives, so that a client which is still sending reads the 413
//! rather than a reset connection; how much is thrown away is bounded too.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use http_body_util::BodyExt;
use serde_json::{Map, Value, value::RawValue};

use crate::api::error::{Error, Result};

/// A longer body than this is not even thrown away: its connection is closed.
const DISCARD: usize = 256 * 1024 * 1024;

/// Reads a body of at most `limit` bytes within `time`.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limit: usize, time: Duration) -> Result<Bytes> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<usize>().ok());
    if announced.is_none() && !headers.contains_key(header::TRANSFER_ENCODING) {
        return Ok(Bytes::new());
    }
    match tokio::time::timeout(time, gather(body, announced, limit)).await {
        Ok(result) => result,
        Err(_) => Err(Error::Timeout(format!("the request body did not arrive within {time:?}"))),
    }
}

async fn gather(mut body: Body, announced: Option<usize>, limit: usize) -> Result<Bytes> {
    let mut kept = Vec::new();
    let mut seen = 0_usize;
    let too_large = announced.is_some_and(|length| length > limit);
    if announced.is_some_and(|length| length > DISCARD) {
        return Err(Error::TooLarge(limit));
    }
    let mut first: Option<Bytes> = None;
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| Error::BadRequest(format!("the request body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        seen += data.len();
        if seen > DISCARD {
            return Err(Error::TooLarge(limit));
        }
        if too_large || seen > limit {
            kept = Vec::new();
            first = None;
        } else if kept.is_empty() && first.is_none() {
            first = Some(data);
        } else {
            if let Some(first) = first.take() {
                kept.extend_from_slice(&first);
            }
            kept.extend_from_slice(&data);
        }
    }
    if too_large || seen > limit {
        return Err(Error::TooLarge(limit));
    }
    Ok(first.unwrap_or_else(|| kept.into()))
}

/// The body as bytes, as [`read`] left it in the request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Whole(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for Whole {
    type Rejection = Error;

    async fn from_request(mut request: Request, _: &S) -> Result<Self> {
        Ok(request.extensions_mut().remove::<Whole>().unwrap_or_default())
    }
}

/// A JSON object: what creates and changes resources.
#[derive(Clone, Debug)]
pub(crate) struct Object(pub(crate) Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for Object {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let Whole(bytes) = Whole::from_request(request, state).await?;
        match serde_json::from_slice(&bytes).map_err(malformed)? {
            Value::Object(map) => Ok(Object(map)),
            other => Err(Error::BadRequest(format!("the body must be a JSON object, not {}", word(&other)))),
        }
    }
}

impl Object {
    /// A string that must be there.
    pub(crate) fn require(&self, field: &'static str) -> Result<&str> {
        match self.0.get(field) {
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(Error::BadRequest(format!("'{field}' must be a string, not {}", word(other)))),
            None => Err(Error::BadRequest(format!("the body must have '{field}'"))),
        }
    }
}

/// Arguments of a function: a JSON array of positional or an object of named ones; nothing means none.
#[derive(Debug)]
pub(crate) struct Arguments(pub(crate) Box<RawValue>);

impl<S: Send + Sync> FromRequest<S> for Arguments {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let Whole(bytes) = Whole::from_request(request, state).await?;
        Arguments::parse(&bytes)
    }
}

impl Arguments {
    /// Checks that the text is JSON and an array, an object or nothing.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let none = || RawValue::from_string("[]".to_owned()).map(Arguments).map_err(malformed);
        if bytes.trim_ascii().is_empty() {
            return none();
        }
        let raw: Box<RawValue> = serde_json::from_slice(bytes).map_err(malformed)?;
        match raw.get().as_bytes().first() {
            Some(b'[' | b'{') => Ok(Arguments(raw)),
            Some(b'n') => none(),
            _ => Err(Error::BadRequest(
                "the body must be a JSON array of arguments, or an object of named ones".into(),
            )),
        }
    }
}

fn malformed(error: serde_json::Error) -> Error {
    Error::BadRequest(format!("the body is not valid JSON: {error}"))
}

/// What a JSON value is, for people.
pub(crate) fn word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
