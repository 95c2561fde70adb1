//! The page.

use std::fmt::Write as _;

use drivers_sdk_protocol::Manifest;
use drivers_sdk_protocol::manifest::{Function, Kind, Need, Security};
use serde_json::Value;

use super::types::{is_optional, words};

/// The page of a driver; `package` is what its package is called.
pub fn page(package: &str, manifest: &Manifest) -> String {
    let mut page = format!("# {}\n", manifest.name);
    paragraph(&mut page, &manifest.description);
    page.push_str("\n| | |\n| --- | --- |\n");
    let mut fact = |name: &str, what: &str| {
        let _ = writeln!(page, "| {name} | {} |", cell(what));
    };
    fact("package", &format!("`{package}`"));
    fact("modules are called", &format!("`{}`", manifest.module));
    fact("reached by", &reach(manifest));
    if manifest.makebreak {
        fact("connection", "made for each command");
    }
    if !manifest.interfaces.is_empty() {
        fact("interfaces", &manifest.interfaces.join(", "));
    }
    for (name, needs) in [("requires", &manifest.requires), ("makes use of", &manifest.optional)] {
        let needs: Vec<String> = needs.iter().map(need).collect();
        if !needs.is_empty() {
            fact(name, &needs.join(", "));
        }
    }
    if manifest.kind != Kind::Logic {
        fact("emulator", if manifest.emulator { "yes" } else { "no" });
    }
    settings(&mut page, &manifest.settings);
    let (hooks, called): (Vec<_>, Vec<_>) = manifest.functions.iter().partition(|function| function.webhook);
    functions(&mut page, &called);
    webhooks(&mut page, &hooks);
    status(&mut page, &manifest.status);
    page
}

fn reach(manifest: &Manifest) -> String {
    let port = manifest.port.map(|port| format!(", port {port}")).unwrap_or_default();
    let uri = manifest.uri.as_deref().map(|uri| format!(", `{uri}`")).unwrap_or_default();
    match manifest.kind {
        Kind::Device if manifest.udp => format!("UDP{port}"),
        Kind::Device => format!("TCP{port}; or a serial port"),
        Kind::Ssh => format!("SSH{port}"),
        Kind::Service => format!("HTTP{uri}"),
        Kind::Websocket => format!("WebSocket{uri}"),
        Kind::Logic => "no device: it works with the other modules of its system".into(),
    }
}

fn need(need: &Need) -> String {
    match need {
        Need::Module(name) => format!("`{name}`"),
        Need::Interface(name) => format!("a module with {name}"),
    }
}

fn settings(page: &mut String, schema: &Value) {
    page.push_str("\n## Settings\n");
    let Some(all) = properties(schema) else {
        page.push_str("\nNone.\n");
        return;
    };
    let required = schema.get("required").and_then(Value::as_array);
    page.push_str("\n| key | type | default | |\n| --- | --- | --- | --- |\n");
    for (key, schema) in all {
        let default = match schema.get("default") {
            Some(value) => format!("`{value}`"),
            None if required.is_some_and(|required| required.iter().any(|name| name == key)) => {
                "**required**".into()
            }
            None => String::new(),
        };
        row(page, &[&format!("`{key}`"), &words(schema), &default, description(schema)]);
    }
}

fn functions(page: &mut String, functions: &[&Function]) {
    page.push_str("\n## Functions\n");
    if functions.is_empty() {
        page.push_str("\nNone.\n");
    }
    for function in functions {
        let params: Vec<String> = function
            .params
            .iter()
            .map(|param| {
                format!("{}{}: {}", param.name, if param.optional { "?" } else { "" }, words(&param.schema))
            })
            .collect();
        let returns = match words(&function.returns).as_str() {
            "nothing" => String::new(),
            returns if is_optional(&function.returns) => format!(" → {returns}, or nothing"),
            returns => format!(" → {returns}"),
        };
        let _ = write!(page, "\n### `{}({}){returns}`\n", function.name, params.join(", "));
        paragraph(page, &function.description);
        match function.security {
            Security::Public => {}
            Security::Support => page.push_str("\nFor support staff and administrators.\n"),
            Security::Administrator => page.push_str("\nFor administrators.\n"),
        }
    }
}

fn webhooks(page: &mut String, functions: &[&Function]) {
    if functions.is_empty() {
        return;
    }
    page.push_str(concat!(
        "\n## Webhooks\n\nOther services call these at `/api/engine/v2/modules/{id}/webhook/{name}?secret=…`. ",
        "Administrators find the secrets at `GET /api/engine/v2/modules/{id}/webhooks`.\n",
    ));
    for function in functions {
        let _ = write!(page, "\n### `{}`\n", function.name);
        paragraph(page, &function.description);
    }
}

fn status(page: &mut String, schema: &Value) {
    page.push_str("\n## Status\n");
    let Some(all) = properties(schema) else {
        page.push_str("\nNone.\n");
        return;
    };
    page.push_str("\n| key | type | |\n| --- | --- | --- |\n");
    for (key, schema) in all {
        let absent = if is_optional(schema) { ", or absent" } else { "" };
        row(page, &[&format!("`{key}`"), &format!("{}{absent}", words(schema)), description(schema)]);
    }
}

fn properties(schema: &Value) -> Option<&serde_json::Map<String, Value>> {
    schema.get("properties")?.as_object().filter(|all| !all.is_empty())
}

fn description(schema: &Value) -> &str {
    schema.get("description").and_then(Value::as_str).unwrap_or_default()
}

fn paragraph(page: &mut String, text: &str) {
    if !text.trim().is_empty() {
        let _ = write!(page, "\n{}\n", text.trim());
    }
}

fn row(page: &mut String, cells: &[&str]) {
    let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
    let _ = writeln!(page, "| {} |", cells.join(" | "));
}

/// On one line, and without what would end the cell.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
