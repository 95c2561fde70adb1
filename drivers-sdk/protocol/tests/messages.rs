//! JSON payloads: either side may be newer than the other, and borrowed fields cope with escapes.

use std::borrow::Cow;

use drivers_sdk_protocol::Manifest;
use drivers_sdk_protocol::manifest;
use drivers_sdk_protocol::message::*;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{from_slice, from_str, json, to_string};

fn read<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, serde_json::Error> {
    // Through text: raw values can only be read from text.
    from_str(&value.to_string())
}

#[test]
fn unknown_fields_are_ignored() {
    let hello: Hello = read(json!({"versions": [1, 3], "colour": "red", "features": ["x"]})).unwrap();
    assert_eq!(hello, Hello { versions: (1, 3), features: vec!["x".into()], daemon: String::new() });
    let up: LinkUp = read(json!({"connection": 4, "via": {"gateway": 1}})).unwrap();
    assert_eq!(up, LinkUp { connection: 4, ..LinkUp::default() });
    let up: LinkUp = read(json!({"connection": 5, "messages": true, "turns": true})).unwrap();
    assert_eq!(up, LinkUp { connection: 5, messages: true, turns: true });
    let start: Start = read(json!({
        "id": "mod-1", "name": "Display", "settings": {"a": 1}, "future": [1, 2],
        "system": {"id": "sys-1", "capacity": 8}, "link": {"connection": 2, "speed": 9600}
    }))
    .unwrap();
    assert_eq!(start.system.unwrap(), System { id: "sys-1".into(), ..System::default() });
    assert_eq!(start.link, Some(LinkUp { connection: 2, ..LinkUp::default() }));
    let call: Call<'_> = from_str(r#"{"trace":"abc","function":"power","args":[true]}"#).unwrap();
    assert_eq!((call.function.as_ref(), call.args.get(), call.user), ("power", "[true]", None));
}

#[test]
fn absent_fields_take_their_default() {
    assert_eq!(
        read::<Welcome>(json!({"version": 1})).unwrap(),
        Welcome { version: 1, features: vec![], sdk: String::new() }
    );
    assert_eq!(
        read::<LinkDown>(json!({"reason": "refused"})).unwrap(),
        LinkDown { reason: "refused".into(), ..LinkDown::default() }
    );
    let failure: Failure = read(json!({"code": "device", "message": "ERR3"})).unwrap();
    assert_eq!(failure, Failure { code: "device".into(), message: "ERR3".into(), ..Failure::default() });
    let start: Start = read(json!({"id": "mod-1", "name": "X", "settings": {}})).unwrap();
    assert!(start.system.is_none() && start.link.is_none());
    let manifest: Manifest =
        read(json!({"manifest": 1, "name": "N", "module": "M", "kind": "logic"})).unwrap();
    assert_eq!(manifest.kind, manifest::Kind::Logic);
    assert!(!manifest.emulator && manifest.functions.is_empty() && manifest.settings.is_null());
    let request: HttpRequest = read(json!({"method": "GET", "url": "/"})).unwrap();
    assert_eq!((request.headers, request.timeout_ms), (vec![], None));
    let response: HttpResponse = read(json!({"status": 204})).unwrap();
    assert_eq!(response, HttpResponse { status: 204, headers: vec![] });
    assert_eq!(read::<SshExec>(json!({"command": "uptime"})).unwrap().timeout_ms, None);
    assert_eq!(read::<SshOutput>(json!({"stdout": 0})).unwrap(), SshOutput::default());
    let function: manifest::Function = read(json!({"name": "f"})).unwrap();
    assert_eq!(function.security, manifest::Security::Public);
}

#[test]
fn required_fields_are_named_when_missing() {
    let error = from_str::<Call<'_>>(r#"{"function":"power"}"#).unwrap_err();
    assert!(error.to_string().contains("args"), "{error}");
    let error = read::<Start>(json!({"name": "X", "settings": {}})).unwrap_err();
    assert!(error.to_string().contains("`id`"), "{error}");
}

