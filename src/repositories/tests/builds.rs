//! Builds with the real cargo, against the SDK that the daemon carries. They share one folder, and with it the compiled
//! dependencies; it is inside this workspace, as a data folder may well be.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::*;
use crate::repositories::build::{Kind, State};

/// The folder that the tests of this file take turns in. Their drivers are not optimized, which halves the time.
struct Shared {
    repositories: Repositories,
    _turn: File,
}

impl std::ops::Deref for Shared {
    type Target = Repositories;

    fn deref(&self) -> &Repositories {
        &self.repositories
    }
}

fn shared(options: Options) -> Shared {
    let program = std::env::current_exe().unwrap();
    let root = program.ancestors().nth(3).unwrap().join("tmp/repositories");
    fs::create_dir_all(&root).unwrap();
    let turn = File::create(root.join("turn")).unwrap();
    turn.lock().unwrap();
    for left in ["mirrors", "artifacts"] {
        let _ = fs::remove_dir_all(root.join(left));
    }
    Shared { repositories: Repositories::open(root, options).unwrap(), _turn: turn }
}

fn cargo_toml(name: &str) -> String {
    format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\ndrivers-sdk = \"0.1\"\n\n[profile.release]\nopt-level = 0\n"
    )
}

/// A program that prints a manifest and no more.
fn main_rs(name: &str) -> String {
    format!(
        "use drivers_sdk as _;\n\nfn main() {{\n    assert_eq!(std::env::args().nth(1).as_deref(), Some(\"--manifest\"));\n    \
         println!(r#\"{{{{\"manifest\":1,\"name\":\"{name}\",\"module\":\"Test\",\"kind\":\"logic\"}}}}\"#);\n}}\n"
    )
}

