//! Interfaces: a driver that implements some, their functions, and what is said of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use drivers_sdk::interfaces::{self, InputSelection, Layer, Muteable, OneOrEach, Powerable, Relays};
use drivers_sdk::prelude::*;
use drivers_sdk_protocol::Manifest;
use drivers_sdk_protocol::manifest::Security;
use serde_json::json;
use support::{Daemon, run};

#[derive(Default, Status)]
struct State {
    power: Option<bool>,
    mute: Option<OneOrEach<bool>>,
    relays: std::collections::BTreeMap<u32, bool>,
    cups: u8,
}

#[derive(Default, Status)]
struct CoffeeStatus {
    /// Cups made.
    cups: u8,
}

/// What makes coffee.
#[interface(status = CoffeeStatus)]
pub trait Coffee {
    /// Makes so many cups.
    #[function(security = "administrator")]
    async fn brew(&self, cx: &Cx<Self>, cups: u8) -> Result<u8>;
}

#[derive(Default)]
struct Machine;

/// Does it all.
#[driver(
    name = "Machine", module = "Machine", logic, status = State,
    implements(Powerable, Muteable, Relays, Coffee),
)]
impl Machine {
    /// Its own function.
    #[function]
    fn own(&self) -> u8 {
        1
    }
}

impl Powerable for Machine {
    async fn power(&self, cx: &Cx<Self>, on: bool) -> Result<bool> {
        cx.status.set(|status| status.power = Some(on));
        Ok(on)
    }
}

impl Muteable for Machine {
    async fn mute(&self, cx: &Cx<Self>, on: bool, layer: Option<Layer>, output: Option<u32>) -> Result<bool> {
        let said = json!([layer, output]).to_string();
        cx.info(said);
        cx.status.set(|status| status.mute = Some(on.into()));
        Ok(on)
    }

    // What the device knows better than the interface.
    async fn mute_video(&self, _: &Cx<Self>, _: bool, _: Option<u32>) -> Result<bool> {
        Err(Error::device("there is no picture"))
    }
}

impl Relays for Machine {
    async fn relay(&self, cx: &Cx<Self>, relay: u32, on: bool) -> Result {
        cx.status.set(|status| status.relays.insert(relay, on));
        Ok(())
    }
}

impl Coffee for Machine {
    async fn brew(&self, cx: &Cx<Self>, cups: u8) -> Result<u8> {
        cx.status.set(|status| {
            status.cups += cups;
            Ok(status.cups)
        })
    }
}

fn manifest() -> Manifest {
    drivers_sdk::__private::manifest::<Machine>(false)
}

#[test]
fn the_manifest_names_the_interfaces_and_has_their_functions_with_docs_and_schemas() {
    let manifest = manifest();
    assert_eq!(manifest.interfaces, ["Powerable", "Muteable", "Relays", "Coffee"]);
    let names: Vec<&str> = manifest.functions.iter().map(|function| &*function.name).collect();
    let expected = ["own", "power", "mute", "mute_audio", "mute_video", "relay", "pulse_relay", "brew"];
    assert_eq!(names, expected);
    let power = &manifest.functions[1];
    assert!(power.description.starts_with("Turns it on or off."), "{}", power.description);
    assert_eq!((power.params[0].name.as_str(), &power.params[0].schema), ("on", &json!({"type": "boolean"})));
    assert_eq!(power.returns, json!({"type": "boolean"}));
    let mute = &manifest.functions[2];
    let params: Vec<(&str, bool)> = mute.params.iter().map(|param| (&*param.name, param.optional)).collect();
    assert_eq!(params, [("on", false), ("layer", true), ("output", true)]);
    assert!(mute.params[1].schema.to_string().contains("audio_video"), "{}", mute.params[1].schema);
    assert_eq!(manifest.functions[7].security, Security::Administrator);
}

