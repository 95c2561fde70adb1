use serde_json::Value;

use crate::api::{document, resources};

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");

/// `UPDATE_OPENAPI=1 cargo nextest run -p headend openapi` writes the committed document anew.
#[test]
fn the_committed_document_is_the_generated_one() {
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(COMMITTED, document()).unwrap();
    }
    let committed = std::fs::read_to_string(COMMITTED).unwrap_or_default();
    assert!(
        committed == document(),
        "docs/openapi.json is out of date: UPDATE_OPENAPI=1 cargo nextest run -p headend openapi"
    );
}

#[test]
fn every_route_is_described_and_every_description_is_a_route() {
    let document: Value = serde_json::from_str(document()).unwrap();
    let endpoints = resources::endpoints();
    let mut described = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            described += 1;
            let there = endpoints.iter().any(|endpoint| {
                endpoint.path == path && endpoint.method.as_str().eq_ignore_ascii_case(method)
            });
            assert!(there, "{method} {path} is described, and no route");
            let label = format!("{method} {path}");
            assert!(
                operation["summary"].as_str().is_some_and(|text| text.ends_with(['.', '?'])),
                "{label} says nothing"
            );
            assert!(!operation["responses"].as_object().unwrap().is_empty(), "{label} gives nothing");
            assert!(operation["operationId"].is_string(), "{label} has no id");
        }
    }
    assert_eq!(described, endpoints.len());
}

#[test]
fn every_reference_leads_somewhere() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(target)) = map.get("$ref") {
                    found.push(target.clone());
                }
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document: Value = serde_json::from_str(document()).unwrap();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 100);
    for target in found {
        let pointer = target.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{target} leads nowhere");
    }
    let module = document.pointer("/components/schemas/Module/properties").unwrap();
    assert!(module["driver_id"].is_object() && module["role"].is_object());
}
