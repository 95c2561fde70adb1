//! Typed settings: how `#[derive(Settings)]` reads them, and their schema.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::args::bare;
use crate::driver::{Input, Output, Schemas};
use crate::error::{Error, Result};

/// What people configure. Derive it: each field is a top-level key, its doc comment the description in the form.
///
/// ```
/// use drivers_sdk::prelude::*;
///
/// #[derive(Settings)]
/// struct ProjectorSettings {
///     /// Seconds between two polls.
///     #[setting(default = 30)]
///     poll_every: u64,
///     /// Password of the device; leave it out if there is none.
///     password: Option<Secret>,
/// }
/// ```
///
/// A field without a default must be configured, unless it is an `Option`. Keys that no field names are ignored, for
/// settings are merged from several levels. An error names the key and says what was expected.
pub trait Settings: Sized + 'static {
    /// Reads the fields.
    fn read(fields: &Fields<'_>) -> Result<Self>;

    /// Describes the fields.
    fn describe(description: &mut Description<'_>);

    /// Reads a JSON object.
    fn parse(json: &str) -> Result<Self> {
        Self::read(&Fields::parse(json)?)
    }
}

/// No settings.
impl Settings for () {
    fn read(_: &Fields<'_>) -> Result<()> {
        Ok(())
    }

    fn describe(_: &mut Description<'_>) {}
}

/// A JSON object whose values are still text.
#[derive(Debug)]
pub struct Fields<'a>(HashMap<Cow<'a, str>, &'a RawValue>);

impl<'a> Fields<'a> {
    /// Reads a JSON object.
    pub fn parse(json: &'a str) -> Result<Fields<'a>> {
        serde_json::from_str(json)
            .map(Fields)
            .map_err(|error| Error::bad_request(format!("settings are not a JSON object: {}", bare(&error))))
    }

    /// The value of a key; one that is missing is read as `null`.
    pub fn get<T: Input>(&self, key: &str) -> Result<T> {
        match self.0.get(key) {
            Some(value) => read(key, value),
            None => serde_json::from_str("null")
                .map_err(|_| Error::bad_request(format!("setting `{key}` is missing"))),
        }
    }

    /// The value of a key, or `default` if it is missing or `null`.
    pub fn get_or<T: Input>(&self, key: &str, default: impl FnOnce() -> T) -> Result<T> {
        match self.0.get(key) {
            Some(value) if value.get() != "null" => read(key, value),
            _ => Ok(default()),
        }
    }
}

fn read<T: DeserializeOwned>(key: &str, value: &RawValue) -> Result<T> {
    serde_json::from_str(value.get())
        .map_err(|error| Error::bad_request(format!("setting `{key}`: {}", bare(&error))))
}

/// The JSON Schema of an object as it is put together, field by field.
#[derive(Debug)]
pub struct Description<'a> {
    schemas: &'a mut Schemas,
    properties: Map<String, Value>,
    required: Vec<Value>,
    defaults: Map<String, Value>,
}

impl<'a> Description<'a> {
    pub(crate) fn new(schemas: &'a mut Schemas) -> Description<'a> {
        Description { schemas, properties: Map::new(), required: Vec::new(), defaults: Map::new() }
    }

    /// The schema, and the defaults.
    pub(crate) fn finish(self) -> (Value, Value) {
        let mut schema = json!({ "type": "object", "properties": self.properties });
        if let (Value::Object(schema), false) = (&mut schema, self.required.is_empty()) {
            schema.insert("required".into(), Value::Array(self.required));
        }
        (schema, Value::Object(self.defaults))
    }

    /// A field that must be configured.
    pub fn required<T: Input>(&mut self, key: &str, description: &str) {
        self.property::<T>(key, description);
        self.required.push(key.into());
    }

    /// A field that may be left out.
    pub fn optional<T: Input>(&mut self, key: &str, description: &str) {
        self.property::<T>(key, description);
    }

    /// A field with a default.
    pub fn defaulted<T: Input + Output>(&mut self, key: &str, description: &str, default: T) {
        self.property::<T>(key, description);
        let default = serde_json::to_value(default).unwrap_or_default();
        if let Some(Value::Object(property)) = self.properties.get_mut(key) {
            property.insert("default".into(), default.clone());
        }
        self.defaults.insert(key.into(), default);
    }

    fn property<T: Input>(&mut self, key: &str, description: &str) {
        let schema = self.schemas.input::<T>();
        self.properties.insert(key.into(), described(schema.to_value(), description));
    }
}

/// A schema with the description of the field that has it.
pub(crate) fn described(schema: Value, description: &str) -> Value {
    let mut schema = match schema {
        Value::Object(object) => object,
        // `true`: anything goes.
        _ => Map::new(),
    };
    if !description.is_empty() {
        schema.insert("description".into(), description.into());
    }
    Value::Object(schema)
}