#[test]
fn a_drivers_functions_and_those_of_its_interfaces_are_called_alike() {
    run(async {
        let mut daemon = Daemon::of::<Machine>().await;
        daemon.start(1, json!({}), None).await;
        assert_eq!(daemon.call(1, "own", json!([])).await, Ok(json!(1)));
        assert_eq!(daemon.call(1, "power", json!([true])).await, Ok(json!(true)));
        assert_eq!(daemon.status_of(1, "power"), Some("true"));
        assert_eq!(daemon.call(1, "mute", json!({"on": true, "output": 2})).await, Ok(json!(true)));
        assert!(daemon.logged("[null,2]"), "{:?}", daemon.logs);
        // Given by the interface, by means of `mute`; and written by the driver in its place.
        assert_eq!(daemon.call(1, "mute_audio", json!([false])).await, Ok(json!(false)));
        assert!(daemon.logged(r#"["audio",null]"#), "{:?}", daemon.logs);
        let failure = daemon.call(1, "mute_video", json!([true])).await.unwrap_err();
        assert_eq!((&*failure.code, &*failure.message), ("device", "there is no picture"));
        assert_eq!(daemon.call(1, "brew", json!([2])).await, Ok(json!(2)));
        assert_eq!(daemon.call(1, "pulse_relay", json!([3, 500])).await, Ok(json!(null)));
        let relays: Vec<&str> = daemon
            .status
            .iter()
            .filter(|(_, key, _)| key == "relays")
            .map(|(_, _, value)| value.as_str())
            .collect();
        assert_eq!(relays, ["{}", r#"{"3":true}"#, r#"{"3":false}"#]);
        let failure = daemon.call(1, "mute", json!([1])).await.unwrap_err();
        assert!(failure.message.contains("argument `on` of `mute`"), "{failure:?}");
        let failure = daemon.call(1, "input", json!(["1"])).await.unwrap_err();
        assert_eq!(failure.code, "unknown_function");
    });
}

#[test]
fn every_interface_of_the_sdk_is_documented_and_none_is_there_twice() {
    let mut names: Vec<&str> = interfaces::ALL.iter().map(|interface| interface.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), interfaces::ALL.len());
    let mut functions = Vec::new();
    for interface in interfaces::ALL {
        let contract = interface.contract();
        assert!(!contract.description.is_empty(), "{}", contract.name);
        for function in &contract.functions {
            assert!(!function.description.is_empty(), "{}.{}", contract.name, function.name);
            functions.push(function.name.clone());
        }
        for (key, schema) in contract.status["properties"].as_object().unwrap() {
            assert!(schema["description"].is_string(), "{}.{key}", contract.name);
        }
    }
    // One driver may implement them all.
    functions.sort_unstable();
    let all = functions.len();
    functions.dedup();
    assert_eq!(functions.len(), all, "{functions:?}");
}

#[test]
fn a_driver_is_checked_against_its_contracts() {
    let mut good = manifest();
    assert_eq!(interfaces::broken(&good), Vec::<String>::new());
    assert_eq!(Coffee.broken_by(&good), Vec::<String>::new());

    // As another SDK might say.
    good.interfaces.push("InputSelection".into());
    good.functions.retain(|function| function.name != "relay");
    good.functions[1].security = Security::Support;
    good.functions[1].params[0].name = "state".into();
    good.status["properties"]["mute"] = json!({"type": ["string", "null"]});
    let broken = interfaces::broken(&good);
    let expected = [
        "the function `power` has not the shape that `Powerable` gives it",
        "the function `power` is for fewer people than `Powerable` promises",
        "the status `mute` may be string, and `Muteable` allows boolean or object",
        "`InputSelection` needs the function `input`, which is missing",
        "`InputSelection` needs the status `input`, which is missing",
        "`Relays` needs the function `relay`, which is missing",
    ];
    assert_eq!(broken, expected);
    assert_eq!(InputSelection.name, "InputSelection");
}

/// `UPDATE=1 cargo test -p drivers-sdk --test interfaces` writes the table anew.
#[test]
fn the_guide_lists_every_interface() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/driver-guide.md");
    let guide = std::fs::read_to_string(path).unwrap();
    let head = "| --- | --- | --- | --- |\n";
    let at = guide.find("| interface | ").unwrap();
    let start = at + guide[at..].find(head).unwrap() + head.len();
    let end = start + guide[start..].find("\n\n").unwrap() + 1;
    let source: String = ["av", "building", "camera", "people"]
        .map(|file| {
            std::fs::read_to_string(format!("{}/src/interfaces/{file}.rs", env!("CARGO_MANIFEST_DIR")))
                .unwrap()
        })
        .concat();
    let mut table = String::new();
    for interface in interfaces::ALL {
        let (given, own): (Vec<_>, Vec<_>) = interface.functions.iter().partition(|function| {
            let from = source.find(&format!("    async fn {}(", function.name)).unwrap();
            let body = source[from..].find([';', '{']).unwrap();
            source[from + body..].starts_with('{')
        });
        let functions = |functions: Vec<&_>| {
            let shown = functions.iter().map(|function: &&drivers_sdk::interfaces::Function| {
                let names = function.params.iter().map(|param| {
                    let optional = if param.optional { "?" } else { "" };
                    format!("{}{optional}", param.name)
                });
                format!("`{}({})`", function.name, Vec::from_iter(names).join(", "))
            });
            Vec::from_iter(shown).join(", ")
        };
        let keys = interface.status_keys.iter().map(|key| format!("`{key}`"));
        let row = [
            format!("`{}`", interface.name),
            functions(own),
            functions(given),
            Vec::from_iter(keys).join(", "),
        ];
        table += &format!("| {} |\n", row.join(" | ")).replace("|  |", "| |");
    }
    let expected = format!("{}{table}{}", &guide[..start], &guide[end..]);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &expected).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), expected);
}
