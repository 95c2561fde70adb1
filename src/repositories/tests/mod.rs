//! Tests of the handle as a whole, against real peers: git's own servers, OpenSSH, cargo.

mod builds;
mod folder;
mod http;
mod packages;
mod ssh;
mod web;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use git2::{IndexAddOption, Repository, Signature, Time};

use super::{Options, Repositories, Source};

/// A repository that a test writes to.
struct Origin {
    folder: tempfile::TempDir,
}

impl Origin {
    fn new() -> Origin {
        let folder = tempfile::tempdir().unwrap();
        let mut options = git2::RepositoryInitOptions::new();
        Repository::init_opts(folder.path(), options.initial_head("main")).unwrap();
        Origin { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn uri(&self) -> String {
        self.path().to_str().unwrap().to_owned()
    }

    fn open(&self) -> Repository {
        Repository::open(self.path()).unwrap()
    }

    /// Writes files and commits all there is. Returns the hash.
    fn commit(&self, subject: &str, files: &[(&str, &str)]) -> String {
        for (path, text) in files {
            let path = self.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let repository = self.open();
        let mut index = repository.index().unwrap();
        index.add_all(["*"], IndexAddOption::FORCE, None).unwrap();
        index.write().unwrap();
        let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
        let parent = repository.head().ok().map(|head| head.peel_to_commit().unwrap());
        // Commits a second apart, so that their order by time is their order.
        let count = parent.as_ref().map_or(0, |parent| parent.time().seconds() - 1_772_366_400 + 1);
        let who = Signature::new("Ada", "ada@example.com", &Time::new(1_772_366_400 + count, 60)).unwrap();
        let parents: Vec<_> = parent.iter().collect();
        repository.commit(Some("HEAD"), &who, &who, subject, &tree, &parents).unwrap().to_string()
    }

    fn source(&self) -> Source {
        Source { id: "repo-1".into(), uri: self.uri(), branch: "main".into(), ..Source::default() }
    }
}

/// Repositories in a folder of their own.
struct Home {
    repositories: Repositories,
    folder: tempfile::TempDir,
}

fn home() -> Home {
    home_with(Options::default())
}

fn home_with(options: Options) -> Home {
    let folder = tempfile::tempdir().unwrap();
    let repositories = Repositories::open(folder.path().to_owned(), options).unwrap();
    Home { repositories, folder }
}

impl std::ops::Deref for Home {
    type Target = Repositories;

    fn deref(&self) -> &Repositories {
        &self.repositories
    }
}

/// A program that a test needs; None (the test is skipped) if it is not installed, except under CI.
fn program(path: &str, package: &str) -> Option<PathBuf> {
    let found = Path::new(path);
    if found.exists() {
        return Some(found.to_owned());
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{path} is missing: apt-get install {package}");
    eprintln!("SKIPPED: {path} is missing: apt-get install {package}");
    None
}

/// Waits for a condition.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "still not: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A port of the loopback interface that was free a moment ago.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A child that ends with the test.
struct Peer(std::process::Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
