//! Interfaces: what drivers of one kind have in common, so that panels and logic drivers need not know which it is.
//!
//! An interface is a trait. A driver names it in `#[driver(… implements(…))]` and implements it; its functions are then
//! exposed with the documentation and schemas given here, and the manifest names it. An interface also lists status keys,
//! which the driver's status must have. Both are checked by the compiler, where the author wrote them.
//!
//! ```
//! use drivers_sdk::interfaces::Powerable;
//! use drivers_sdk::prelude::*;
//!
//! #[derive(Default, Status)]
//! struct LampStatus {
//!     /// Whether the lamp burns.
//!     power: Option<bool>,
//! }
//!
//! #[derive(Default)]
//! struct Lamp;
//!
//! /// A lamp.
//! #[driver(
//!     name = "Lamp", module = "Lamp", tcp = 5000, framing = lines("\n"), status = LampStatus, implements(Powerable),
//! )]
//! impl Lamp {}
//!
//! impl Powerable for Lamp {
//!     async fn power(&self, cx: &Cx<Self>, on: bool) -> Result<bool> {
//!         cx.send(if on { "ON" } else { "OFF" }).named("power").reply(exact("OK")).await?;
//!         cx.status.set(|status| status.power = Some(on));
//!         Ok(on)
//!     }
//! }
//!
//! drivers_sdk::main!(Lamp);
//! ```
//!
//! Functions with a body here are there for every driver; write your own where the device knows better. Where a device has
//! several of a kind, an argument says which, counting from 1; left out, it means all of them, or the only one. A status
//! key then has a value for each: [`OneOrEach`].
//!
//! Percentages are from 0 to 100. An interface of your own is a trait with [`#[interface]`](macro@crate::interface).

use std::collections::{BTreeMap, BTreeSet};

use drivers_sdk_protocol::Manifest;
use drivers_sdk_protocol::manifest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::driver::{Driver, FunctionSchemas, Schemas};
pub use crate::driver::{Function, Param};
use crate::manifest::{described, schemas};
use crate::status::StatusDescription;

mod av;
mod building;
mod camera;
mod checks;
mod people;

pub use av::{AudioVolume, InputSelection, Layer, Muteable, Powerable, Switchable};
pub use building::{Blinds, LightingLevels, LightingScenes, Reading, Relays, SensorKind, Sensors};
pub use camera::{Camera, CameraPosition, CameraPresets, Position};
pub use checks::check;
pub use people::{Door, DoorSecurity, Locatable, Location, Messaging};

/// Every interface of the SDK.
pub const ALL: &[Interface] = &[
    Powerable,
    Muteable,
    AudioVolume,
    InputSelection,
    Switchable,
    Camera,
    CameraPosition,
    CameraPresets,
    LightingScenes,
    LightingLevels,
    Blinds,
    Relays,
    Sensors,
    DoorSecurity,
    Locatable,
    Messaging,
];

/// An interface. `#[interface]` makes one of a trait.
#[derive(Clone, Copy, Debug)]
pub struct Interface {
    /// Its name, as manifests have it.
    pub name: &'static str,
    /// Markdown, from the trait's doc comment.
    pub description: &'static str,
    /// What drivers name it by.
    #[doc(hidden)]
    pub id: u64,
    /// Its functions, in the order of the source.
    pub functions: &'static [Function],
    /// Their schemas.
    #[doc(hidden)]
    pub schemas: fn(&mut Schemas) -> Vec<FunctionSchemas>,
    /// The status keys that a driver with it has.
    pub status_keys: &'static [&'static str],
    #[doc(hidden)]
    pub status: fn(&mut StatusDescription<'_>),
}

/// Its name.
impl AsRef<str> for Interface {
    fn as_ref(&self) -> &str {
        self.name
    }
}

/// The driver names the interface with this id: `#[driver]` implements it.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` implements an interface that its #[driver(…)] does not name",
    label = "callers would not find these functions",
    note = "name it there: `#[driver(…, implements(Powerable))]`"
)]
pub trait Implements<const ID: u64>: Driver {}

/// The value of the only one, or of each of several by its number: `40`, or `{"1": 40, "2": 25}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrEach<T> {
    /// Of the only one, or of the main one.
    One(T),
    /// Of each, by its number from 1.
    Each(BTreeMap<u32, T>),
}

/// Of the only one: `status.mute = Some(on.into())`.
impl<T> From<T> for OneOrEach<T> {
    fn from(one: T) -> OneOrEach<T> {
        OneOrEach::One(one)
    }
}

