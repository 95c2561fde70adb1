//! The resources against the control API's rules.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::settings::Level;
use super::*;

/// What a client would have made of it: patched, normalized, validated.
fn make<R: Resource>(body: Value) -> Result<R, patch::Error> {
    let mut made: R = patch(None, body.as_object().unwrap())?;
    made.normalize();
    match made.validate() {
        failures if failures.is_empty() => Ok(made),
        failures => Err(patch::Error::Invalid(failures)),
    }
}

fn failures<R: Resource + std::fmt::Debug>(body: Value) -> Vec<(String, String)> {
    match make::<R>(body.clone()) {
        Err(patch::Error::Invalid(failures)) => {
            failures.into_iter().map(|failure| (failure.field, failure.reason)).collect()
        }
        other => panic!("{body} gave {other:?}"),
    }
}

#[track_caller]
fn refused<R: Resource + std::fmt::Debug>(body: Value, field: &str, reason: &str) {
    assert_eq!(failures::<R>(body), [(field.to_owned(), reason.to_owned())]);
}

fn repository(extra: Value) -> Value {
    with(json!({ "name": "Drivers", "folder_name": "drivers", "uri": "https://example.com/drivers" }), extra)
}

fn driver(extra: Value) -> Value {
    let plain = json!({
        "name": "PJLink projector", "module_name": "Display", "file_name": "pjlink/Cargo.toml", "commit": "HEAD",
        "repository_id": "repo-1", "role": 1,
    });
    with(plain, extra)
}

fn with(mut plain: Value, extra: Value) -> Value {
    plain.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    plain
}

/// A module of a driver of this role.
fn module(role: Role, extra: Value) -> Result<Module, Vec<Failure>> {
    let driver = Driver { id: "driver-1".into(), module_name: "Display".into(), role, ..Driver::default() };
    let body = with(json!({ "driver_id": "driver-1" }), extra);
    let mut module: Module = patch(None, body.as_object().unwrap()).unwrap();
    module.adopt(&driver);
    module.normalize();
    match module.validate() {
        failures if failures.is_empty() => Ok(module),
        failures => Err(failures),
    }
}

#[track_caller]
fn module_refused(role: Role, extra: Value, field: &str, reason: &str) {
    assert_eq!(module(role, extra).unwrap_err(), [Failure::new(field, reason)]);
}

#[test]
fn the_least_that_creates_a_resource_gets_the_defaults() {
    let system: System = make(json!({ "name": " Room 1 " })).unwrap();
    assert_eq!((&*system.name, &*system.orientation, system.version), ("Room 1", "unspecified", 0));
    assert_eq!(system.space_config, json!({}));
    let repository: Repository = make(repository(json!({}))).unwrap();
    assert_eq!(
        (&*repository.branch, &*repository.commit_hash, &*repository.repo_type, repository.is_pinned()),
        ("master", "HEAD", "driver", false)
    );
    let driver: Driver = make(driver(json!({}))).unwrap();
    assert_eq!((&*driver.json_schema, &*driver.alert_level), ("{}", "medium"));
    let device = module(Role::Device, json!({ "ip": "10.0.0.1", "port": 4352 })).unwrap();
    assert_eq!((device.connected, device.running, &*device.name), (true, false, "Display"));
    let settings: Settings = make(json!({ "parent_id": "zone-1" })).unwrap();
    assert_eq!((&*settings.settings_string, &*settings.parent_type), ("{}", "zone"));
    make::<Zone>(json!({ "name": "Floor" })).unwrap();
}

#[test]
fn nulls_and_absent_fields_come_first() {
    refused::<System>(json!({}), "name", "should not be nil");
    refused::<System>(json!({ "name": null, "orientation": "tilted" }), "name", "should not be nil");
    refused::<Zone>(json!({ "name": "Floor", "tags": null }), "tags", "should not be nil");
    let missing = failures::<Driver>(json!({}));
    let fields: Vec<_> = missing.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["name", "module_name", "file_name", "commit", "repository_id", "role"]);
    assert!(missing.iter().all(|(_, reason)| reason == "should not be nil"));
}

#[test]
fn a_patch_assigns_what_is_present_and_may_be_written() {
    let before = System {
        id: "sys-1".into(),
        name: "Room".into(),
        email: Some("room@example.com".into()),
        code: Some("R1".into()),
        version: 7,
        modules: vec!["mod-1".into()],
        ..System::default()
    };
    let body = json!({
        "id": "sys-2", "version": 1, "created_at": 5, "module_list": [], "nonsense": { "a": 1 },
        "email": null, "type": "meeting", "modules": ["mod-2", "mod-3"],
    });
    let after = patch(Some(&before), body.as_object().unwrap()).unwrap();
    let expected = System {
        email: None,
        r#type: Some("meeting".into()),
        modules: vec!["mod-2".into(), "mod-3".into()],
        ..before.clone()
    };
    assert_eq!(after, expected);
    assert_eq!(patch(Some(&before), &Map::new()).unwrap(), before);
}

