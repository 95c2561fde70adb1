//! A request body applied to a resource: only the keys that are present and may be written are assigned.

use serde_json::{Map, Value};

use super::{Failure, Resource};

/// Why a body cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A value of the wrong JSON type.
    #[error("invalid value for '{field}': {detail}")]
    Type { field: String, detail: String },
    /// Fields that must not be null, or must not be left out.
    #[error("validation failed: {}", list(.0))]
    Invalid(Vec<Failure>),
}

/// The resource that `body` makes of `current`, or of the defaults when there is none. Read-only and unknown keys
/// are ignored, a null is assigned where the type allows it. Neither normalized nor validated.
pub fn patch<R: Resource>(current: Option<&R>, body: &Map<String, Value>) -> Result<R, Error> {
    let mut failures = Vec::new();
    if current.is_none() {
        let missing = R::REQUIRED.iter().filter(|field| !body.contains_key(**field));
        failures.extend(missing.map(|field| Failure::new(field, super::NIL)));
    }
    let default = R::default();
    let mut fields = match serde_json::to_value(current.unwrap_or(&default)) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) | Err(_) => Map::new(),
    };
    for field in R::WRITABLE {
        let Some(value) = body.get(*field) else { continue };
        match serde_json::from_value::<R>(Value::Object(Map::from_iter([(
            (*field).to_owned(),
            value.clone(),
        )]))) {
            Ok(_) => drop(fields.insert((*field).to_owned(), value.clone())),
            Err(_) if value.is_null() => failures.push(Failure::new(field, super::NIL)),
            Err(error) => return Err(Error::Type { field: (*field).into(), detail: error.to_string() }),
        }
    }
    if !failures.is_empty() {
        return Err(Error::Invalid(failures));
    }
    serde_json::from_value(Value::Object(fields))
        .map_err(|error| Error::Type { field: R::PREFIX.into(), detail: error.to_string() })
}

fn list(failures: &[Failure]) -> String {
    let failures: Vec<_> =
        failures.iter().map(|failure| format!("{} {}", failure.field, failure.reason)).collect();
    failures.join(", ")
}
