use std::{collections::BTreeSet, path::Path};

use toml::{Table, Value};

use super::{ranges::RANGES, *};

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    let overrides =
        Overrides::environment(environment.iter().map(|(name, value)| (name.to_string(), value.to_string())));
    let place = folder.path().display().to_string() + "/";
    Config::load(Some(&path), &overrides).map_err(|error| error.to_string().replace(&place, ""))
}

fn defaults() -> Table {
    Table::try_from(Config::default()).unwrap()
}

#[test]
fn an_empty_file_gives_the_defaults() {
    let config = load("", &[]).unwrap();
    assert_eq!(config.server, Server::default());
    assert_eq!(config.data, Data::default());
}

#[test]
fn what_is_wrong_is_refused_with_file_line_and_what_was_expected() {
    for (text, expected) in [
        (
            "\n[server]\nlisen = 1\n",
            "config.toml:3: unknown field `lisen`, expected `listen` or `worker_threads`",
        ),
        ("[sever]\n", "config.toml:1: unknown field `sever`, expected one of"),
        (
            "[server]\nworker_threads = \"two\"\n",
            "config.toml:2: invalid type: string \"two\", expected a whole number, not negative",
        ),
        (
            "[server]\nworker_threads = 513\n",
            "config.toml:2: server.worker_threads is 513: expected 0 to 512",
        ),
        ("[server]\nlisten = \"here\"\n", "config.toml:2: `here` is not an address and port"),
        ("[log]\n\nlevel = \"loud=very\"\n", "config.toml:3: `loud=very` is not a log level"),
        ("[log]\nformat = \"xml\"\n", "config.toml:2: unknown variant `xml`, expected `human` or `json`"),
        ("[log\n", "config.toml:1: "),
    ] {
        let error = load(text, &[]).unwrap_err();
        assert!(error.starts_with(expected), "{text:?} gave {error:?}");
    }
}

#[test]
fn the_environment_wins_over_the_file_and_flags_over_both() {
    let text = "[server]\nlisten = \"127.0.0.1:1\"\n[log]\nlevel = \"warn\"\n";
    let environment = [("HEADEND_LOG", "debug"), ("HEADEND_SERVER_LISTEN", "127.0.0.1:2"), ("PATH", "/bin")];
    let config = load(text, &environment).unwrap();
    assert_eq!(config.log.level, "debug");
    assert_eq!(config.server.listen.port(), 2);

    let overrides =
        Overrides::environment(environment.iter().map(|(name, value)| (name.to_string(), value.to_string())))
            .flag("--listen", "server", "listen", Some("127.0.0.1:3".into()))
            .flag("--data", "data", "dir", None);
    assert_eq!(Config::load(None, &overrides).unwrap().server.listen.port(), 3);
}

#[test]
fn a_variable_that_is_no_option_or_has_a_bad_value_is_refused_by_name() {
    for (name, value, expected) in [
        ("HEADEND_SERVER_WORKERS", "1", "HEADEND_SERVER_WORKERS: is not an option"),
        ("HEADEND_LISTN", "x", "HEADEND_LISTN: is not an option"),
        ("HEADEND_SERVER_WORKER_THREADS", "x", "HEADEND_SERVER_WORKER_THREADS: `x` is not a whole number"),
        (
            "HEADEND_SERVER_WORKER_THREADS",
            "900",
            "HEADEND_SERVER_WORKER_THREADS: server.worker_threads is 900",
        ),
        ("HEADEND_LISTEN", "x", "HEADEND_LISTEN: `x` is not an address and port"),
    ] {
        let error = load("", &[(name, value)]).unwrap_err();
        assert!(error.starts_with(expected), "{name}={value} gave {error:?}");
    }
    assert!(load("", &[("HEADEND_ADMIN_KEY", "a.b")]).is_ok());
}

#[test]
fn every_number_has_a_range() {
    let numbers: BTreeSet<String> = defaults()
        .iter()
        .flat_map(|(section, options)| {
            let options = options.as_table().unwrap_or_else(|| panic!("{section} is not a section"));
            options
                .iter()
                .filter(|(_, value)| value.is_integer())
                .map(move |(key, _)| format!("{section}.{key}"))
        })
        .collect();
    let ranged = RANGES.iter().map(|(section, key, ..)| format!("{section}.{key}")).collect();
    assert_eq!(numbers, ranged);
}

#[test]
fn the_example_file_has_every_option_with_its_default_and_a_sentence() {
    /// What the example sets for its own sake.
    const ITS_OWN: &[&str] = &["data.dir", "site.file"];
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml")).unwrap();
    let example: Table = text.parse().unwrap();
    for (section, options) in &defaults() {
        for (key, default) in options.as_table().unwrap() {
            let name = format!("{section}.{key}");
            let shown = example.get(section).and_then(|options| options.get(key));
            let shown = shown.unwrap_or_else(|| panic!("config.example.toml lacks {name}"));
            assert!(
                ITS_OWN.contains(&name.as_str()) || shown == default,
                "{name} is {shown}, default {default}"
            );
        }
    }
    // Every key line follows a comment line.
    let mut previous = "";
    for line in text.lines() {
        let is_key = line
            .split_once(" = ")
            .is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        assert!(!is_key || previous.starts_with("# "), "config.example.toml: no sentence above {line:?}");
        previous = line;
    }
    let config: Config = toml::from_str(&text).unwrap();
    assert!(matches!(Value::try_from(config).unwrap(), Value::Table(_)));
}
