//! What a module is doing, in a word and a sentence.

use serde_json::{Value, json};

use super::find::{Place, text};

/// The word for a module's state: `connected`, `offline`, or what keeps it from running.
pub(super) fn word(module: &Value) -> &str {
    let live = module.get("runtime").unwrap_or(&Value::Null);
    let connected = live.get("connected").or_else(|| module.get("connected")).and_then(Value::as_bool);
    match (text(live, "state"), connected) {
        ("running", Some(true)) => "connected",
        ("running", _) => "offline",
        ("", connected) => match (module.get("running").and_then(Value::as_bool), connected) {
            (Some(false), _) => "stopped",
            (_, Some(true)) => "connected",
            _ => "offline",
        },
        (state, _) => state,
    }
}

/// Why it is not connected, or that it is an emulated device.
pub(super) fn detail(module: &Value) -> String {
    let live = module.get("runtime").unwrap_or(&Value::Null);
    let mut said = Vec::new();
    if word(module) != "connected" {
        let fields = ["reason", "detail"].map(|field| text(live, field));
        // The reason `waiting` of a module that waits says nothing new.
        said.extend(
            fields.into_iter().filter(|text| !text.is_empty() && *text != word(module)).map(str::to_owned),
        );
        if let Some(fault) = live.get("last_error").filter(|_| said.is_empty()) {
            said.push(text(fault, "message").to_owned());
        }
    }
    if live.get("emulated").and_then(Value::as_bool) == Some(true) {
        said.push("emulated".into());
    }
    if live.get("quarantined").and_then(Value::as_bool) == Some(true) {
        said.push("in quarantine".into());
    }
    // The first line is enough for a table.
    said.iter().filter_map(|text| text.lines().next()).collect::<Vec<_>>().join("; ")
}

/// Where its device is.
pub(super) fn address(module: &Value) -> String {
    let (uri, ip) = (text(module, "uri"), text(module, "ip"));
    match module.get("port").and_then(Value::as_i64) {
        _ if !uri.is_empty() => uri.into(),
        _ if ip.is_empty() => String::new(),
        Some(port) => format!("{ip}:{port}"),
        None => ip.into(),
    }
}

/// A place as JSON; these fields stay as they are.
pub(super) fn json(place: &Place) -> Value {
    let (system_id, system) = place.system.clone().unzip();
    json!({
        "system_id": system_id,
        "system": system,
        "module": place.slot,
        "module_id": place.id(),
        "driver": place.module.get("driver").map(|driver| text(driver, "name")),
        "address": address(&place.module),
        "state": word(&place.module),
        "detail": detail(&place.module),
        "runtime": place.module.get("runtime"),
    })
}
