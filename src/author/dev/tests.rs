use drivers_sdk_protocol::Manifest;
use serde_json::json;

use super::watch::Watch;
use super::{Options, bench, line};

fn manifest() -> Manifest {
    let mut manifest = json!({
        "manifest": 1, "name": "Lamp", "module": "Lamp", "kind": "device", "port": 4000,
        "functions": [
            {"name": "power", "description": "Switches it.\n\nSlowly.", "params": [
                {"name": "on", "schema": {"type": "boolean"}},
                {"name": "seconds", "schema": {"type": "integer"}, "optional": true},
            ]},
            {"name": "play", "params": [{"name": "scene", "schema": {"enum": ["day", "night"]}}]},
        ],
    });
    manifest["emulator"] = json!(true);
    serde_json::from_value(manifest).unwrap()
}

#[test]
fn words_are_told_apart_as_json_has_them() {
    assert_eq!(
        line::words(r#" a  "b c" {"d": [1, 2]} e=" f" "#).unwrap(),
        ["a", r#""b c""#, r#"{"d": [1, 2]}"#, r#"e=" f""#]
    );
    assert_eq!(line::words(r#"say "\" ["#).unwrap_err(), "a quote is open at the end");
    assert_eq!(line::words("say {").unwrap_err(), "a bracket is open at the end");
}

#[test]
fn arguments_go_by_position_or_by_name() {
    let manifest = manifest();
    let args = |words: &[&str]| line::arguments(manifest.functions.first(), words).get().to_owned();
    assert_eq!(args(&[]), "[]");
    assert_eq!(args(&["true", "hdmi1", "[1]", "x=y"]), r#"[true,"hdmi1",[1],"x=y"]"#);
    assert_eq!(args(&["seconds=3", "on=false"]), r#"{"seconds":3,"on":false}"#);
    assert_eq!(args(&["on=false", "3"]), r#"["on=false",3]"#);
}

#[test]
fn functions_arguments_and_values_are_completed() {
    let complete = |typed: &str| line::complete(&manifest(), typed);
    assert_eq!(complete("p"), (0, vec!["power ".into(), "play ".into()]));
    assert_eq!(complete("st"), (0, vec!["status ".into()]));
    assert_eq!(complete("power "), (6, ["true", "false", "on=", "seconds="].map(String::from).to_vec()));
    assert_eq!(complete("power on=t"), (6, vec!["on=true ".into()]));
    assert_eq!(complete("power on=true s"), (14, vec!["seconds=".into()]));
    assert_eq!(complete("play n"), (5, vec!["night".into()]));
    assert_eq!(complete("nothing n"), (8, vec![]));
    assert_eq!(line::hint(&manifest(), "power").unwrap(), " on:boolean [seconds:integer]");
    assert_eq!(line::hint(&manifest(), "pow"), None);
    assert!(
        line::help(&manifest())
            .starts_with("  power on:boolean [seconds:integer]  Switches it.\n  play scene\n")
    );
}

#[test]
fn a_device_is_where_it_is_said_to_be() {
    let module = |connect: Option<&str>| {
        bench::module(&manifest(), &Options { connect: connect.map(String::from), ..Options::default() })
    };
    for (connect, ip, port, uri) in [
        ("lamp:23", "lamp", 23, ""),
        ("lamp", "lamp", 4000, ""),
        ("[::1]:23", "::1", 23, ""),
        ("fe80::1", "fe80::1", 4000, ""),
        ("serial:///dev/ttyUSB0?baud=9600", "", 0, "serial:///dev/ttyUSB0?baud=9600"),
    ] {
        let module = module(Some(connect)).unwrap();
        assert_eq!((&*module.ip, module.port, &*module.uri, module.emulated), (ip, port, uri, false));
    }
    assert!(module(None).unwrap().emulated);
    assert!(module(Some("lamp:x")).unwrap_err().to_string().contains("\"x\" is no port"));
}

#[test]
fn what_is_saved_is_seen_and_what_cargo_writes_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, name).unwrap();
    };
    let mut watch = Watch::new(folder.path());
    assert!(watch.changed() && !watch.changed());
    write("src/main.rs");
    assert!(watch.changed() && !watch.changed());
    write("target/CACHEDIR.TAG");
    write("target/debug/lamp");
    write(".git/index");
    write("Cargo.lock");
    assert!(!watch.changed());
    std::fs::rename(folder.path().join("src/main.rs"), folder.path().join("src/lib.rs")).unwrap();
    assert!(watch.changed());
}
