//! What the suite guesses of a driver from its manifest: settings it starts with, and calls it answers.

use std::collections::BTreeMap;
use std::time::Duration;

use drivers_sdk_protocol::manifest::{Function, Manifest};
use drivers_sdk_protocol::message::code;
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::super::harness::Run;
use crate::error::{Error, Result};

/// The text of every secret.
pub(super) const SECRET: &str = "Sup3r+Secret/Suite";

/// How calls ended, by function: the code of an error.
pub(super) type Outcomes = BTreeMap<String, Result<Value, Error>>;

/// Settings that a module starts with: what must be configured, and every secret.
pub(super) fn settings(schema: &Value) -> Value {
    let mut settings = Map::new();
    let required = |key: &str| {
        schema["required"].as_array().is_some_and(|keys| keys.iter().any(|required| required == key))
    };
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        if is_secret(property) {
            settings.insert(key.clone(), SECRET.into());
        } else if required(key) {
            settings.insert(key.clone(), sample(property));
        }
    }
    Value::Object(settings)
}

/// Whether it is a [`Secret`](crate::Secret).
pub(super) fn is_secret(schema: &Value) -> bool {
    let some = ["anyOf", "oneOf"].into_iter().find_map(|word| schema[word].as_array());
    schema["format"] == "password" || some.is_some_and(|some| some.iter().any(is_secret))
}

/// A value of this schema.
fn sample(schema: &Value) -> Value {
    for key in ["default", "const"] {
        if let Some(value) = schema.get(key) {
            return value.clone();
        }
    }
    if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()) {
        return first.clone();
    }
    if let Some(example) = schema["examples"].as_array().and_then(|values| values.first()) {
        return example.clone();
    }
    let some = ["anyOf", "oneOf"].into_iter().find_map(|word| schema[word].as_array());
    if let Some(first) = some.and_then(|some| some.iter().find(|one| one["type"] != "null")) {
        return sample(first);
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().find(|kind| **kind != "null").cloned().unwrap_or_default(),
        kind => kind.clone(),
    };
    match kind.as_str() {
        Some("boolean") => true.into(),
        Some("integer") => schema["minimum"].as_i64().map_or(1, |least| least.max(1)).into(),
        Some("number") => schema["minimum"].as_f64().map_or(1.0, |least| least.max(1.0)).into(),
        Some("string") => "1".into(),
        Some("array") if schema["minItems"].as_u64().is_some_and(|least| least > 0) => {
            json!([sample(&schema["items"])])
        }
        Some("array") => json!([]),
        Some("object") => settings(schema),
        _ => Value::Null,
    }
}

/// Arguments that a function takes: those that may not be left out.
fn args(function: &Function) -> Value {
    let given = function.params.iter().filter(|param| !param.optional);
    Value::Object(given.map(|param| (param.name.clone(), sample(&param.schema))).collect())
}

impl Run {
    /// Lets time pass.
    pub(super) async fn pass(&self, time: Duration) -> Result<(), String> {
        self.step(async move |_| {
            sleep(time).await;
            Ok(())
        })
        .outcome()
        .await
    }

    /// Calls a function with what it takes.
    pub(super) async fn probe_one(&self, function: &Function) -> Result<Result<Value>, String> {
        self.call("the suite".into(), &function.name, args(function)).outcome().await
    }

    /// Calls every function, one after the other.
    pub(super) async fn probe(&self, manifest: &Manifest) -> Result<Outcomes, String> {
        let mut outcomes = Outcomes::new();
        for function in &manifest.functions {
            outcomes.insert(function.name.clone(), self.probe_one(function).await?);
        }
        Ok(outcomes)
    }

    /// Calls every function at once; waits for the answers later.
    pub(super) fn call_all(&self, manifest: &Manifest) -> Vec<crate::testing::Step<Result<Value>>> {
        let functions = manifest.functions.iter();
        functions.map(|function| self.call("the suite".into(), &function.name, args(function))).collect()
    }
}

/// Whether the device was reached, whatever it said: a function that does not is not for a healthy device either.
pub(super) fn is_answer(outcome: &Result<Value>) -> bool {
    let lost = [code::OFFLINE, code::TIMEOUT, code::STOPPED, code::PANIC];
    outcome.as_ref().err().is_none_or(|error| !lost.contains(&error.code()))
}
