//! Repositories in folders: what every kind of remote has in common.

use super::*;
use crate::repositories::Error;

#[tokio::test]
async fn history_names_and_files() {
    let origin = Origin::new();
    let first = origin.commit("First\n\nmore", &[("a/Cargo.toml", "x"), ("a/README.md", "# A")]);
    let second = origin.commit("Second", &[("b/Cargo.toml", "x")]);
    let third = origin.commit("Third", &[("a/src/main.rs", "x")]);
    let git = origin.open();
    let second_commit = git.find_commit(git2::Oid::from_str(&second).unwrap()).unwrap();
    git.branch("feature/x", &second_commit, false).unwrap();
    git.tag_lightweight("v1", second_commit.as_object(), false).unwrap();
    git.tag("v2", second_commit.as_object(), &second_commit.author(), "annotated", false).unwrap();

    let (home, source) = (home(), origin.source());
    assert_eq!(home.remote_branches(&source).await.unwrap(), ["feature/x", "main"]);
    assert_eq!(home.remote_tags(&source).await.unwrap(), ["v1", "v2"]);
    assert_eq!(home.remote_default_branch(&source).await.unwrap(), "main");
    assert!(!home.folder.path().join("mirrors").exists(), "listing a remote left a mirror");

    assert_eq!(home.fetch(&source).await.unwrap(), third);
    assert_eq!(home.branches(&source).await.unwrap(), ["feature/x", "main"]);
    assert_eq!(home.tags(&source).await.unwrap(), ["v1", "v2"]);
    assert_eq!(home.default_branch(&source).await.unwrap(), "main");
    for (revision, commit) in [
        ("", &third),
        ("HEAD", &third),
        ("main", &third),
        ("feature/x", &second),
        ("v1", &second),
        ("v2", &second),
        (&first, &first),
        (&first[..7], &first),
    ] {
        assert_eq!(&home.resolve(&source, revision).await.unwrap(), commit, "{revision}");
    }
    let commits = home.commits(&source, "", None, 10).await.unwrap();
    assert_eq!(commits.iter().map(|commit| &commit.hash).collect::<Vec<_>>(), [&third, &second, &first]);
    let last = commits.last().unwrap();
    assert_eq!((last.subject.as_str(), last.author.as_str()), ("First", "Ada"));
    assert_eq!(last.date, "2026-03-01T12:00:00Z");
    let of = async |branch: &str, path: Option<&str>, limit| {
        let commits = home.commits(&source, branch, path, limit).await.unwrap();
        commits.into_iter().map(|commit| commit.subject).collect::<Vec<_>>()
    };
    assert_eq!(of("", Some("a/Cargo.toml"), 10).await, ["Third", "First"]);
    assert_eq!(of("", Some("b/Cargo.toml"), 10).await, ["Second"]);
    assert_eq!(of("", None, 1).await, ["Third"]);
    assert_eq!(of("feature/x", None, 10).await, ["Second", "First"]);
    assert_eq!(home.readme(&source, "", "a/Cargo.toml").await.unwrap(), "# A");
    let missing = home.readme(&source, "", "b/Cargo.toml").await.unwrap_err();
    assert!(matches!(missing, Error::NoSuchFile { .. }), "{missing}");
}

#[tokio::test]
async fn names_of_what_was_never_fetched_are_not_known_rather_than_none() {
    let origin = Origin::new();
    let home = home();
    let source = origin.source();
    let away = origin.path().with_extension("away");
    std::fs::rename(origin.path(), &away).unwrap();
    home.fetch(&source).await.unwrap_err();
    for names in [home.branches(&source).await, home.tags(&source).await] {
        let error = names.unwrap_err();
        assert!(error.to_string().contains(&source.uri), "{error}");
    }
    std::fs::rename(&away, origin.path()).unwrap();
    // Without a commit there is nothing, and that is known.
    assert_eq!(home.branches(&source).await.unwrap(), [""; 0]);
    origin.commit("First", &[("a", "1")]);
    assert_eq!(home.branches(&source).await.unwrap(), ["main"]);
    let other = Source { id: "repo-2".into(), branch: "other".into(), ..source };
    assert_eq!(home.branches(&other).await.unwrap(), ["main"], "though its own is not there");
}

