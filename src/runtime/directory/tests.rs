//! What a change affects, and what a module gets.

use super::*;
use crate::model::Role;

struct World {
    _folder: tempfile::TempDir,
    directory: Directory,
    sequence: u64,
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let vault = Arc::new(Vault::open(folder.path()).unwrap());
    let mut world = World { directory: Directory::new(vault), _folder: folder, sequence: 0 };
    world.put(Driver { id: "driver-1".into(), ..Driver::default() });
    world.put(Driver { id: "driver-2".into(), role: Role::Logic, ..Driver::default() });
    world.put(module("mod-1", "driver-1"));
    world.put(module("mod-2", "driver-1"));
    let logic =
        Module { role: Role::Logic, control_system_id: Some("sys-1".into()), ..module("mod-3", "driver-2") };
    world.put(logic);
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
    world.put(System {
        id: "sys-1".into(),
        modules: ids(&["mod-1", "mod-3", "mod-2"]),
        zones: ids(&["zone-1"]),
        ..System::default()
    });
    world
}

fn module(id: &str, driver: &str) -> Module {
    Module { id: id.into(), driver_id: driver.into(), name: "Display".into(), ..Module::default() }
}

fn settings(parent: &str, text: &str) -> Settings {
    Settings {
        id: format!("sets-{parent}"),
        parent_id: parent.into(),
        settings_string: text.into(),
        ..Settings::default()
    }
}

impl World {
    fn change(&mut self, kind: Kind, id: &str, body: Option<String>) -> (Vec<String>, Vec<String>) {
        self.sequence += 1;
        let document = body.map(|body| {
            Arc::new(Document { kind, id: id.into(), revision: self.sequence, body: body.into() })
        });
        let change = Change { sequence: self.sequence, kind, id: id.into(), document };
        let mut affected = Affected::default();
        self.directory.apply(&change, &mut affected);
        let ids = |ids: BTreeSet<Id>| ids.iter().map(|id| id.to_string()).collect();
        (ids(affected.modules), ids(affected.systems))
    }

    /// The modules and systems that are affected.
    fn put<R: Resource>(&mut self, resource: R) -> (Vec<String>, Vec<String>) {
        self.change(R::KIND, resource.id(), Some(serde_json::to_string(&resource).unwrap()))
    }

    fn settings(&self, id: &str) -> Result<String, String> {
        self.directory
            .settings(&self.directory.modules[id], &serde_json::Value::Null)
            .map(|settings| settings.values)
    }

    fn displays(&self) -> Vec<String> {
        let places = self.directory.places("sys-1").unwrap();
        places["Display"].iter().map(|id| id.to_string()).collect()
    }
}

#[test]
fn a_change_affects_those_who_depend_on_it_and_nobody_else() {
    let mut world = world();
    let none: [&str; 0] = [];
    let (modules, systems) = world.put(settings("driver-1", "a: 1"));
    assert_eq!((modules, systems.len()), (vec!["mod-1".into(), "mod-2".into()], 0));
    let (modules, _) = world.put(settings("mod-2", "a: 1"));
    assert_eq!(modules, ["mod-2"]);
    for parent in ["zone-1", "sys-1"] {
        let (modules, _) = world.put(settings(parent, "a: 1"));
        assert_eq!(modules, ["mod-3"], "{parent}");
    }
    let (modules, _) = world.put(settings("zone-2", "a: 1"));
    assert_eq!(modules, none);

    // Its name is its place; its address is not.
    let (modules, systems) = world.put(Module { ip: "10.0.0.1".into(), ..module("mod-1", "driver-1") });
    assert_eq!((modules, systems.len()), (vec!["mod-1".into()], 0));
    let (modules, systems) =
        world.put(Module { custom_name: Some("Screen".into()), ..module("mod-1", "driver-1") });
    assert_eq!((modules, systems), (vec!["mod-1".into()], vec!["sys-1".into()]));

    // A settings document that moves to another parent affects both.
    let moved = Settings { id: "sets-mod-2".into(), ..settings("mod-1", "a: 1") };
    assert_eq!(world.put(moved).0, ["mod-1", "mod-2"]);
    assert_eq!(world.change(Kind::Settings, "sets-mod-2", None).0, ["mod-1"]);
}