#[test]
fn a_wrong_type_names_its_field() {
    for (body, field) in [
        (json!({ "name": 5 }), "name"),
        (json!({ "name": "x", "capacity": "many" }), "capacity"),
        (json!({ "name": "x", "zones": "zone-1" }), "zones"),
        (json!({ "name": "x", "bookable": 1 }), "bookable"),
    ] {
        let Err(patch::Error::Type { field: found, detail }) = make::<System>(body.clone()) else {
            panic!("{body} was taken")
        };
        assert_eq!(found, field);
        assert!(detail.contains("expected"), "{detail}");
    }
}

#[test]
fn systems() {
    let system: System = make(json!({
        "name": "Room", "email": " Room.1@Example.COM ", "features": ["vc", " vc ", "", "pc"],
        "modules": ["mod-2", "mod-1", "mod-2"], "timezone": "Europe/Berlin", "support_url": "https://help.example.com/x",
    }))
    .unwrap();
    assert_eq!(system.email.as_deref(), Some("room.1@example.com"));
    assert_eq!(system.features, ["vc", "pc"]);
    assert_eq!(system.modules, ["mod-2", "mod-1"], "the order is the user's");
    refused::<System>(json!({ "name": "  " }), "name", "is required");
    refused::<System>(json!({ "name": "x", "timezone": "Mars/Olympus" }), "timezone", "is invalid");
    refused::<System>(
        json!({ "name": "x", "orientation": "tilted" }),
        "orientation",
        "is not included in the list",
    );
    refused::<System>(json!({ "name": "x", "support_url": "help me" }), "support_url", "is an invalid URI");
    let urls = json!({ "name": "x", "camera_snapshot_urls": ["http://cam/1.jpg", "/2.jpg"] });
    refused::<System>(urls, "camera_snapshot_urls", "is an invalid URI");
    let others = [("sys-1", "Room"), ("sys-2", " Hall ")];
    let named = |id: &str, name: &str| System { id: id.into(), name: name.into(), ..System::default() };
    assert_eq!(named("sys-3", "Hall").unique_name(others), Some(Failure::new("name", "should be unique")));
    assert_eq!(named("sys-2", "Hall").unique_name(others), None, "itself is no other");
    assert_eq!(named("sys-3", "hall").unique_name(others), None);
    let mut system = system;
    system.drop_unknown_modules(|id| id != "mod-2");
    assert_eq!(system.modules, ["mod-1"]);
}

#[test]
fn zones() {
    let zone: Zone = make(json!({ "name": " Org ", "tags": ["org", "org"], "parent_id": "" })).unwrap();
    assert_eq!((&*zone.name, zone.tags.len(), zone.parent_id), ("Org", 1, None));
    refused::<Zone>(json!({ "name": "" }), "name", "is required");
    refused::<Zone>(json!({ "name": "x", "timezone": "nowhere" }), "timezone", "is invalid");
    // org ← building ← floor, and one whose parent is gone.
    let parent = |id: &str| match id {
        "zone-org" => Some(None),
        "zone-building" => Some(Some("zone-org".to_owned())),
        "zone-floor" => Some(Some("zone-building".to_owned())),
        "zone-orphan" => Some(Some("zone-gone".to_owned())),
        _ => None,
    };
    let under = |id: &str, above: &str| {
        let zone = Zone { id: id.into(), parent_id: Some(above.into()), ..Zone::default() };
        zone.valid_parent(parent)
    };
    let refused = Some(Failure::new("parent_id", "is invalid"));
    assert_eq!(under("zone-new", "zone-floor"), None);
    assert_eq!(under("zone-new", "zone-orphan"), None);
    assert_eq!(under("zone-new", "zone-gone"), refused);
    assert_eq!(under("zone-org", "zone-org"), refused);
    assert_eq!(under("zone-org", "zone-floor"), refused, "a zone inside itself");
}

