//! What settings a module gets, and which document gave each of them.
//!
//! From weakest to strongest: driver, then for logic modules the zones in the order the system lists them and the
//! system, then the module. Within one parent a higher encryption level is stronger. The merge is shallow: a
//! stronger document replaces whole top-level keys. A parent zone's settings are not inherited.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::settings::{Error, Level, ParentType, parse};
use super::{Module, Role, Settings, System};

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    pub parent_id: String,
    pub parent_type: ParentType,
    /// A number on the wire.
    pub level: Level,
}

/// The values of one settings document.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    pub origin: Origin,
    pub value: Map<String, Value>,
}

/// What a module gets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Merged {
    /// By key; keys in the order in which the layers first name them.
    pub values: Map<String, Value>,
    /// Who gave the value of each key.
    pub origins: BTreeMap<String, Origin>,
}

/// The ids whose settings a module gets, weakest first. `system` is the module's own, and counts for logic modules.
pub fn parents(module: &Module, system: Option<&System>) -> Vec<String> {
    let mut parents = vec![module.driver_id.clone()];
    if module.role == Role::Logic
        && let Some(system) = system
    {
        parents.extend(system_parents(system));
    }
    parents.push(module.id.clone());
    parents
}

/// The ids whose settings a system passes on to its logic modules, weakest first.
pub fn system_parents(system: &System) -> Vec<String> {
    let mut parents = system.zones.clone();
    parents.push(system.id.clone());
    parents
}

/// The settings that belong to `parents`, weakest first.
pub fn order<'a>(parents: &[String], settings: impl IntoIterator<Item = &'a Settings>) -> Vec<&'a Settings> {
    // A parent that is listed twice counts where it is strongest.
    let strength = |settings: &Settings| parents.iter().rposition(|parent| *parent == settings.parent_id);
    let mut ordered: Vec<_> = settings
        .into_iter()
        .filter_map(|settings| strength(settings).map(|strength| (strength, settings)))
        .collect();
    ordered.sort_by(|(left, a), (right, b)| {
        let key = |settings: &Settings| (settings.encryption_level, settings.created_at);
        left.cmp(right).then(key(a).cmp(&key(b))).then_with(|| a.id.cmp(&b.id))
    });
    ordered.into_iter().map(|(_, settings)| settings).collect()
}

impl Layer {
    /// The layer of a settings document, whose text in the clear is `text`.
    pub fn new(settings: &Settings, text: &str) -> Result<Layer, Error> {
        let parent_type = settings.parent().ok_or_else(|| Error {
            detail: format!(
                "{} has no settings: it is no driver, zone, system or module",
                settings.parent_id
            ),
            line: None,
        })?;
        let origin =
            Origin { parent_id: settings.parent_id.clone(), parent_type, level: settings.encryption_level };
        Ok(Layer { origin, value: parse(text)? })
    }
}

