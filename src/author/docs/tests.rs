use drivers_sdk_protocol::Manifest;
use serde_json::{Value, json};

use super::page;
use super::types::{is_optional, words};

#[test]
fn types_in_words() {
    for (schema, expected, optional) in [
        (json!({"type": "string"}), "string", false),
        (json!({"type": ["boolean", "null"]}), "boolean", true),
        (json!({"type": "string", "format": "password", "writeOnly": true}), "secret", false),
        (
            json!({"type": "integer", "format": "uint8", "minimum": 0, "maximum": 255}),
            "integer (0 to 255)",
            false,
        ),
        (json!({"type": "integer", "minimum": 0}), "integer (from 0)", false),
        (json!({"type": "string", "enum": ["on", "off"]}), r#"one of "on", "off""#, false),
        (json!({"oneOf": [{"const": "a"}, {"const": "b"}, {"type": "null"}]}), r#"one of "a", "b""#, true),
        (json!({"anyOf": [{"type": "string", "enum": ["x"]}, {"type": "null"}]}), r#""x""#, true),
        (json!({"type": "array", "items": {"type": "string"}}), "list of string", false),
        (
            json!({"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}]}),
            "[string, number]",
            false,
        ),
        (json!({"type": "object", "additionalProperties": {"type": "boolean"}}), "boolean by name", false),
        (
            json!({"type": "object", "properties": {"x": {"type": "number"}, "y": {"type": "string"}}, "required": ["x"]}),
            "{x: number, y?: string}",
            false,
        ),
        (json!({"type": "null"}), "nothing", true),
        (json!(true), "anything", false),
        (json!({}), "anything", false),
    ] {
        assert_eq!(words(&schema), expected, "{schema}");
        assert_eq!(is_optional(&schema), optional, "{schema}");
    }
}

fn manifest(parts: Value) -> Manifest {
    serde_json::from_value(parts).unwrap()
}

#[test]
fn a_page_has_what_the_driver_declares_and_nothing_breaks_its_tables() {
    let manifest = manifest(json!({
        "manifest": 1, "name": "Lamp", "module": "Light", "description": "A lamp.\n\n*Any* lamp.", "kind": "device",
        "port": 5000, "makebreak": true, "interfaces": ["Powerable"],
        "settings": {
            "type": "object", "required": ["name"],
            "properties": {
                "name": {"type": "string", "description": "What it is\ncalled: a|b."},
                "poll": {"type": "integer", "default": 30},
                "password": {"type": ["string", "null"], "writeOnly": true},
            },
        },
        "functions": [
            {"name": "power", "description": "Turns it on.", "security": "support", "returns": {"type": "boolean"},
             "params": [{"name": "on", "schema": {"type": "boolean"}}, {"name": "fade", "schema": {"type": "integer"}, "optional": true}]},
            {"name": "reset", "security": "administrator", "returns": {"type": "null"}},
            {"name": "ordered", "description": "Somebody ordered.", "security": "administrator", "webhook": true},
        ],
        "status": {"type": "object", "properties": {"power": {"type": ["boolean", "null"], "description": "Whether it burns."}}},
    }));
    let expected = r#"# Lamp

A lamp.

*Any* lamp.

| | |
| --- | --- |
| package | `lamp` |
| modules are called | `Light` |
| reached by | TCP, port 5000; or a serial port |
| connection | made for each command |
| interfaces | Powerable |
| emulator | no |

## Settings

| key | type | default | |
| --- | --- | --- | --- |
| `name` | string | **required** | What it is called: a\|b. |
| `poll` | integer | `30` |  |
| `password` | secret |  |  |

## Functions

### `power(on: boolean, fade?: integer) → boolean`

Turns it on.

For support staff and administrators.

### `reset()`

For administrators.

## Webhooks

Other services call these at `/api/engine/v2/modules/{id}/webhook/{name}?secret=…`. Administrators find the secrets at `GET /api/engine/v2/modules/{id}/webhooks`.

### `ordered`

Somebody ordered.

## Status

| key | type | |
| --- | --- | --- |
| `power` | boolean, or absent | Whether it burns. |
"#;
    assert_eq!(page("lamp", &manifest), expected);
    assert_eq!(page("lamp", &manifest), page("lamp", &manifest.clone()));
}

#[test]
fn a_logic_driver_without_anything() {
    let manifest = manifest(json!({"manifest": 1, "name": "Room", "module": "Room", "kind": "logic",
        "requires": [{"module": "Display"}, {"interface": "Powerable"}], "optional": [{"module": "Lights"}]}));
    let page = page("room", &manifest);
    assert!(
        page.contains("| reached by | no device: it works with the other modules of its system |"),
        "{page}"
    );
    assert!(
        page.contains("| requires | `Display`, a module with Powerable |\n| makes use of | `Lights` |"),
        "{page}"
    );
    assert!(!page.contains("emulator"), "{page}");
    assert!(
        page.ends_with("## Settings\n\nNone.\n\n## Functions\n\nNone.\n\n## Status\n\nNone.\n"),
        "{page}"
    );
}