#[test]
fn repositories() {
    let made: Repository =
        make(repository(json!({ "folder_name": " Drivers-1 ", "repo_type": 1, "password": "", "key": " " })))
            .unwrap();
    assert_eq!((&*made.folder_name, &*made.repo_type), ("drivers-1", "interface"));
    assert_eq!((made.password, made.key), (None, None));
    for uri in [
        "https://example.com/a.git",
        "ssh://git@example.com:2222/a.git",
        "git@example.com:a/b.git",
        "example.com:b.git",
        "git://10.0.0.1/a",
        "file:///srv/drivers",
        "/srv/drivers",
    ] {
        make::<Repository>(repository(json!({ "uri": uri }))).unwrap();
    }
    for uri in ["drivers", "../drivers", "https://", "file://drivers", "git@:a", "git@host:", "a b:c"] {
        refused::<Repository>(repository(json!({ "uri": uri })), "uri", "is an invalid URI");
    }
    refused::<Repository>(repository(json!({ "uri": "" })), "uri", "is required");
    for folder in ["a/b", "a b", "ä", ".", ".."] {
        refused::<Repository>(repository(json!({ "folder_name": folder })), "folder_name", "is invalid");
    }
    refused::<Repository>(
        repository(json!({ "repo_type": "tape" })),
        "repo_type",
        "is not included in the list",
    );
    refused::<Repository>(repository(json!({ "branch": "" })), "branch", "is required");
    let named = |id: &str, kind: &str| Repository {
        id: id.into(),
        folder_name: "drivers".into(),
        repo_type: kind.into(),
        ..Repository::default()
    };
    let others = [named("repo-1", "driver"), named("repo-2", "driver")];
    let taken = Some(Failure::new("folder_name", "should be unique"));
    assert_eq!(named("repo-3", "driver").unique_folder(&others), taken);
    assert_eq!(named("repo-3", "interface").unique_folder(&others), None);
    assert_eq!(named("repo-1", "driver").unique_folder(&others[..1]), None);
}

#[test]
fn drivers() {
    for field in ["name", "module_name", "file_name", "commit", "repository_id"] {
        refused::<Driver>(driver(json!({ field: " " })), field, "is required");
    }
    for path in ["/etc/passwd", "../x/Cargo.toml", "a/../../Cargo.toml"] {
        refused::<Driver>(driver(json!({ "file_name": path })), "file_name", "is invalid");
    }
    for port in [0, -1, 65536] {
        refused::<Driver>(driver(json!({ "default_port": port })), "default_port", "is invalid");
    }
    refused::<Driver>(driver(json!({ "json_schema": "[]" })), "json_schema", "is not a JSON object");
    refused::<Driver>(driver(json!({ "alert_level": "red" })), "alert_level", "is not included in the list");
    refused::<Driver>(driver(json!({ "isolation": "vm" })), "isolation", "is not included in the list");
    for role in [json!(99), json!("logic"), json!("Logic")] {
        assert_eq!(make::<Driver>(driver(json!({ "role": role }))).unwrap().role, Role::Logic);
    }
    for role in [json!(4), json!("robot"), json!(1.5), json!([])] {
        let Err(patch::Error::Type { field, detail }) = make::<Driver>(driver(json!({ "role": role })))
        else {
            panic!("{role} was taken")
        };
        assert_eq!(field, "role");
        assert!(detail.contains("99 (logic)"), "{detail}");
    }
    let drivers: Repository = make(repository(json!({}))).unwrap();
    let interfaces: Repository = make(repository(json!({ "repo_type": "interface" }))).unwrap();
    let before: Driver = make(driver(json!({}))).unwrap();
    assert_eq!(before.validate_references(Some(&drivers), Some(&before)), []);
    let repository = Failure::new("repository", "should be a driver repository");
    assert_eq!(before.validate_references(Some(&interfaces), None), std::slice::from_ref(&repository));
    let after = Driver { role: Role::Logic, ..before.clone() };
    let role = Failure::new("role", "Driver role must not change");
    assert_eq!(after.validate_references(None, Some(&before)), [repository, role]);
}

