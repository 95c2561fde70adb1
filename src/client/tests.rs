use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::*;
use crate::secrets::Secret;

#[test]
fn an_argument_is_json_or_a_word() {
    for (word, value) in [
        ("true", json!(true)),
        ("42", json!(42)),
        ("-1.5", json!(-1.5)),
        ("[1,2]", json!([1, 2])),
        ("\"42\"", json!("42")),
        ("hdmi1", json!("hdmi1")),
        ("two words", json!("two words")),
        ("", json!("")),
    ] {
        assert_eq!(exec::argument(word), value);
    }
}

#[test]
fn the_flag_wins_over_the_file_and_a_key_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("client.toml");
    let new = |given| Access::new(given, Some(&file));
    assert_eq!(new(Given::default()).unwrap().url, "http://127.0.0.1:8090");

    std::fs::write(&file, "url = \"https://headend.example/\"\nkey = \"a.b\"\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(new(Given::default()).unwrap_err().to_string().contains("chmod 600"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let access = new(Given { key: Some(Secret::new("c.d")), url: None }).unwrap();
    assert_eq!((&*access.url, access.key.unwrap().expose()), ("https://headend.example", "c.d"));

    std::fs::write(&file, "\nulr = 1\n").unwrap();
    let error = new(Given::default()).unwrap_err();
    assert!(error.to_string().contains("client.toml:2: unknown field `ulr`"), "{error}");
    assert_eq!(error.code(), 2);
    let given = Given { url: Some("localhost:1".into()), key: None };
    assert!(Access::new(given, None).unwrap_err().to_string().contains("is not the URL of a daemon"));
}

#[test]
fn modules_are_named_by_their_order_in_the_system() {
    let system = json!({ "id": "sys-1", "name": "Room", "modules": ["mod-3", "mod-gone", "mod-1", "mod-2"] });
    let rows = [
        json!({ "id": "mod-1", "name": "Display" }),
        json!({ "id": "mod-2", "name": "Display", "custom_name": "Lamp" }),
        json!({ "id": "mod-3", "name": "Display", "custom_name": " " }),
    ];
    let slots: Vec<String> = find::arrange(&system, &rows).into_iter().map(|place| place.slot).collect();
    assert_eq!(slots, ["Display_1", "Display_2", "Lamp_1"]);
}

#[test]
fn the_state_is_a_word_and_a_reason() {
    for (module, word, detail) in [
        (json!({ "runtime": { "state": "running", "connected": true } }), "connected", ""),
        (
            json!({ "runtime": { "state": "running", "connected": false, "reason": "refused", "detail": "no one listens" } }),
            "offline",
            "refused; no one listens",
        ),
        (
            json!({ "runtime": { "state": "failed", "last_error": { "message": "panicked\nat" } } }),
            "failed",
            "panicked",
        ),
        (
            json!({ "runtime": { "state": "running", "connected": true, "emulated": true } }),
            "connected",
            "emulated",
        ),
        (json!({ "running": false, "connected": true }), "stopped", ""),
        (json!({ "running": true, "connected": false }), "offline", ""),
    ] {
        assert_eq!((live::word(&module), &*live::detail(&module)), (word, detail), "{module}");
    }
}