#[tokio::test]
async fn follows_a_branch_that_moves_is_rewritten_or_goes() {
    let origin = Origin::new();
    let first = origin.commit("First", &[("a", "1")]);
    let (home, source) = (home(), origin.source());
    assert_eq!(home.fetch(&source).await.unwrap(), first);
    let second = origin.commit("Second", &[("a", "2")]);
    assert_eq!(home.resolve(&source, "").await.unwrap(), first, "the mirror moved without a fetch");
    assert_eq!(home.fetch(&source).await.unwrap(), second);

    // A force-push: back to the first commit, and another history from there.
    let git = origin.open();
    let old = git.find_object(git2::Oid::from_str(&first).unwrap(), None).unwrap();
    git.reset(&old, git2::ResetType::Hard, None).unwrap();
    let other = origin.commit("Other", &[("b", "1")]);
    assert_eq!(home.fetch(&source).await.unwrap(), other);
    assert_eq!(home.resolve(&source, &second).await.unwrap(), second, "a commit in use was lost");

    // A new branch is found without being told to fetch; a deleted one goes with the next fetch.
    let head = git.head().unwrap().peel_to_commit().unwrap();
    let mut branch = git.branch("late", &head, false).unwrap();
    assert_eq!(home.resolve(&source, "late").await.unwrap(), other);
    branch.delete().unwrap();
    home.fetch(&source).await.unwrap();
    assert_eq!(home.branches(&source).await.unwrap(), ["main"]);
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let origin = Origin::new();
    let (home, source) = (home(), origin.source());
    let empty = home.fetch(&source).await.unwrap_err();
    assert!(matches!(&empty, Error::NoSuchBranch { known, .. } if known.contains("empty")), "{empty}");

    origin.commit("First", &[("a", "1")]);
    let wrong = home.fetch(&Source { branch: "mian".into(), ..source.clone() }).await.unwrap_err();
    let text = wrong.to_string();
    assert!(text.contains("\"mian\"") && text.contains("main") && text.contains(&origin.uri()), "{text}");

    let vanished = "0123456789012345678901234567890123456789";
    for revision in [vanished, "0123456", "no-such-tag", "HEAD~1", ":/First"] {
        let error = home.resolve(&source, revision).await.unwrap_err();
        assert!(matches!(error, Error::NoSuchCommit { .. }), "{revision}: {error}");
    }
    let error = home.build(&source, "a/Cargo.toml", vanished, false).await.unwrap_err();
    assert_eq!(error.kind, crate::repositories::build::Kind::Repository, "{error}");
    assert!(error.message.contains(vanished), "{error}");
}

#[tokio::test]
async fn a_head_that_is_on_no_branch_can_be_followed() {
    let origin = Origin::new();
    let first = origin.commit("First", &[("a", "1")]);
    origin.commit("Second", &[("a", "2")]);
    origin.open().set_head_detached(git2::Oid::from_str(&first).unwrap()).unwrap();
    let (home, mut source) = (home(), origin.source());
    source.branch = "HEAD".into();
    assert_eq!(home.fetch(&source).await.unwrap(), first);
    source.branch = String::new();
    assert_eq!(home.resolve(&source, "HEAD").await.unwrap(), first);
}