#[test]
fn places_follow_the_order_of_the_system_and_the_names_of_its_modules() {
    let mut world = world();
    assert_eq!(world.displays(), ["mod-1", "mod-3", "mod-2"]);
    world.put(Module { custom_name: Some("Screen".into()), ..module("mod-3", "driver-2") });
    assert_eq!(world.displays(), ["mod-1", "mod-2"]);
    let (_, systems) = world.change(Kind::Module, "mod-1", None);
    assert_eq!(systems, ["sys-1"]);
    assert_eq!(world.displays(), ["mod-2"]);
    world.change(Kind::System, "sys-1", None);
    assert!(world.directory.places("sys-1").is_none());
}

#[test]
fn a_system_has_a_time_zone_of_its_own_or_that_of_its_last_zone() {
    let mut world = world();
    let none: [&str; 0] = [];
    let zone = |id: &str, timezone: Option<&str>| Zone {
        id: id.into(),
        timezone: timezone.map(Into::into),
        ..Zone::default()
    };
    let of = |world: &World| {
        let system = &world.directory.systems["sys-1"];
        world.directory.timezone(system).map(str::to_owned)
    };
    assert_eq!(of(&world), None);
    assert_eq!(world.put(zone("zone-1", Some("Europe/Berlin"))).0, ["mod-3"]);
    assert_eq!(of(&world).as_deref(), Some("Europe/Berlin"));
    // What else a zone says concerns nobody here.
    let named = Zone { name: "Level 3".into(), ..zone("zone-1", Some("Europe/Berlin")) };
    assert_eq!(world.put(named).0, none);
    assert_eq!(world.put(zone("zone-2", Some("Asia/Tokyo"))).0, none);

    let system = System::clone(&world.directory.systems["sys-1"]);
    let zones = vec!["zone-1".to_owned(), "zone-2".to_owned(), "zone-3".to_owned()];
    world.put(System { zones, ..system.clone() });
    assert_eq!(of(&world).as_deref(), Some("Asia/Tokyo"));
    assert_eq!(world.change(Kind::Zone, "zone-2", None).0, ["mod-3"]);
    assert_eq!(of(&world).as_deref(), Some("Europe/Berlin"));
    world.put(System { timezone: Some("Europe/London".into()), ..system });
    assert_eq!(of(&world).as_deref(), Some("Europe/London"));
}

#[test]
fn settings_are_merged_and_what_cannot_be_read_is_never_dropped_in_silence() {
    let mut world = world();
    world.put(settings("driver-1", "a: driver\nb: driver"));
    world.put(settings("mod-1", "b: module"));
    world.put(settings("sys-1", "a: system"));
    assert_eq!(world.settings("mod-1").unwrap(), r#"{"a":"driver","b":"module"}"#);
    assert_eq!(world.settings("mod-3").unwrap(), r#"{"a":"system"}"#);
    world.put(settings("mod-1", "b: [unclosed"));
    let problem = world.settings("mod-1").unwrap_err();
    assert!(problem.starts_with("settings sets-mod-1 of mod-1 cannot be used: "), "{problem}");
    assert!(world.settings("mod-2").is_ok());
}

#[test]
fn sealed_settings_are_revealed() {
    let mut world = world();
    let mut sealed = settings("mod-1", "password: hunter2");
    sealed.encryption_level = crate::model::settings::Level::Admin;
    fields::seal_settings(&world.directory.vault, &mut sealed);
    assert!(!sealed.settings_string.contains("hunter2"));
    world.put(sealed);
    assert_eq!(world.settings("mod-1").unwrap(), r#"{"password":"hunter2"}"#);
}

#[test]
fn what_is_not_listed_any_more_is_forgotten() {
    let mut world = world();
    let mut affected = Affected::default();
    world.directory.retain(Kind::Module, &[], &mut affected);
    assert_eq!(affected.modules.len(), 3);
    assert!(world.directory.modules.is_empty());
    assert!(world.directory.places("sys-1").unwrap().is_empty());
}
