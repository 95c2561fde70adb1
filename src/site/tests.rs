use super::*;
use crate::model::{Role, settings::Level};

const BASE: &str = r#"
[repositories.examples]
uri = "https://example.com/drivers.git"

[drivers.projector]
repository = "examples"
file_name = "pjlink/Cargo.toml"
module_name = "Display"
role = "device"
settings = { poll = 30, inputs = ["hdmi", "vga"] }

[drivers.room]
repository = "examples"
file_name = "room/Cargo.toml"
module_name = "Room"
role = "logic"

[zones.campus]
tags = ["org"]

[zones.level-1]
name = "Level 1"
parent = "campus"
settings = { quiet = true }

[systems.boardroom]
name = "Boardroom"
zones = ["campus", "level-1"]
modules = ["boardroom-projector", "boardroom-room"]

[modules.boardroom-projector]
driver = "projector"
ip = "127.0.0.1"
port = 4352
emulated = true
settings_admin = { password = "secret" }

[modules.boardroom-room]
driver = "room"
running = false
"#;

fn read(text: &str) -> Result<Site, String> {
    read::read(std::path::Path::new("site.toml"), text, 1_700_000_000).map_err(|error| error.to_string())
}

#[test]
fn names_become_ids_and_what_follows_is_filled_in() {
    let site = read(BASE).unwrap();
    let repository = &site.repositories[0];
    assert_eq!(
        (&*repository.name, &*repository.folder_name, &*repository.branch),
        ("examples", "examples", "master")
    );

    let (projector, room) = (&site.drivers[0], &site.drivers[1]);
    assert_eq!(projector.repository_id, repository.id);
    assert_eq!((projector.role, &*projector.commit), (Role::Device, "HEAD"));

    assert_eq!(site.zones[1].parent_id.as_ref(), Some(&site.zones[0].id));
    let system = &site.systems[0];
    assert_eq!(system.zones, [site.zones[0].id.clone(), site.zones[1].id.clone()]);
    assert_eq!(system.modules, [site.modules[0].id.clone(), site.modules[1].id.clone()]);

    let (display, logic) = (&site.modules[0], &site.modules[1]);
    assert_eq!((&*display.name, display.role, display.running), ("Display", Role::Device, true));
    assert_eq!((&display.driver_id, &display.control_system_id), (&projector.id, &None));
    assert_eq!((logic.running, &logic.control_system_id), (false, &Some(system.id.clone())));
    assert_eq!(logic.driver_id, room.id);

    let level = |parent: &str| site.settings.iter().find(|one| one.parent_id == parent).unwrap();
    assert_eq!(level(&projector.id).keys, ["poll", "inputs"]);
    assert_eq!(level(&site.zones[1].id).encryption_level, Level::None);
    assert_eq!(level(&display.id).encryption_level, Level::Admin);
    assert_eq!(site.settings.len(), 3);
    assert_eq!(site.summary(), "1 repositories, 2 drivers, 2 zones, 1 systems, 2 modules");
}

#[test]
fn a_mistake_is_refused_with_its_line() {
    for (from, to, expected) in [
        (
            "driver = \"projector\"",
            "driver = \"projektor\"",
            "site.toml:32: there is no `projektor` in [drivers]: projector, room",
        ),
        (
            "zones = [\"campus\", \"level-1\"]",
            "zones = [\"attic\"]",
            "site.toml:28: there is no `attic` in [zones]",
        ),
        ("role = \"logic\"", "role = \"logical\"", "site.toml:16: `logical` is not a role"),
        ("role = \"logic\"", "", "site.toml:12: `room` lacks `role`"),
        ("port = 4352", "port = \"4352\"", "site.toml:34: `port`: invalid type"),
        (
            "emulated = true",
            "emulatd = true",
            "site.toml:35: unknown field `emulatd`, expected one of driver, ip, port",
        ),
        (
            "[zones.campus]",
            "[zone.campus]",
            "site.toml:18: unknown section `zone`, expected one of repositories",
        ),
        ("tags = [\"org\"]", "parent = \"level-1\"", "site.toml:19: zone `campus` is its own ancestor"),
        ("name = \"Level 1\"", "name = \"campus\"", "site.toml:22: `name` \"campus\" should be unique"),
        (
            "\"boardroom-projector\", \"boardroom-room\"]",
            "\"boardroom-projector\"]",
            "site.toml:38: logic module `boardroom-room`",
        ),
        (
            "\"boardroom-projector\", \"boardroom-room\"]",
            "\"boardroom-room\", \"boardroom-room\"]",
            "site.toml:29: `boardroom-room` is listed twice",
        ),
        ("poll = 30", "poll = 2026-01-01", "site.toml:10: write dates and times as text"),
        ("settings = { quiet = true }", "settings = true", "site.toml:24: `settings` must be a table"),
        ("[drivers.room]", "[drivers.room", "site.toml:12: "),
        (
            "uri = \"https://example.com/drivers.git\"",
            "uri = \"nowhere\"",
            "site.toml:3: there is nothing at nowhere",
        ),
    ] {
        assert!(BASE.contains(from), "{from}");
        let error = read(&BASE.replacen(from, to, 1)).unwrap_err();
        assert!(error.starts_with(expected), "{to:?} gave {error:?}");
    }
}

#[test]
fn a_repository_may_be_the_work_tree_around_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let repository = git2::Repository::init(folder.path()).unwrap();
    std::fs::create_dir(folder.path().join("examples")).unwrap();
    let path = folder.path().join("examples/site.toml");
    std::fs::write(&path, "[repositories.here]\nuri = \"..\"\nroot_path = \"examples\"\n").unwrap();
    let error = Site::read(&path, 0).unwrap_err().to_string();
    assert!(
        error.contains("site.toml:2:") && error.contains("is not a git repository with a commit"),
        "{error}"
    );

    let tree = repository.find_tree(repository.index().unwrap().write_tree().unwrap()).unwrap();
    let author = git2::Signature::now("Someone", "someone@example.com").unwrap();
    let commit = repository.commit(Some("refs/heads/trunk"), &author, &author, "First", &tree, &[]).unwrap();
    repository.set_head("refs/heads/trunk").unwrap();
    let read = || Site::read(&path, 0).unwrap().repositories.remove(0);
    let root = folder.path().canonicalize().unwrap();
    assert_eq!(read().uri, format!("file://{}", root.display()));
    assert_eq!(
        (&*read().branch, &*read().commit_hash, read().root_path.as_deref()),
        ("trunk", "HEAD", Some("examples"))
    );

    repository.set_head_detached(commit).unwrap();
    assert_eq!(read().commit_hash, commit.to_string());
}
