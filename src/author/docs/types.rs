//! JSON Schema in words: `one of "hdmi1", "hdmi2"`, `list of integer (0 to 255)`.

use serde_json::Value;

/// What a value of this schema is, in a few words.
pub(super) fn words(schema: &Value) -> String {
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    if let Some(values) = list(schema, "enum") {
        let values = values.iter().filter(|value| !value.is_null());
        return one_of(values.map(Value::to_string).collect());
    }
    if let Some(schemas) = list(schema, "oneOf").or_else(|| list(schema, "anyOf")) {
        return one_of(schemas.iter().filter(|schema| !is_null(schema)).map(words).collect());
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(only)) => vec![only],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => return "anything".into(),
    };
    let types: Vec<String> =
        types.into_iter().filter(|name| *name != "null").map(|name| plain(name, schema)).collect();
    if types.is_empty() { "nothing".into() } else { types.join(" or ") }
}

/// Whether nothing is a value of this schema, too.
pub(super) fn is_optional(schema: &Value) -> bool {
    let null = Value::from("null");
    is_null(schema)
        || list(schema, "type").is_some_and(|types| types.contains(&null))
        || list(schema, "enum").is_some_and(|values| values.contains(&Value::Null))
        || list(schema, "anyOf").or_else(|| list(schema, "oneOf")).is_some_and(|all| all.iter().any(is_null))
}

fn plain(name: &str, schema: &Value) -> String {
    match name {
        "array" => match (list(schema, "prefixItems"), schema.get("items")) {
            (Some(items), _) => format!("[{}]", items.iter().map(words).collect::<Vec<_>>().join(", ")),
            (None, Some(items)) if items.is_object() => format!("list of {}", words(items)),
            _ => "list".into(),
        },
        "object" => object(schema),
        "string" if schema.get("writeOnly") == Some(&Value::Bool(true)) => "secret".into(),
        "integer" | "number" => {
            let (low, high) = (schema.get("minimum"), schema.get("maximum"));
            let range = match (low, high) {
                (Some(low), Some(high)) => format!(" ({low} to {high})"),
                (Some(low), None) => format!(" (from {low})"),
                (None, Some(high)) => format!(" (up to {high})"),
                (None, None) => String::new(),
            };
            format!("{name}{range}")
        }
        other => other.into(),
    }
}

fn object(schema: &Value) -> String {
    let Some(properties) = schema.get("properties").and_then(Value::as_object).filter(|all| !all.is_empty())
    else {
        return match schema.get("additionalProperties") {
            Some(values) if values.is_object() => format!("{} by name", words(values)),
            _ => "object".into(),
        };
    };
    let required = list(schema, "required").unwrap_or_default();
    let fields = properties.iter().map(|(name, schema)| {
        let mark = if required.iter().any(|required| required == name) { "" } else { "?" };
        format!("{name}{mark}: {}", words(schema))
    });
    format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").is_some_and(|name| name == "null") || schema.get("const") == Some(&Value::Null)
}

fn list<'a>(schema: &'a Value, key: &str) -> Option<&'a [Value]> {
    schema.get(key)?.as_array().map(Vec::as_slice)
}

fn one_of(mut values: Vec<String>) -> String {
    match values.len() {
        0 => "nothing".into(),
        1 => values.remove(0),
        _ => format!("one of {}", values.join(", ")),
    }
}