/// Folds layers, given weakest first.
pub fn merge(layers: &[Layer]) -> Merged {
    let mut merged = Merged::default();
    for layer in layers {
        for (key, value) in &layer.value {
            merged.values.insert(key.clone(), value.clone());
            merged.origins.insert(key.clone(), layer.origin.clone());
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings(parent: &str, level: Level, text: &str) -> Settings {
        Settings {
            id: format!("sets-{parent}-{}", level.number()),
            parent_id: parent.into(),
            encryption_level: level,
            settings_string: text.into(),
            ..Settings::default()
        }
    }

    fn merged(module: &Module, system: Option<&System>, all: &[Settings]) -> Merged {
        let layers: Vec<_> = order(&parents(module, system), all)
            .into_iter()
            .map(|settings| Layer::new(settings, &settings.settings_string).unwrap())
            .collect();
        merge(&layers)
    }

    fn room() -> (Module, System, Vec<Settings>) {
        let module = Module {
            id: "mod-1".into(),
            driver_id: "driver-1".into(),
            role: Role::Logic,
            ..Module::default()
        };
        let zones = vec!["zone-org".into(), "zone-floor".into()];
        let system = System { id: "sys-1".into(), zones, ..System::default() };
        let all = vec![
            settings("mod-1", Level::None, "m: module"),
            settings("sys-1", Level::None, "m: system\ns: system"),
            settings("zone-floor", Level::None, "m: floor\ns: floor\nz: floor"),
            settings("zone-org", Level::NeverDisplay, "m: org\ns: org\nz: org\no: never"),
            settings("zone-org", Level::None, "o: none"),
            settings("driver-1", Level::Admin, "m: driver\ns: driver\nz: driver\no: driver\nd: admin"),
            settings("driver-1", Level::Support, "d: support"),
            settings("zone-elsewhere", Level::None, "m: elsewhere\nx: elsewhere"),
        ];
        (module, system, all)
    }

    #[test]
    fn a_logic_module_gets_driver_zones_system_module() {
        let (module, system, all) = room();
        let merged = merged(&module, Some(&system), &all);
        let text = serde_json::to_string(&merged.values).unwrap();
        assert_eq!(text, r#"{"d":"admin","m":"module","s":"system","z":"floor","o":"never"}"#);
        let origin = |key: &str| {
            let origin = &merged.origins[key];
            (origin.parent_id.as_str(), origin.parent_type, origin.level)
        };
        assert_eq!(origin("m"), ("mod-1", ParentType::Module, Level::None));
        assert_eq!(origin("s"), ("sys-1", ParentType::ControlSystem, Level::None));
        assert_eq!(origin("z"), ("zone-floor", ParentType::Zone, Level::None));
        assert_eq!(origin("o"), ("zone-org", ParentType::Zone, Level::NeverDisplay));
        assert_eq!(origin("d"), ("driver-1", ParentType::Driver, Level::Admin));
    }

    #[test]
    fn any_other_module_gets_driver_and_module() {
        let (mut module, system, all) = room();
        module.role = Role::Device;
        let merged = merged(&module, Some(&system), &all);
        let text = serde_json::to_string(&merged.values).unwrap();
        assert_eq!(text, r#"{"d":"admin","m":"module","s":"driver","z":"driver","o":"driver"}"#);
    }

    fn any_settings() -> impl Strategy<Value = Settings> {
        let parent =
            prop::sample::select(vec!["driver-1", "zone-a", "zone-b", "zone-c", "sys-1", "mod-1", "zone-x"]);
        let level = (0..4_i64).prop_map(|number| Level::from_number(number).unwrap());
        let keys = prop::collection::btree_map("[a-e]", 0..100_i32, 0..4);
        (parent, level, keys)
            .prop_map(|(parent, level, keys)| settings(parent, level, &serde_json::to_string(&keys).unwrap()))
    }

    proptest! {
        /// Against the rule read backwards: a key is its strongest document's, which its origin names.
        #[test]
        fn the_strongest_wins_and_is_named(
            mut all in prop::collection::vec(any_settings(), 0..20),
            zones in Just(vec!["zone-a".to_owned(), "zone-b".into(), "zone-c".into()]).prop_shuffle(),
            logic: bool,
        ) {
            all.sort_by(|a, b| a.id.cmp(&b.id));
            all.dedup_by(|a, b| a.id == b.id);
            let role = if logic { Role::Logic } else { Role::Service };
            let module = Module { id: "mod-1".into(), driver_id: "driver-1".into(), role, ..Module::default() };
            let system = System { id: "sys-1".into(), zones: zones.clone(), ..System::default() };
            let merged = merged(&module, Some(&system), &all);

            let mut strongest_first = vec!["mod-1"];
            if logic {
                strongest_first.push("sys-1");
                strongest_first.extend(zones.iter().rev().map(String::as_str));
            }
            strongest_first.push("driver-1");
            for key in ["a", "b", "c", "d", "e"] {
                let giver = strongest_first.iter().find_map(|parent| {
                    [3, 2, 1, 0].into_iter().find_map(|level| {
                        all.iter().find(|settings| {
                            settings.parent_id == **parent
                                && settings.encryption_level.number() == level
                                && parse(&settings.settings_string).unwrap().contains_key(key)
                        })
                    })
                });
                let value = giver.map(|giver| parse(&giver.settings_string).unwrap()[key].clone());
                prop_assert_eq!(merged.values.get(key), value.as_ref());
                let origin = merged.origins.get(key).map(|origin| (&origin.parent_id, origin.level));
                prop_assert_eq!(origin, giver.map(|giver| (&giver.parent_id, giver.encryption_level)));
            }
            prop_assert_eq!(merged.values.len(), merged.origins.len());
        }

        /// The order never goes down in strength, and drops only what is not the module's.
        #[test]
        fn layers_come_weakest_first(all in prop::collection::vec(any_settings(), 0..20)) {
            let parents: Vec<String> =
                ["driver-1", "zone-b", "zone-a", "sys-1", "mod-1"].map(str::to_owned).into();
            let ordered = order(&parents, &all);
            let strengths: Vec<_> = ordered
                .iter()
                .map(|settings| (parents.iter().position(|id| *id == settings.parent_id).unwrap(), settings.encryption_level))
                .collect();
            prop_assert!(strengths.is_sorted());
            let mine = all.iter().filter(|settings| parents.contains(&settings.parent_id)).count();
            prop_assert_eq!(ordered.len(), mine);
        }
    }
}