#[tokio::test]
async fn folders_that_are_no_repository() {
    let origin = Origin::new();
    origin.commit("First", &[("drivers/a/x", "1")]);
    let home = home();
    let inside = Source { uri: format!("{}/drivers", origin.uri()), ..origin.source() };
    let error = home.fetch(&inside).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::NotARepository { .. }), "{text}");
    assert!(text.contains("\"drivers\""), "the root path is not offered: {text}");
    let empty = tempfile::tempdir().unwrap();
    let none = Source { uri: empty.path().to_str().unwrap().into(), ..origin.source() };
    assert!(matches!(home.fetch(&none).await.unwrap_err(), Error::NotARepository { .. }));
    let gone = Source { uri: "/no/such/folder".into(), ..origin.source() };
    let error = home.fetch(&gone).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_folder_of_another_user_is_read() {
    use std::os::unix::fs::{MetadataExt, chown};
    let origin = Origin::new();
    let first = origin.commit("First", &[("a", "1")]);
    if std::fs::metadata(origin.path()).unwrap().uid() != 0 {
        eprintln!("SKIPPED: only root can give a folder away");
        return;
    }
    let mut folders = vec![origin.path().to_owned()];
    while let Some(path) = folders.pop() {
        chown(&path, Some(12345), Some(12345)).unwrap();
        if path.is_dir() {
            folders.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    let home = home();
    assert_eq!(home.fetch(&origin.source()).await.unwrap(), first);
}

#[tokio::test]
async fn a_mirror_that_was_left_half_made_is_made_anew() {
    let origin = Origin::new();
    let first = origin.commit("First", &[("a", "1")]);
    let home = home();
    let half = home.folder.path().join("mirrors/repo-1");
    std::fs::create_dir_all(&half).unwrap();
    std::fs::write(half.join("HEAD"), "").unwrap();
    assert_eq!(home.fetch(&origin.source()).await.unwrap(), first);
    home.remove("repo-1").await.unwrap();
    assert!(!half.exists());
    home.remove("repo-1").await.unwrap();
}

#[tokio::test]
async fn many_fetches_at_once() {
    let origin = Origin::new();
    let first = origin.commit("First", &[("a", "1")]);
    let (home, source) = (home(), origin.source());
    let fetches = (0..16).map(|_| home.fetch(&source));
    for head in futures_util::future::join_all(fetches).await {
        assert_eq!(head.unwrap(), first);
    }
}

#[tokio::test]
async fn what_a_killed_daemon_left_in_a_mirror_is_cleared() {
    let origin = Origin::new();
    origin.commit("First", &[("a", "1")]);
    let (home, source) = (home(), origin.source());
    home.fetch(&source).await.unwrap();
    let second = origin.commit("Second", &[("a", "2")]);
    let mirror = home.folder.path().join("mirrors/repo-1");
    let left = ["refs/heads/main.lock", "packed-refs.lock", "HEAD.lock", "objects/pack/pack_git2_abc"];
    for left in left {
        std::fs::write(mirror.join(left), "").unwrap();
    }
    assert_eq!(home.fetch(&source).await.unwrap(), second);
    assert!(left.iter().all(|left| !mirror.join(left).exists()));
}

/// Continuous integration checks repositories out like this.
#[tokio::test]
async fn a_folder_with_a_shallow_history() {
    let origin = Origin::new();
    origin.commit("First", &[("a", "1")]);
    let second = origin.commit("Second", &[("a", "2")]);
    let folder = tempfile::tempdir().unwrap();
    let shallow = folder.path().join("shallow");
    let uri = format!("file://{}", origin.path().display());
    let cloned = std::process::Command::new("git")
        .args(["-c", "safe.directory=*", "clone", "-q", "--depth=1", &uri])
        .arg(&shallow)
        .output()
        .unwrap();
    assert!(cloned.status.success(), "{}", String::from_utf8_lossy(&cloned.stderr));
    let home = home();
    let source = Source { uri: shallow.to_str().unwrap().into(), ..origin.source() };
    assert_eq!(home.fetch(&source).await.unwrap(), second);
    let commits = home.commits(&source, "", None, 10).await.unwrap();
    assert_eq!(commits.iter().map(|commit| commit.subject.as_str()).collect::<Vec<_>>(), ["Second"]);
    assert_eq!(home.commits(&source, "", Some("a"), 10).await.unwrap().len(), 1);
    assert_eq!(home.drivers(&source, "").await.unwrap().drivers, []);
    let repository = Repository::open(&shallow).unwrap();
    let parent = repository.head().unwrap().peel_to_commit().unwrap();
    let who = Signature::new("Ada", "ada@example.com", &Time::new(1_772_370_000, 0)).unwrap();
    let tree = parent.tree().unwrap();
    let third = repository.commit(Some("HEAD"), &who, &who, "Third", &tree, &[&parent]).unwrap().to_string();
    assert_eq!(home.fetch(&source).await.unwrap(), third);
    assert_eq!(home.commits(&source, "", None, 10).await.unwrap().len(), 2);
}