/// A stand-in for cargo, for what the real one does not do on demand.
fn script(folder: &Path, text: &str) -> String {
    let path = folder.join("cargo");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn lines(repositories: &Repositories) -> Vec<String> {
    let running = |build: crate::repositories::Build| match build.state {
        State::Running { line, .. } => Some(line),
        _ => None,
    };
    repositories.builds().into_iter().filter_map(running).collect()
}

#[tokio::test]
async fn a_driver_is_built_kept_and_outlives_commits_that_do_not_compile() {
    let origin = Origin::new();
    let good =
        origin.commit("One", &[("one/Cargo.toml", &cargo_toml("one")), ("one/src/main.rs", &main_rs("One"))]);
    let home = shared(Options::default());
    let source = origin.source();
    let file_name = "one/Cargo.toml";
    assert!(home.artifact("repo-1", file_name, &good).is_none());

    // Eight ask at once, and share one build.
    let askers = (0..8).map(|_| home.build(&source, file_name, &good, false));
    let artifacts = futures_util::future::join_all(askers).await;
    let first = artifacts.into_iter().map(Result::unwrap).next().unwrap();
    assert_eq!((first.manifest.name.as_str(), first.commit.as_str()), ("One", good.as_str()));
    let builds = home.builds();
    assert_eq!(builds.len(), 1, "{builds:?}");
    assert!(matches!(builds[0].state, State::Done { .. }), "{builds:?}");
    let output = Command::new(&first.executable).arg("--manifest").output().unwrap();
    assert!(output.status.success());
    let log = fs::read_to_string(first.executable.with_file_name("build.log")).unwrap();
    assert!(log.contains("Compiling one v0.1.0"), "{log}");

    // Kept: neither asking again nor an abbreviated commit builds again, `force` does.
    let again = home.build(&source, file_name, &good, false).await.unwrap();
    assert_eq!((again.built_at, home.builds().len()), (first.built_at, 1));
    let forced = home.build(&source, file_name, &good, true).await.unwrap();
    assert!(forced.built_at > first.built_at);
    assert_eq!(home.builds().len(), 2);

    let bad = origin.commit("Two", &[("one/src/main.rs", "fn main() { let x: u8 = \"no\"; }")]);
    let error = home.build(&source, file_name, &bad, false).await.unwrap_err();
    assert_eq!(error.kind, Kind::Compile, "{error}");
    assert!(
        error.message.contains("one/Cargo.toml") && error.message.contains("mismatched types"),
        "{error}"
    );
    assert!(error.message.contains(&bad[..8]), "{error}");
    assert!(error.output.contains("src/main.rs:1"), "{}", error.output);
    assert!(
        matches!(&home.builds().last().unwrap().state, State::Failed { error, .. } if error.kind == Kind::Compile)
    );
    assert!(home.artifact("repo-1", file_name, &bad).is_none());
    assert!(home.artifact("repo-1", file_name, &good).is_some(), "a failed build took the good one away");

    // The same place, another source: nothing of the commit before is taken for it.
    let mended = origin.commit("Three", &[("one/src/main.rs", &main_rs("Mended"))]);
    let artifact = home.build(&source, file_name, &mended, false).await.unwrap();
    assert_eq!(artifact.manifest.name, "Mended");
    // And back again, in another repository of the same names.
    let twin = Origin::new();
    let commit =
        twin.commit("Twin", &[("one/Cargo.toml", &cargo_toml("one")), ("one/src/main.rs", &main_rs("Twin"))]);
    let of_twin = Source { id: "repo-2".into(), ..twin.source() };
    assert_eq!(home.build(&of_twin, file_name, &commit, false).await.unwrap().manifest.name, "Twin");
    home.remove("repo-2").await.unwrap();
    assert!(home.artifact("repo-2", file_name, &commit).is_none());
    assert!(home.artifact("repo-1", file_name, &mended).is_some());
}

#[tokio::test]
async fn drivers_of_one_workspace_are_built_together_and_fail_alone() {
    let origin = Origin::new();
    let member = |name: &str| {
        format!(
            "[package]\nname = \"{name}\"\nversion.workspace = true\nedition = \"2024\"\n[dependencies]\ndrivers-sdk.workspace = true\n"
        )
    };
    let commit = origin.commit(
        "Workspace",
        &[
            ("Cargo.toml", "[workspace]\nmembers = [\"drivers/*\"]\nexclude = [\"drivers/old\"]\nresolver = \"3\"\n[workspace.package]\nversion = \"0.1.0\"\n[workspace.dependencies]\ndrivers-sdk = \"0.1\"\n[profile.release]\nopt-level = 0\npanic = \"abort\"\n"),
            // What the repository's own configuration says about the SDK is for its author's machine.
            (".cargo/config.toml", "[patch.crates-io]\ndrivers-sdk = { path = \"../no/such/place\" }\n"),
            ("drivers/a/Cargo.toml", &member("a")),
            ("drivers/a/src/main.rs", &main_rs("A")),
            ("drivers/b/Cargo.toml", &member("b")),
            ("drivers/b/src/main.rs", &main_rs("B")),
            ("drivers/broken/Cargo.toml", &member("broken")),
            ("drivers/broken/src/main.rs", "fn main() { nonsense() }"),
            ("drivers/mute/Cargo.toml", &member("mute")),
            ("drivers/mute/src/main.rs", "use drivers_sdk as _; fn main() { eprintln!(\"no manifest here\"); }"),
            ("drivers/old/Cargo.toml", &cargo_toml("old").replace("drivers-sdk = \"0.1\"", "drivers-sdk = \"99\"")),
            ("drivers/old/src/main.rs", &main_rs("Old")),
        ],
    );
    let home = shared(Options::default());
    let source = origin.source();
    home.fetch(&source).await.unwrap();
    let build = |name: &str| {
        let (home, source, commit) = (home.repositories.clone(), source.clone(), commit.clone());
        let file_name = format!("drivers/{name}/Cargo.toml");
        async move { home.build(&source, &file_name, &commit, false).await }
    };
    let (a, b, broken, mute, old) =
        tokio::join!(build("a"), build("b"), build("broken"), build("mute"), build("old"));
    assert_eq!(a.unwrap().manifest.name, "A");
    assert_eq!(b.unwrap().manifest.name, "B");
    let error = broken.unwrap_err();
    assert_eq!(error.kind, Kind::Compile, "{error}");
    assert!(error.message.contains("nonsense"), "{error}");
    let error = mute.unwrap_err();
    assert_eq!(error.kind, Kind::Manifest, "{error}");
    assert!(error.message.contains("no manifest here"), "{error}");
    let error = old.unwrap_err();
    assert_eq!(error.kind, Kind::Compile, "{error}");
    assert!(error.message.contains("\"99\""), "{error}");
}

#[tokio::test]
async fn a_repository_that_vendors_its_crates_builds_without_a_network() {
    let origin = Origin::new();
    origin
        .commit("Driver", &[("Cargo.toml", &cargo_toml("vendored")), ("src/main.rs", &main_rs("Vendored"))]);
    // As its author does it, with a copy of the SDK at hand.
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("drivers-sdk");
    let author = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-r").arg(&sdk).arg(author.path().join("sdk")).status().unwrap();
    assert!(copied.success());
    let patch = format!("patch.crates-io.drivers-sdk.path={:?}", author.path().join("sdk"));
    let vendored = Command::new("cargo")
        .args(["vendor", "--config", &patch])
        .current_dir(origin.path())
        .output()
        .unwrap();
    assert!(vendored.status.success(), "{}", String::from_utf8_lossy(&vendored.stderr));
    let configuration = String::from_utf8(vendored.stdout).unwrap();
    assert!(configuration.contains("vendored-sources"), "{configuration}");
    let commit = origin.commit("Vendor", &[(".cargo/config.toml", &configuration)]);

    // A cargo with nothing cached and nobody to ask.
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("home");
    fs::create_dir(&empty).unwrap();
    let cargo = script(
        folder.path(),
        &format!(
            "CARGO_HOME={} HTTPS_PROXY=http://127.0.0.1:1 HTTP_PROXY=http://127.0.0.1:1 exec cargo \"$@\"",
            empty.display()
        ),
    );
    let home = shared(Options { cargo, ..Options::default() });
    let artifact = home.build(&origin.source(), "Cargo.toml", &commit, false).await.unwrap();
    assert_eq!(artifact.manifest.name, "Vendored");
    assert!(!empty.join("registry").exists(), "it fetched something");
}

/// A repository with a driver, for builds that never come to compile.
fn simple() -> (Origin, String) {
    let origin = Origin::new();
    let commit =
        origin.commit("One", &[("Cargo.toml", &cargo_toml("simple")), ("src/main.rs", &main_rs("Simple"))]);
    (origin, commit)
}

#[tokio::test]
async fn what_stops_a_build_is_said() {
    let (origin, commit) = simple();
    let folder = tempfile::tempdir().unwrap();
    let cargo = |text: &str| script(folder.path(), text);
    let said = "echo '   Compiling x' >&2; echo 'error: could not write: No space left on device (os error 28)' >&2; exit 101";
    for (options, kind, says) in [
        (
            Options { cargo: "/no/such/cargo".into(), ..Options::default() },
            Kind::CargoMissing,
            "Install Rust",
        ),
        (
            Options { cargo: cargo("sleep 600"), build_ms: 300, ..Options::default() },
            Kind::Timeout,
            "builds.build_ms",
        ),
        (Options { cargo: cargo(said), ..Options::default() }, Kind::Disk, "disk"),
    ] {
        // The script is one file: write the one this round wants.
        if kind == Kind::Timeout {
            cargo("sleep 600");
        } else {
            cargo(said);
        }
        let home = home_with(options);
        let error = home.build(&origin.source(), "Cargo.toml", &commit, false).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(says), "{error}");
    }
    // The real cargo, with less memory than a compiler needs.
    let home = home_with(Options { build_memory_bytes: 100 << 20, build_jobs: 1, ..Options::default() });
    let error = home.build(&origin.source(), "Cargo.toml", &commit, false).await.unwrap_err();
    assert_eq!(error.kind, Kind::Memory, "{error}\n{}", error.output);
}