#[test]
fn modules_with_an_address() {
    for role in [Role::Ssh, Role::Device] {
        module_refused(role, json!({ "port": 23 }), "ip", "cannot be blank");
        for port in [0, -5, 65536] {
            module_refused(role, json!({ "ip": "10.0.0.1", "port": port }), "port", "is invalid");
        }
        for ip in ["10.0.0.256", "10.0.0", "a b", "a..b", "-a", "http://a", "a/b", "fe80::1%", "[x]"] {
            let reason = "address, hostname or port are invalid";
            module_refused(role, json!({ "ip": ip, "port": 23 }), "ip", reason);
        }
        for ip in ["10.0.0.1", "::1", "fe80::1%eth0", "projector-1.example.com.", "projector_1", "3com"] {
            assert_eq!(module(role, json!({ "ip": ip, "port": 23 })).unwrap().ip, ip);
        }
        assert_eq!(module(role, json!({ "ip": " [::1] ", "port": 23 })).unwrap().ip, "::1");
        let system = json!({ "ip": "10.0.0.1", "port": 23, "control_system_id": "sys-1" });
        module_refused(role, system, "control_system", "should not be associated for Device modules");
    }
    let udp =
        module(Role::Device, json!({ "ip": "10.0.0.1", "port": 23, "udp": true, "tls": true })).unwrap();
    assert_eq!((udp.udp, udp.tls), (true, false));
    let emulated = module(Role::Device, json!({ "emulated": true })).unwrap();
    assert_eq!((&*emulated.ip, emulated.port), ("", 0));
    module_refused(Role::Device, json!({ "emulated": true, "port": 70_000 }), "port", "is invalid");
}

#[test]
fn modules_at_a_serial_port() {
    for uri in ["serial:///dev/serial/by-id/usb-A-if00?baud=9600", "rfc2217://gateway:4001?parity=even"] {
        let made = module(Role::Device, json!({ "uri": format!(" {uri} ") })).unwrap();
        assert_eq!((&*made.uri, &*made.ip, made.port), (uri, "", 0));
        module_refused(
            Role::Device,
            json!({ "uri": uri, "tls": true }),
            "tls",
            "does not go with a serial port",
        );
        module_refused(
            Role::Device,
            json!({ "uri": uri, "udp": true }),
            "udp",
            "does not go with a serial port",
        );
        module_refused(Role::Device, json!({ "uri": uri, "port": -1 }), "port", "is invalid");
    }
    let why = "has baud=7, which is not from 50 to 4000000";
    module_refused(Role::Device, json!({ "uri": "serial:///dev/ttyS0?baud=7" }), "uri", why);
    // Another URI is no address of a device, and of another role a serial port is none.
    module_refused(Role::Device, json!({ "uri": "http://example.com", "port": 1 }), "ip", "cannot be blank");
    module_refused(Role::Ssh, json!({ "uri": "serial:///dev/ttyS0", "port": 1 }), "ip", "cannot be blank");
}

#[test]
fn modules_with_a_uri() {
    for role in [Role::Service, Role::Websocket] {
        module_refused(role, json!({}), "uri", "not present");
        for uri in ["example.com", "https://", "/path"] {
            module_refused(role, json!({ "uri": uri }), "uri", "is an invalid URI");
        }
        for (uri, tls) in
            [("https://a", true), ("HTTPS://a", true), ("wss://a/x", true), ("http://a:8080", false)]
        {
            let made = module(role, json!({ "uri": uri, "udp": true, "tls": !tls })).unwrap();
            assert_eq!((made.tls, made.udp), (tls, false), "{uri}");
        }
        assert!(module(role, json!({ "emulated": true })).is_ok());
    }
}

#[test]
fn modules_of_logic_drivers() {
    module_refused(Role::Logic, json!({}), "control_system", "must be associated for logic modules");
    module_refused(
        Role::Logic,
        json!({ "control_system_id": " " }),
        "control_system",
        "must be associated for logic modules",
    );
    let edge = json!({ "control_system_id": "sys-1", "edge_id": "edge-1" });
    module_refused(Role::Logic, edge, "edge", "logic module cannot be allocated to an edge");
    let made =
        module(Role::Logic, json!({ "control_system_id": "sys-1", "tls": true, "udp": true })).unwrap();
    assert_eq!((made.tls, made.udp, made.connected), (false, false, true));
    module_refused(
        Role::Logic,
        json!({ "control_system_id": "sys-1", "alert_level": "red" }),
        "alert_level",
        "is not included in the list",
    );
    assert_eq!(made.validate_references(true, true), []);
    let gone = [Failure::new("driver_id", "is invalid"), Failure::new("control_system", "is invalid")];
    assert_eq!(made.validate_references(false, false), gone);
}

#[test]
fn a_module_is_found_by_its_own_name_or_its_drivers() {
    let named =
        |custom: Value| module(Role::Device, json!({ "ip": "a", "port": 1, "custom_name": custom })).unwrap();
    assert_eq!(named(json!("Left")).resolved_name(), "Left");
    assert_eq!(named(json!("  ")).resolved_name(), "Display");
    assert_eq!(named(json!(null)).resolved_name(), "Display");
}

