//! Tests of the parts that need no cargo.

use super::*;

#[test]
fn the_environment_holds_no_secret_of_the_daemon() {
    let all = [
        ("PATH", "/bin"),
        ("HOME", "/home/headend"),
        ("HEADEND_ADMIN_KEY", "secret"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("CARGO_REGISTRY_TOKEN", "secret"),
        ("SSH_AUTH_SOCK", "/tmp/agent"),
        ("CARGO_NET_OFFLINE", "true"),
        ("HTTPS_PROXY", "http://proxy"),
        ("MY_OWN", "wanted"),
        ("RUSTUP_TOOLCHAIN", "stable"),
    ];
    let all = || all.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let options = Options { build_environment: vec!["MY_OWN".into()], ..Options::default() };
    let top = tempfile::tempdir().unwrap();
    let given = environment(all(), top.path(), top.path(), &options);
    let names: Vec<_> = given.keys().filter_map(|name| name.to_str()).collect();
    assert_eq!(names, ["CARGO_NET_OFFLINE", "HOME", "HTTPS_PROXY", "MY_OWN", "PATH", "RUSTUP_TOOLCHAIN"]);
    assert_eq!(given.get(OsStr::new("PATH")).unwrap(), "/bin:/home/headend/.cargo/bin");
    std::fs::write(top.path().join("rust-toolchain.toml"), "").unwrap();
    let given = environment(all(), &top.path().join("a"), top.path(), &options);
    assert!(!given.contains_key(OsStr::new("RUSTUP_TOOLCHAIN")));
}

#[test]
fn the_first_error_and_its_place() {
    let output = "   Compiling a v0.1.0\nwarning: x\nerror[E0308]: mismatched types\n --> src/main.rs:3:9\n  |\nerror: more\n";
    assert_eq!(first_error(output).unwrap(), "error[E0308]: mismatched types (src/main.rs:3:9)");
    assert_eq!(
        first_error("error: no matching package named `x` found\n").unwrap(),
        "error: no matching package named `x` found"
    );
    assert!(first_error("all is well").is_none());
}

#[test]
fn the_end_of_a_long_output_is_kept() {
    let mut tail = Tail::new(10);
    for number in 0..1000 {
        tail.add(format!("{number}\n").as_bytes());
    }
    assert!(tail.bytes.len() <= 24, "it grows without bound");
    assert_eq!(tail.text(), "[the beginning is left out]\n7\n998\n999\n");
}

#[test]
fn executables_are_taken_from_messages() {
    let line = br#"{"reason":"compiler-artifact","manifest_path":"/s/a/Cargo.toml","target":{"kind":["bin"],"name":"a"},"executable":"/t/a"}"#;
    let (manifest, name, executable) = executable(line).unwrap();
    assert_eq!((manifest, name.as_str(), executable), ("/s/a/Cargo.toml".into(), "a", "/t/a".into()));
    assert!(super::executable(b"not json").is_none());
    assert!(
        super::executable(
            br#"{"reason":"compiler-artifact","target":{"name":"a"},"manifest_path":"/x","executable":null}"#
        )
        .is_none()
    );
}