#[tokio::test]
async fn progress_is_visible_and_the_end_of_the_daemon_ends_a_build() {
    let (origin, commit) = simple();
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let cargo = script(
        folder.path(),
        &format!(
            "env > {}/env; echo '   Compiling tokio v1' >&2; echo $$ > {}; sleep 600",
            folder.path().display(),
            pid.display()
        ),
    );
    let home = home_with(Options { cargo, ..Options::default() });
    let (repositories, source, hash) = (home.repositories.clone(), origin.source(), commit.clone());
    let build = tokio::spawn(async move { repositories.build(&source, "Cargo.toml", &hash, false).await });
    until("the compiler says something", || lines(&home) == ["Compiling tokio v1"]).await;
    until("the number of the process is known", || {
        fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n'))
    })
    .await;

    // Another commit of the same repository waits for the slot.
    let next = origin.commit("Two", &[("src/main.rs", &main_rs("Two"))]);
    let (repositories, source) = (home.repositories.clone(), origin.source());
    let waiting = tokio::spawn(async move { repositories.build(&source, "Cargo.toml", &next, false).await });
    until("a second build waits", || home.builds().len() == 2).await;
    assert!(matches!(home.builds()[1].state, State::Queued));

    // Nothing of the daemon's own reaches a build.
    let environment = fs::read_to_string(folder.path().join("env")).unwrap();
    let own = environment.lines().find(|line| {
        line.starts_with("CARGO_PKG") || line.starts_with("NEXTEST") || line.starts_with("RUST_BACKTRACE")
    });
    assert!(own.is_none(), "{own:?}");

    home.shutdown().await;
    for ended in [build.await.unwrap(), waiting.await.unwrap()] {
        assert_eq!(ended.unwrap_err().kind, Kind::Stopped);
    }
    let number = fs::read_to_string(&pid).unwrap();
    assert!(!Path::new("/proc").join(number.trim()).exists(), "cargo outlived the daemon");
    let error = home.build(&origin.source(), "Cargo.toml", &commit, false).await.unwrap_err();
    assert_eq!(error.kind, Kind::Stopped);
}

#[tokio::test]
async fn a_slot_that_an_orphan_still_uses_is_left_alone() {
    let (origin, commit) = simple();
    let folder = tempfile::tempdir().unwrap();
    let started = folder.path().join("started");
    let cargo = script(folder.path(), &format!("touch {}; exit 101", started.display()));
    let home = home_with(Options { cargo, ..Options::default() });
    let slot = home.folder.path().join("build/slot-0");
    fs::create_dir_all(&slot).unwrap();
    let orphan = File::create(slot.join("lock")).unwrap();
    orphan.lock().unwrap();
    let (repositories, source) = (home.repositories.clone(), origin.source());
    let build = tokio::spawn(async move { repositories.build(&source, "Cargo.toml", &commit, false).await });
    until("the build has left the queue", || !lines(&home).is_empty()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!started.exists() && !slot.join("src").exists(), "it works in a slot that is in use");
    drop(orphan);
    assert_eq!(build.await.unwrap().unwrap_err().kind, Kind::Compile);
    assert!(started.exists());
}
