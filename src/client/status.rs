//! `headend status`: what runs, and why something does not.

use serde_json::{Map, Value, json};

use super::{
    Result,
    find::{self, Place, Target, text},
    http::{Client, Route},
    live,
    table::{Table, print, print_json},
};

pub(super) async fn run(http: &Client, words: &[String], json: bool) -> Result<()> {
    if words.is_empty() {
        return everything(http, json).await;
    }
    match find::target(http, words, false).await?.0 {
        Target::System(places) => list(&places, json),
        Target::Module(place) => one(http, &place, json).await?,
    }
    Ok(())
}

async fn everything(http: &Client, json: bool) -> Result<()> {
    let systems = http.list(&Route::new(&["systems"]), &[]).await?;
    let modules = http.list(&Route::new(&["modules"]), &[]).await?;
    let by_id: std::collections::HashMap<&str, &Value> =
        modules.iter().map(|module| (text(module, "id"), module)).collect();
    let mut places = Vec::new();
    let mut placed = std::collections::HashSet::new();
    for system in &systems {
        let ids = system.get("modules").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let rows: Vec<Value> =
            ids.iter().filter_map(|id| by_id.get(id.as_str()?)).map(|row| (*row).clone()).collect();
        places.extend(find::arrange(system, &rows));
        placed.extend(ids.iter().filter_map(Value::as_str));
    }
    let alone = modules.iter().filter(|module| !placed.contains(text(module, "id")));
    places.extend(alone.map(|module| Place {
        system: None,
        slot: find::name(module).into(),
        module: module.clone(),
    }));
    list(&places, json);
    Ok(())
}

fn list(places: &[Place], json: bool) {
    if json {
        return print_json(&places.iter().map(live::json).collect());
    }
    if places.is_empty() {
        return print("There are no modules yet.\n");
    }
    let mut table = Table::new(&["SYSTEM", "MODULE", "STATE", "ADDRESS", "ID", "DETAIL"]);
    let mut previous = None;
    for place in places {
        let system = place.system.as_ref().map_or("(no system)", |(_, name)| name);
        table.row(vec![
            if previous == Some(system) { String::new() } else { system.into() },
            place.slot.clone(),
            live::word(&place.module).into(),
            live::address(&place.module),
            place.id().into(),
            live::detail(&place.module),
        ]);
        previous = Some(system);
    }
    print(&table.to_string());
}

async fn one(http: &Client, place: &Place, json: bool) -> Result<()> {
    // The list has no live details of a single module; the module itself does.
    let module = http.get(&Route::new(&["modules", place.id()])).await?;
    let place = Place { module, ..place.clone() };
    let status = values(http, place.id()).await?;
    if json {
        let mut found = live::json(&place);
        if let Some(found) = found.as_object_mut() {
            found.insert("status".into(), Value::Object(status));
        }
        print_json(&found);
        return Ok(());
    }
    let mut table = Table::new(&[&place.title()]);
    for (label, value) in [
        ("state", live::word(&place.module).to_owned()),
        ("detail", live::detail(&place.module)),
        ("address", live::address(&place.module)),
        (
            "driver",
            place.module.get("driver").map(|driver| text(driver, "name").to_owned()).unwrap_or_default(),
        ),
        ("id", place.id().to_owned()),
    ] {
        if !value.is_empty() {
            table.row(vec![format!("  {label}"), value]);
        }
    }
    if let Some(fault) = place.module.pointer("/runtime/last_error") {
        table.row(vec!["  last error".into(), text(fault, "message").into()]);
        let output = fault.get("output").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for line in output.iter().filter_map(Value::as_str) {
            table.row(vec![String::new(), line.into()]);
        }
    }
    if !status.is_empty() {
        table.row(vec!["  status".into()]);
    }
    for (key, value) in &status {
        table.row(vec![format!("    {key}"), value.to_string()]);
    }
    print(&table.to_string());
    Ok(())
}

/// A module's status: the API gives each value as JSON text.
pub(super) async fn values(http: &Client, id: &str) -> Result<Map<String, Value>> {
    let state = http.get(&Route::new(&["modules", id, "state"])).await?;
    let state = state.as_object().cloned().unwrap_or_default();
    Ok(state
        .into_iter()
        .map(|(key, value)| {
            let parsed =
                value.as_str().map(|text| serde_json::from_str(text).unwrap_or_else(|_| json!(text)));
            (key, parsed.unwrap_or(value))
        })
        .collect())
}
