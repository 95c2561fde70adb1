//! What a request can be refused with, and how that looks on the wire.
//!
//! Bodies are `{"error": "…"}` and what the contract adds to it; 403 has no body. 401 makes clients throw their
//! credential away and log in again, so "known, but not allowed" is always 403.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{model::Failure, store};

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 400: malformed JSON, a wrong type.
    #[error("{0}")]
    BadRequest(String),
    /// 400: a query value that cannot be read.
    #[error("invalid parameter value for '{parameter}'")]
    Parameter { parameter: String, restriction: &'static str },
    /// 401: no credential, or one that is unknown or has expired.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// 403: known, but not allowed.
    #[error("not allowed")]
    Forbidden,
    /// 404.
    #[error("{0}")]
    NotFound(String),
    /// 405.
    #[error("this path does not answer {0}")]
    Method(String),
    /// 408: it takes longer than a request should.
    #[error("{0}")]
    Timeout(String),
    /// 409: the client edits an old version.
    #[error("{0}")]
    Conflict(String),
    /// 413.
    #[error("the request body is larger than {0} bytes")]
    TooLarge(usize),
    /// 422: a required parameter is missing.
    #[error("missing required parameter '{parameter}'")]
    Missing { parameter: &'static str, restriction: &'static str },
    /// 422: rules of the model.
    #[error("validation failed")]
    Invalid(Vec<Failure>),
    /// Any status with a body of its own.
    #[error("{1}")]
    Other(StatusCode, Value),
    /// 503: not now.
    #[error("{0}")]
    Unavailable(String),
    /// 500: logged; the caller is told only that.
    #[error("{0}")]
    Internal(String),
    /// 409 inside: another writer was faster. Retried, and 503 if that does not help.
    #[error(transparent)]
    Raced(store::Error),
}

impl Error {
    /// 422 about one field.
    pub(crate) fn invalid(field: &str, reason: impl Into<String>) -> Self {
        Error::Invalid(vec![Failure::new(field, reason)])
    }

    /// 404 of a resource.
    pub(crate) fn missing(what: &str, id: &str) -> Self {
        Error::NotFound(format!("there is no {what} {id}"))
    }

    fn status(&self) -> StatusCode {
        match self {
            Error::BadRequest(_) | Error::Parameter { .. } => StatusCode::BAD_REQUEST,
            Error::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Error::Forbidden => StatusCode::FORBIDDEN,
            Error::NotFound(_) => StatusCode::NOT_FOUND,
            Error::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Error::Timeout(_) => StatusCode::REQUEST_TIMEOUT,
            Error::Conflict(_) => StatusCode::CONFLICT,
            Error::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Error::Missing { .. } | Error::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::Other(status, _) => *status,
            Error::Unavailable(_) | Error::Raced(_) => StatusCode::SERVICE_UNAVAILABLE,
            Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn body(&self) -> Option<Value> {
        Some(match self {
            Error::Forbidden => return None,
            Error::Parameter { parameter, restriction } => {
                json!({"error": self.to_string(), "parameter": parameter, "restriction": restriction})
            }
            Error::Missing { parameter, restriction } => {
                json!({"error": self.to_string(), "parameter": parameter, "restriction": restriction})
            }
            Error::Invalid(failures) => json!({"error": "validation failed", "failures": failures}),
            Error::Other(_, body) => body.clone(),
            Error::Internal(_) => json!({"error": "internal error; the daemon's log says more"}),
            _ => json!({"error": self.to_string()}),
        })
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Conflict { .. } => Error::Raced(error),
            store::Error::Storage { .. } | store::Error::Closed => Error::Unavailable(error.to_string()),
            other => Error::Internal(other.to_string()),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if let Error::Internal(detail) = &self {
            tracing::error!(%detail, "request failed");
        }
        let text = self.body().map(|body| body.to_string()).unwrap_or_default();
        let mut response = (self.status(), text).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if matches!(self, Error::TooLarge(_)) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