#[test]
fn borrowed_strings_cope_with_escapes() {
    let text = br#"{"function":"caf\u00e9 \"x\"","args":{"s":"a\nb"},"user":"user-\u0041"}"#;
    let call: Call<'_> = from_slice(text).unwrap();
    assert_eq!(call.function, "café \"x\"");
    assert_eq!(call.args.get(), r#"{"s":"a\nb"}"#, "arguments stay raw");
    assert_eq!(call.user.as_deref(), Some("user-A"));
    let call: Call<'_> = from_slice(br#"{"function":"power","args":[]}"#).unwrap();
    assert!(matches!(call.function, Cow::Borrowed(_)), "a plain name is not copied");

    let save: SaveSetting<'_> = from_str(r#"{"key":"a\tb","value":{"x":[1, 2]}}"#).unwrap();
    assert_eq!((save.key.as_ref(), save.value.get()), ("a\tb", r#"{"x":[1, 2]}"#));
    let text =
        r#"{"system":"sys-\u0031","module":"Dis\u0070lay","index":1,"function":"p\u006fwer","args":[]}"#;
    let call: CallModule<'_> = from_str(text).unwrap();
    assert_eq!(call.system.as_deref(), Some("sys-1"));
    assert_eq!((call.module.as_ref(), call.function.as_ref()), ("Display", "power"));
}

#[test]
fn what_is_written_is_read_again() {
    let args = RawValue::from_string(r#"[1.0, "x\\u0000", {"b":1,"a":2}]"#.into()).unwrap();
    let call = Call { function: "say \"hi\"\n".into(), args: &args, user: Some("user-1".into()) };
    let text = to_string(&call).unwrap();
    let again: Call<'_> = from_str(&text).unwrap();
    assert_eq!(again.function, call.function);
    assert_eq!(again.args.get(), args.get(), "numbers, order and spaces are kept as they were");
    assert_eq!(again.user, call.user);

    let failure = Failure {
        code: code::PANIC.into(),
        message: "index out of range".into(),
        status: 500,
        place: Some("src/main.rs:4:5".into()),
        backtrace: vec!["a".into()],
    };
    assert_eq!(from_str::<Failure>(&to_string(&failure).unwrap()).unwrap(), failure);
    let plain =
        to_string(&Failure { code: "device".into(), message: "m".into(), ..Failure::default() }).unwrap();
    assert_eq!(plain, r#"{"code":"device","message":"m"}"#, "what has its default is left out");

    let up = to_string(&LinkUp { connection: 3, ..LinkUp::default() }).unwrap();
    assert_eq!(up, r#"{"connection":3}"#, "what an older driver was told");

    let request = HttpRequest {
        method: "POST".into(),
        url: "/power".into(),
        headers: vec![("x-a".into(), "1".into()), ("x-a".into(), "2".into())],
        timeout_ms: Some(500),
        call: 7,
    };
    let text = to_string(&request).unwrap();
    assert!(text.contains(r#"[["x-a","1"],["x-a","2"]]"#), "repeated headers keep their order: {text}");
    assert_eq!(from_str::<HttpRequest>(&text).unwrap(), request);
    let exec = SshExec { command: "uptime".into(), timeout_ms: Some(500), call: 7 };
    assert_eq!(from_str::<SshExec>(&to_string(&exec).unwrap()).unwrap(), exec);
    let output = SshOutput { status: None, signal: Some("TERM".into()), stdout: 7 };
    assert_eq!(from_str::<SshOutput>(&to_string(&output).unwrap()).unwrap(), output);

    let status = StatusOf { system: None, module: "Display".into(), index: 1, key: "power".into() };
    assert_eq!(from_str::<StatusOf>(&to_string(&status).unwrap()).unwrap(), status);
}

#[test]
fn a_manifest_survives() {
    let manifest = Manifest {
        manifest: 1,
        name: "PJLink projector".into(),
        module: "Display".into(),
        port: Some(4352),
        settings: json!({"type": "object"}),
        functions: vec![manifest::Function {
            name: "power".into(),
            security: manifest::Security::Support,
            params: vec![manifest::Param {
                name: "on".into(),
                schema: json!({"type": "boolean"}),
                optional: false,
            }],
            ..manifest::Function::default()
        }],
        emulator: true,
        emulator_messages: true,
        ..Manifest::default()
    };
    assert_eq!(from_str::<Manifest>(&to_string(&manifest).unwrap()).unwrap(), manifest);
}

fn need() -> impl Strategy<Value = manifest::Need> {
    (any::<bool>(), ".{0,20}").prop_map(|(module, name)| {
        if module { manifest::Need::Module(name) } else { manifest::Need::Interface(name) }
    })
}

proptest! {
    #[test]
    fn systems_channels_and_needs_are_read_as_they_were_written(
        (id, name) in (".{0,20}", ".{0,20}"),
        modules in btree_map(".{0,20}", any::<u32>(), 0..5),
        interfaces in btree_map(".{0,20}", vec((".{0,20}", any::<u32>()), 0..5), 0..5),
        timezone in option::of(".{0,20}"),
        (channel, value) in (".{0,300}", any::<Option<f32>>()),
        (requires, optional) in (vec(need(), 0..5), vec(need(), 0..5)),
    ) {
        let system = System { id, name, modules, interfaces, timezone };
        prop_assert_eq!(&from_str::<System>(&to_string(&system).unwrap()).unwrap(), &system);
        let monitor = Monitor { channel: channel.clone() };
        prop_assert_eq!(&from_str::<Monitor>(&to_string(&monitor).unwrap()).unwrap(), &monitor);
        let value = serde_json::value::to_raw_value(&value).unwrap();
        let text = to_string(&Publish { channel: channel.as_str().into(), value: &value }).unwrap();
        let again: Publish<'_> = from_str(&text).unwrap();
        prop_assert_eq!((again.channel.as_ref(), again.value.get()), (channel.as_str(), value.get()));
        let manifest = Manifest { requires, optional, ..Manifest::default() };
        prop_assert_eq!(&from_str::<Manifest>(&to_string(&manifest).unwrap()).unwrap(), &manifest);
    }

    #[test]
    fn no_text_makes_reading_panic(text in ".{0,200}") {
        let _ = from_str::<System>(&text);
        let _ = from_str::<Publish<'_>>(&text);
        let _ = from_str::<Monitor>(&text);
        let _ = from_str::<Manifest>(&text);
    }
}
