//! What of a module's settings must not be shown to whoever may see what goes over its wire:
//!
//! - what its driver declares to be a secret: `writeOnly` or `format: password` in the schema of its settings;
//! - every text, and every number, in settings that are sealed at rest (level support and up): whoever sealed them has said that not
//!   everybody is to see them;
//! - in [`connections::SETTINGS_KEY`](crate::connections::SETTINGS_KEY) and in the module's URI: what is called a password, a key, a token
//!   or the like; and the values of HTTP headers, but for those that nobody puts a key into.

use serde_json::{Map, Value};
use url::{Url, form_urlencoded};

use crate::model::merge::Layer;
use crate::model::settings::Level;
use crate::secrets::Secret;

/// How deep a schema is looked into: one may contain itself.
const DEPTH: u32 = 16;

/// Names that say it, or end with it.
const TELLING: &[&str] = &["password", "passphrase", "secret", "token", "key", "authorization", "cookie"];

/// Headers without keys.
const HARMLESS: &[&str] =
    &["accept", "accept-encoding", "accept-language", "cache-control", "content-type", "user-agent"];

/// What settings documents that are sealed at rest have, whether or not others override it.
pub(super) fn sealed(layers: &[Layer], found: &mut Vec<Secret>) {
    for layer in layers.iter().filter(|layer| layer.origin.level > Level::None) {
        layer.value.values().for_each(|value| collect(value, found));
    }
}

/// What a schema declares to be secret.
pub(super) fn declared(schema: &Value, values: &Map<String, Value>, found: &mut Vec<Secret>) {
    properties(schema, schema, values, DEPTH, found);
}

fn walk(root: &Value, schema: &Value, value: &Value, depth: u32, found: &mut Vec<Secret>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let text = |key: &str| schema.get(key).and_then(Value::as_str);
    if schema.get("writeOnly") == Some(&Value::Bool(true)) || text("format") == Some("password") {
        return collect(value, found);
    }
    if let Some(other) = text("$ref").and_then(|path| root.pointer(path.strip_prefix('#')?)) {
        walk(root, other, value, depth, found);
    }
    let several = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|key| schema.get(key)?.as_array());
    several.flatten().for_each(|schema| walk(root, schema, value, depth, found));
    match value {
        Value::Object(values) => properties(root, schema, values, depth, found),
        Value::Array(values) => {
            if let Some(items) = schema.get("items") {
                values.iter().for_each(|value| walk(root, items, value, depth, found));
            }
        }
        _ => {}
    }
}

fn properties(
    root: &Value,
    schema: &Value,
    values: &Map<String, Value>,
    depth: u32,
    found: &mut Vec<Secret>,
) {
    let named = schema.get("properties");
    for (key, value) in values {
        let schema = named.and_then(|named| named.get(key)).or_else(|| schema.get("additionalProperties"));
        if let Some(schema) = schema {
            walk(root, schema, value, depth, found);
        }
    }
}

/// What the names in an object say to be secret.
pub(super) fn telling(value: &Value, found: &mut Vec<Secret>) {
    match value {
        Value::Object(values) => {
            for (key, value) in values {
                match value {
                    _ if tells(key) => collect(value, found),
                    Value::Object(headers) if key == "headers" => {
                        let secret = headers.iter().filter(|(name, _)| !harmless(name));
                        secret.for_each(|(_, value)| collect(value, found));
                    }
                    _ => telling(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| telling(value, found)),
        _ => {}
    }
}

fn harmless(header: &str) -> bool {
    HARMLESS.iter().any(|name| name.eq_ignore_ascii_case(header))
}

fn tells(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    TELLING.iter().any(|telling| name.ends_with(telling))
}

/// The password in a URI, and what its query calls one.
pub(super) fn of_uri(uri: &str, found: &mut Vec<Secret>) {
    let Ok(uri) = Url::parse(uri) else { return };
    if let Some(password) = uri.password() {
        let pair = format!("={}", password.replace('+', "%2B"));
        let plain = form_urlencoded::parse(pair.as_bytes()).map(|(_, password)| password.into_owned());
        found.extend(plain.map(Secret::new));
        found.push(password.into());
    }
    let pairs = uri.query_pairs().filter(|(name, _)| tells(name));
    found.extend(pairs.map(|(_, value)| Secret::new(value)));
}

/// All texts and numbers.
fn collect(value: &Value, found: &mut Vec<Secret>) {
    match value {
        Value::String(text) => found.push(text.as_str().into()),
        Value::Number(number) => found.push(number.to_string().into()),
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        Value::Object(values) => values.values().for_each(|value| collect(value, found)),
        Value::Null | Value::Bool(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn exposed(find: impl FnOnce(&mut Vec<Secret>)) -> Vec<String> {
        let mut found = Vec::new();
        find(&mut found);
        found.iter().map(|secret| secret.expose().to_owned()).collect()
    }

    #[test]
    fn a_schema_declares_secrets_at_any_depth() {
        let schema = json!({
            "properties": {
                "password": { "type": ["string", "null"], "format": "password", "writeOnly": true },
                "pin": { "writeOnly": true },
                "name": { "type": "string" },
                "login": { "$ref": "#/$defs/Login" },
                "others": { "type": "array", "items": { "anyOf": [{ "$ref": "#/$defs/Login" }, { "type": "null" }] } },
                "doors": { "additionalProperties": { "format": "password" } },
            },
            "$defs": { "Login": { "properties": {
                "code": { "format": "password" }, "next": { "$ref": "#/$defs/Login" },
            } } },
        });
        let values = json!({
            "password": "one", "pin": 1234, "name": "no", "unknown": "no",
            "login": { "code": "two", "next": { "code": "three", "name": "no" } },
            "others": [{ "code": "four" }, null],
            "doors": { "front": "five" },
        });
        let found = exposed(|found| declared(&schema, values.as_object().unwrap(), found));
        assert_eq!(found, ["one", "1234", "two", "three", "four", "five"]);
        assert!(exposed(|found| declared(&Value::Null, values.as_object().unwrap(), found)).is_empty());
    }

    #[test]
    fn names_tell_what_is_secret_of_a_connection() {
        let settings = json!({
            "tls": { "ca": "no", "key": "PEM" },
            "http": { "headers": { "X-API-Key": "abc", "Accept": "no", "X-Auth": "jkl", "Authorization": "Bearer def" } },
            "ssh": { "username": "no", "password": "ghi", "keyboard": "no" },
        });
        assert_eq!(exposed(|found| telling(&settings, found)), ["PEM", "abc", "jkl", "Bearer def", "ghi"]);
        let uri = "https://me:p%C3%A4ss+@host/path?token=a%20b&size=7";
        assert_eq!(exposed(|found| of_uri(uri, found)), ["päss+", "p%C3%A4ss+", "a b"]);
        assert!(exposed(|found| of_uri("serial:///dev/ttyS0?baud=9600", found)).is_empty());
        assert!(exposed(|found| of_uri("no uri", found)).is_empty());
    }
}
