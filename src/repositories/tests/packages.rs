//! Drivers found in a commit.

use super::*;
use crate::repositories::Error;

#[tokio::test]
async fn drivers_are_found_by_their_manifests() {
    let origin = Origin::new();
    let package = |name: &str, rest: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\ndescription = \" About {name} \"\n{rest}")
    };
    let main = "fn main() {}";
    origin.commit(
        "Drivers",
        &[
            ("one/Cargo.toml", &package("one", "[dependencies]\ndrivers-sdk = \"0.1\"\n")),
            ("one/src/main.rs", main),
            // Renamed, for one platform, in a program of another name.
            ("two/Cargo.toml", &package("two", "[[bin]]\nname = \"twice\"\npath = \"src/other.rs\"\n[target.'cfg(unix)'.dependencies]\nsdk = { package = \"drivers-sdk\", version = \"0.1\" }\n")),
            ("two/src/other.rs", main),
            // A workspace that says it all.
            ("space/Cargo.toml", "[workspace]\nmembers = [\"*\"]\nexclude = [\"apart\"]\n[workspace.package]\nversion = \"1.2.3\"\ndescription = \"Shared\"\n[workspace.dependencies]\nsdk = { package = \"drivers-sdk\", version = \"0.1\" }\n"),
            ("space/three/Cargo.toml", "[package]\nname = \"three\"\nversion.workspace = true\ndescription.workspace = true\n[dependencies]\nsdk.workspace = true\n"),
            ("space/three/src/bin/only.rs", main),
            ("space/apart/Cargo.toml", &package("apart", "[dependencies]\ndrivers-sdk = \"0.1\"\n")),
            ("space/apart/src/main.rs", main),
            // Not drivers: a library, something else, a development dependency, a vendored crate.
            ("library/Cargo.toml", &package("library", "[dependencies]\ndrivers-sdk = \"0.1\"\n")),
            ("library/src/lib.rs", ""),
            ("tool/Cargo.toml", &package("tool", "[dev-dependencies]\ndrivers-sdk = \"0.1\"\n")),
            ("tool/src/main.rs", main),
            ("vendor/x/Cargo.toml", &package("x", "[dependencies]\ndrivers-sdk = \"0.1\"\n")),
            ("vendor/x/.cargo-checksum.json", "{}"),
            ("vendor/x/src/main.rs", main),
            // Garbage is reported, and spoils nothing.
            ("bad/Cargo.toml", "[package\nname = "),
            ("nameless/Cargo.toml", "[package]\nversion = \"0.1.0\"\n[dependencies]\ndrivers-sdk = \"0.1\"\n"),
            ("many/Cargo.toml", &package("many", "[dependencies]\ndrivers-sdk = \"0.1\"\n")),
            ("many/src/bin/a.rs", main),
            ("many/src/bin/b.rs", main),
        ],
    );
    let (home, mut source) = (home(), origin.source());
    let found = home.drivers(&source, "").await.unwrap();
    assert_eq!(found.commit, home.resolve(&source, "").await.unwrap());
    let brief: Vec<_> = found
        .drivers
        .iter()
        .map(|driver| {
            (
                driver.file_name.as_str(),
                driver.name.as_str(),
                driver.binary.as_str(),
                driver.description.as_str(),
            )
        })
        .collect();
    assert_eq!(
        brief,
        [
            ("one/Cargo.toml", "one", "one", "About one"),
            ("space/apart/Cargo.toml", "apart", "apart", "About apart"),
            ("space/three/Cargo.toml", "three", "only", "Shared"),
            ("two/Cargo.toml", "two", "twice", "About two"),
        ]
    );
    let workspaces: Vec<_> = found.drivers.iter().map(|driver| driver.workspace.as_deref()).collect();
    assert_eq!(workspaces, [None, None, Some("space/Cargo.toml"), None]);
    assert!(found.drivers.iter().all(|driver| driver.sdk.as_deref() == Some("0.1")));
    let warned: Vec<_> = found.warnings.iter().filter_map(|warning| warning.split(':').next()).collect();
    assert_eq!(warned, ["bad/Cargo.toml", "many/Cargo.toml", "nameless/Cargo.toml"], "{:?}", found.warnings);

    source.root = Some("/space/".into());
    let found = home.drivers(&source, "").await.unwrap();
    let names: Vec<_> = found.drivers.iter().map(|driver| driver.name.as_str()).collect();
    assert_eq!((names, found.warnings), (vec!["apart", "three"], vec![]));

    for (file_name, why) in [
        ("nowhere/Cargo.toml", "no such file"),
        ("tool/Cargo.toml", "drivers-sdk"),
        ("many/Cargo.toml", "default-run"),
        ("bad/Cargo.toml", "bad/Cargo.toml"),
    ] {
        let commit = found.commit.clone();
        let error = home.build(&source, file_name, &commit, false).await.unwrap_err();
        assert_eq!(error.kind, crate::repositories::build::Kind::NotADriver, "{error}");
        assert!(error.message.contains(why), "{error}");
    }
    let missing = home.drivers(&source, "no-such").await.unwrap_err();
    assert!(matches!(missing, Error::NoSuchCommit { .. }));
}