#[test]
fn settings() {
    let made: Settings = make(json!({
        "parent_id": "sys-1", "encryption_level": "never_display", "settings_string": "z: 1\na:\n  b: 2\n",
    }))
    .unwrap();
    assert_eq!((made.encryption_level, &*made.parent_type), (Level::NeverDisplay, "control_system"));
    assert_eq!(made.keys, ["z", "a"]);
    for parent in ["user-1", "sys-", "sys", "trig-1"] {
        refused::<Settings>(json!({ "parent_id": parent }), "parent_id", "is invalid");
    }
    refused::<Settings>(json!({ "parent_id": "" }), "parent_id", "is required");
    let broken = failures::<Settings>(json!({ "parent_id": "mod-1", "settings_string": "a: 1\nb: [" }));
    let [(field, reason)] = broken.as_slice() else { panic!("{broken:?}") };
    assert_eq!(field, "settings_string");
    assert!(
        reason.starts_with("is not a valid JSON or YAML object: ") && reason.contains("line 2"),
        "{reason}"
    );
    // What is sealed cannot be looked into: its keys stay as they were.
    let mut sealed = Settings { settings_string: "\u{1b}1|a|b".into(), ..made.clone() };
    sealed.normalize();
    assert_eq!((sealed.keys.len(), sealed.validate()), (2, Vec::new()));
    let taken = Failure::new("encryption_level", "should be unique");
    let other = |level| Settings { id: "sets-2".into(), encryption_level: level, ..made.clone() };
    assert_eq!(made.unique_level(&[other(Level::NeverDisplay)]), Some(taken));
    assert_eq!(made.unique_level(&[other(Level::Admin), made.clone()]), None);
}

#[test]
fn levels_say_who_may_see() {
    let seen_by = |support, admin| {
        (0..4).filter(|number| Level::from_number(*number).unwrap().visible_for(support, admin)).count()
    };
    assert_eq!((seen_by(false, false), seen_by(true, false), seen_by(false, true)), (1, 2, 3));
}

#[test]
fn writable_and_required_fields_exist() {
    fn check<R: Resource>() {
        // An absent option is not in the JSON: a null must be taken then.
        let fields = serde_json::to_value(R::default()).unwrap();
        for field in R::WRITABLE {
            let null = patch::<R>(Some(&R::default()), &Map::from_iter([((*field).to_owned(), Value::Null)]));
            assert!(fields.get(field).is_some() || null.is_ok(), "{field} is no field of {}", R::PREFIX);
        }
        assert!(R::REQUIRED.iter().all(|field| R::WRITABLE.contains(field)));
    }
    check::<System>();
    check::<Module>();
    check::<Driver>();
    check::<Zone>();
    check::<Repository>();
    check::<Settings>();
}

#[test]
fn kinds_have_names() {
    for kind in Kind::ALL {
        assert_eq!(Kind::from_name(kind.name()), Some(kind));
        assert_eq!(json!(kind), json!(kind.name()), "the name is the serde form");
    }
    assert_eq!(Kind::from_name("robot"), None);
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,12}", "[ \t]{0,2}[a-zA-Z0-9.:/@-]{0,12}[ \t]{0,2}"]
}

proptest! {
    /// What was normalized once stays as it is, and is stored and read back the same.
    #[test]
    fn normalizing_twice_changes_nothing(
        name in any_text(), ip in any_text(), uri in any_text(), list in prop::collection::vec(any_text(), 0..5),
        role in prop::sample::select(vec![Role::Ssh, Role::Device, Role::Service, Role::Websocket, Role::Logic]),
        udp: bool, tls: bool,
    ) {
        fn check<R: Resource + PartialEq + std::fmt::Debug>(mut value: R) -> Result<(), TestCaseError> {
            value.normalize();
            let once = value.clone();
            value.normalize();
            prop_assert_eq!(&value, &once);
            let text = serde_json::to_string(&value).unwrap();
            prop_assert_eq!(serde_json::from_str::<R>(&text).unwrap(), once);
            value.validate();
            Ok(())
        }
        let option = Some(name.clone());
        check(Module {
            driver_id: name.clone(), ip: ip.clone(), uri: uri.clone(), custom_name: option.clone(), role, udp, tls,
            ..Module::default()
        })?;
        check(System {
            name: name.clone(), email: option.clone(), features: list.clone(), timezone: option.clone(),
            ..System::default()
        })?;
        check(Zone { name: name.clone(), tags: list, parent_id: option.clone(), ..Zone::default() })?;
        check(Repository { folder_name: name.clone(), uri, password: option, ..Repository::default() })?;
        check(Settings { parent_id: name, settings_string: ip, ..Settings::default() })?;
    }
}
