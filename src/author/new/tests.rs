use super::*;

fn made(name: &str, kind: Kind, folder: &Path) -> Made {
    new(name, kind, Some(folder)).unwrap()
}

fn refusal(name: &str, folder: &Path) -> String {
    new(name, Kind::Tcp, Some(folder)).unwrap_err().to_string()
}

#[test]
fn a_new_repository_and_then_another_driver_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path().join("drivers");
    let first = made("desk-lamp", Kind::Tcp, &repository);
    assert!(first.is_new);
    let files = ["Cargo.toml", "src/main.rs", "src/emulator.rs", "src/tests.rs"];
    assert_eq!(first.files, files.map(|file| Path::new("desk-lamp").join(file)));
    assert!(repository.join(".git").is_dir());
    assert_eq!(fs::read_to_string(repository.join(".gitignore")).unwrap(), "/target\n/.headend\n");
    let main = fs::read_to_string(repository.join("desk-lamp/src/main.rs")).unwrap();
    assert!(main.contains(r#"name = "Desk lamp", module = "DeskLamp", tcp = 5000"#), "{main}");
    assert!(main.contains("drivers_sdk::main!(DeskLamp, emulator"), "{main}");
    let manifest = fs::read_to_string(repository.join("desk-lamp/Cargo.toml")).unwrap();
    assert!(manifest.contains("name = \"desk-lamp\"") && manifest.contains(DEPENDENCIES), "{manifest}");

    // What the author has put there stays.
    let workspace = repository.join("Cargo.toml");
    let text = fs::read_to_string(&workspace).unwrap() + "\n[workspace.lints.rust]\nunsafe_code = \"deny\"\n";
    fs::write(&workspace, &text).unwrap();
    assert!(!made("room", Kind::Logic, &repository).is_new);
    let members = text.replace("[\"desk-lamp\"]", "[\"desk-lamp\", \"room\"]");
    assert_eq!(fs::read_to_string(&workspace).unwrap(), members);
    assert!(members.contains("\"room\""), "{members}");
    let manifest = fs::read_to_string(repository.join("room/Cargo.toml")).unwrap();
    assert!(manifest.ends_with(&format!("{DEPENDENCIES}\n[lints]\nworkspace = true\n")), "{manifest}");
}

#[test]
fn what_is_refused_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path().join("drivers");
    for (name, why) in [
        ("1a", "cannot start with a digit"),
        ("fn", "is a Rust keyword"),
        ("test", "conflicts"),
        ("a/../b", "invalid character"),
        ("", "cannot be empty"),
    ] {
        let said = refusal(name, &repository);
        assert!(said.contains(why) || (name.is_empty() && said.contains("already")), "{name}: {said}");
        assert!(!repository.join("Cargo.toml").exists(), "{name}");
    }
    fs::create_dir_all(repository.join("lamp")).unwrap();
    assert!(refusal("lamp", &repository).contains("lamp: there is something of that name already"));
    assert_eq!(fs::read_dir(&repository).unwrap().count(), 1);

    fs::write(repository.join("Cargo.toml"), "[package]\nname = \"single\"\n").unwrap();
    assert!(refusal("other", &repository).contains("without a [workspace]"));
    assert!(!repository.join("other").exists());
}

#[test]
fn names_for_people_and_for_the_compiler() {
    let fill = |name| fill("NewDriver/New driver", name);
    assert_eq!(fill("lamp"), "Lamp/Lamp");
    assert_eq!(fill("my_desk-lamp2"), "MyDeskLamp2/My desk lamp2");
    assert_eq!(fill("device"), "DeviceDriver/Device");
}

#[test]
fn every_kind_has_a_driver_with_tests_and_all_but_logic_an_emulator() {
    for kind in <Kind as clap::ValueEnum>::value_variants() {
        let names: Vec<String> = template(*kind).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names.first().map(String::as_str), Some("main.rs"), "{kind:?}");
        assert!(names.contains(&"tests.rs".into()), "{kind:?}");
        assert_eq!(names.contains(&"emulator.rs".into()), *kind != Kind::Logic, "{kind:?}");
    }
}