impl<T> From<BTreeMap<u32, T>> for OneOrEach<T> {
    fn from(each: BTreeMap<u32, T>) -> OneOrEach<T> {
        OneOrEach::Each(each)
    }
}

/// What an interface promises, for forms, documentation and tests.
#[derive(Clone, Debug, Serialize)]
pub struct Contract {
    /// Its name.
    pub name: &'static str,
    /// Markdown.
    pub description: &'static str,
    /// Its functions with their parameters.
    pub functions: Vec<manifest::Function>,
    /// JSON Schema of its status: an object with a property for each key.
    pub status: Value,
}

impl Interface {
    /// What it promises.
    pub fn contract(&self) -> Contract {
        let mut schemas = schemas();
        let types = (self.schemas)(&mut schemas);
        let functions = self.functions.iter().zip(types);
        let functions = functions.map(|(function, types)| described(function, types)).collect();
        let mut status = StatusDescription::new(&mut schemas);
        (self.status)(&mut status);
        Contract { name: self.name, description: self.description, functions, status: status.finish() }
    }

    /// What of the contract a driver breaks, a sentence each. A driver of this SDK can only have a status key of another
    /// type, or a function with more restricted security; others may do anything.
    pub fn broken_by(&self, manifest: &Manifest) -> Vec<String> {
        let Contract { name, functions, status, .. } = self.contract();
        let mut broken = Vec::new();
        for wanted in &functions {
            match manifest.functions.iter().find(|function| function.name == wanted.name) {
                None => {
                    broken.push(format!("`{name}` needs the function `{}`, which is missing", wanted.name))
                }
                Some(function) => {
                    let same = function.params == wanted.params && function.returns == wanted.returns;
                    if !same {
                        broken.push(format!(
                            "the function `{}` has not the shape that `{name}` gives it",
                            wanted.name
                        ));
                    }
                    if function.security > wanted.security {
                        broken.push(format!(
                            "the function `{}` is for fewer people than `{name}` promises",
                            wanted.name
                        ));
                    }
                }
            }
        }
        for (key, wanted) in status.get("properties").and_then(Value::as_object).into_iter().flatten() {
            match manifest.status.get("properties").and_then(|properties| properties.get(key)) {
                None => broken.push(format!("`{name}` needs the status `{key}`, which is missing")),
                Some(there) => {
                    let (wanted, there) = (types(wanted), types(there));
                    if !there.is_subset(&wanted) {
                        broken.push(format!(
                            "the status `{key}` may be {}, and `{name}` allows {}",
                            Vec::from_iter(there).join(" or "),
                            Vec::from_iter(wanted).join(" or ")
                        ));
                    }
                }
            }
        }
        broken
    }
}

/// What a driver breaks of the contracts of the interfaces that its manifest names, a sentence each. Interfaces that are
/// not the SDK's are not looked at.
pub fn broken(manifest: &Manifest) -> Vec<String> {
    let named = ALL.iter().filter(|interface| manifest.interfaces.iter().any(|name| name == interface.name));
    named.flat_map(|interface| interface.broken_by(manifest)).collect()
}

/// The JSON types that a schema allows, but for `null`, which is the absence of a status.
fn types(schema: &Value) -> BTreeSet<&'static str> {
    const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
    let named = |name: &str| TYPES.into_iter().find(|known| *known == name);
    let of_value = |value: &Value| match value {
        Value::Null => None,
        Value::Bool(_) => Some("boolean"),
        Value::Number(_) => Some("number"),
        Value::String(_) => Some("string"),
        Value::Array(_) => Some("array"),
        Value::Object(_) => Some("object"),
    };
    let mut all: BTreeSet<&'static str> = match schema.get("type") {
        Some(Value::String(name)) => named(name).into_iter().collect(),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).filter_map(named).collect(),
        _ => {
            let some = ["anyOf", "oneOf"].into_iter().find_map(|word| schema.get(word)?.as_array());
            match (some, schema.get("enum").and_then(Value::as_array), schema.get("const")) {
                (Some(some), _, _) => some.iter().flat_map(types).collect(),
                (None, Some(values), _) => values.iter().filter_map(of_value).collect(),
                (None, None, Some(value)) => of_value(value).into_iter().collect(),
                (None, None, None) => TYPES.into(),
            }
        }
    };
    if all.contains("number") {
        all.insert("integer");
    }
    all
}
