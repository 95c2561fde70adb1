//! The bare mirrors: one per repository id, holding every branch and tag of its remote. Commits that the remote drops
//! (a force-push) stay in the mirror, so that what runs can be built again.
//!
//! A fetch holds its repository's lock; the lock travels into the blocking thread, so that a caller who gives up does
//! not let a second writer in. Everything that talks to a remote ends at the time limit, at the latest.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use git2::{Direction, FetchOptions, RemoteCallbacks, Repository};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::history::{REMOTE_HEAD, Reader};
use super::source::{Peer, Remote};
use super::transport::Session;
use super::{Error, Options, Result, Source};
use crate::ssh::KnownHosts;

pub(super) struct Mirrors {
    root: PathBuf,
    known_hosts: KnownHosts,
    options: Options,
    stop: CancellationToken,
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// Where the mirror of a source is.
pub(super) struct Place {
    path: PathBuf,
    remote: Remote,
    branch: String,
}

impl Place {
    pub(super) fn open(&self) -> Result<Reader> {
        open(&self.path, &self.remote, &self.branch)
    }
}

/// What a remote offers right now.
pub(super) struct Listing {
    remote: String,
    references: Vec<String>,
    default: Option<String>,
}

impl Listing {
    /// Names below a prefix, without it, sorted.
    pub(super) fn names(&self, prefix: &str) -> Vec<String> {
        let names = self.references.iter().filter_map(|name| name.strip_prefix(prefix));
        let mut names: Vec<_> = names.filter(|name| !name.ends_with("^{}")).map(str::to_owned).collect();
        names.sort();
        names
    }

    pub(super) fn default_branch(&self) -> Result<String> {
        self.default.clone().ok_or_else(|| Error::NoSuchBranch {
            remote: self.remote.clone(),
            branch: "HEAD".to_owned(),
            known: "no branch checked out".to_owned(),
        })
    }
}

impl Mirrors {
    pub(super) fn new(root: &Path, options: Options, stop: CancellationToken) -> Self {
        Mirrors {
            root: root.join("mirrors"),
            known_hosts: KnownHosts::new(
                options.known_hosts.clone().unwrap_or_else(|| root.join("known_hosts")),
            ),
            options,
            stop,
            locks: Mutex::default(),
        }
    }

    fn path(&self, repository: &str) -> Result<PathBuf> {
        // An id is a folder's name: never a way out of the folder.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~' | b'.');
        if repository.is_empty() || repository.starts_with('.') || !repository.bytes().all(plain) {
            let why = "a repository's id is made of letters, digits, '-', '_', '~' and '.'".to_owned();
            return Err(Error::Uri { uri: repository.to_owned(), why });
        }
        Ok(self.root.join(repository))
    }

    async fn lock(&self, repository: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = self.locks.lock().entry(repository.to_owned()).or_default().clone();
        lock.lock_owned().await
    }

    fn session(&self, peer: &Peer) -> Arc<Session> {
        Session::new(peer.clone(), self.options.clone(), self.known_hosts.clone(), self.stop.clone())
    }

    /// Fetches, and returns the head of the source's branch.
    pub(super) async fn fetch(&self, source: &Source) -> Result<String> {
        let peer = source.peer()?;
        let path = self.path(&source.id)?;
        let session = self.session(&peer);
        let branch = source.branch.clone();
        let started = std::time::Instant::now();
        // A fetch that hangs (a folder on a network that is gone) keeps the lock; whoever comes after is told.
        let limit = std::time::Duration::from_millis(self.options.fetch_ms);
        let guard = tokio::time::timeout(limit, self.lock(&source.id)).await.map_err(|_| Error::Timeout {
            remote: peer.remote.to_string(),
            what: "waiting for another fetch",
            ms: self.options.fetch_ms,
        })?;
        let head = self
            .blocking(&peer.remote, "fetching", move |_| {
                let _guard = guard;
                fetch(&path, &session)?;
                open(&path, session.remote(), &branch)?.resolve("HEAD")
            })
            .await;
        match &head {
            Ok(head) => tracing::info!(
                repository = source.id, remote = %peer.remote, head, ms = started.elapsed().as_millis(), "fetched"
            ),
            Err(error) => {
                tracing::warn!(repository = source.id, remote = %peer.remote, %error, "fetch failed")
            }
        }
        head
    }

    /// Reads the mirror; fetches first if that has never succeeded.
    pub(super) async fn read<T, F>(&self, source: &Source, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Reader) -> Result<T> + Send + 'static,
    {
        let peer = source.peer()?;
        let path = self.path(&source.id)?;
        let mirror = path.clone();
        if !self.blocking(&peer.remote, "reading", move |_| Ok(holds_something(&mirror))).await? {
            match self.fetch(source).await {
                // Only the source's own branch is missing.
                Ok(_) | Err(Error::NoSuchBranch { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let (remote, branch) = (peer.remote.clone(), source.branch.clone());
        self.blocking(&peer.remote, "reading", move |_| read(&open(&path, &remote, &branch)?)).await
    }

    /// Reads the mirror; if a revision is missing, fetches and reads once more.
    pub(super) async fn read_or_fetch<T, F>(&self, source: &Source, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Reader) -> Result<T> + Clone + Send + 'static,
    {
        match self.read(source, read.clone()).await {
            Err(Error::NoSuchBranch { .. } | Error::NoSuchCommit { .. }) => {}
            other => return other,
        }
        // The branch of the source may be what is missing; what was asked for may exist all the same.
        match self.fetch(source).await {
            Ok(_) | Err(Error::NoSuchBranch { .. }) => self.read(source, read).await,
            Err(error) => Err(error),
        }
    }

    pub(super) fn place(&self, source: &Source) -> Result<Place> {
        Ok(Place {
            path: self.path(&source.id)?,
            remote: source.peer()?.remote,
            branch: source.branch.clone(),
        })
    }

    /// Asks the remote what it has.
    pub(super) async fn listing(&self, source: &Source) -> Result<Listing> {
        let peer = source.peer()?;
        let session = self.session(&peer);
        self.blocking(&peer.remote, "listing", move |_| list(&session)).await
    }

    /// Forgets a mirror.
    pub(super) async fn remove(&self, repository: &str) -> Result<()> {
        let path = self.path(repository)?;
        let guard = self.lock(repository).await;
        let removed = tokio::task::spawn_blocking(move || {
            let _guard = guard;
            match std::fs::remove_dir_all(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(Error::disk(&path, "removed", &error))
                }
                _ => Ok(()),
            }
        });
        removed.await.unwrap_or(Err(Error::Stopped))
    }

    /// Runs blocking work on a thread of its own. The session's limits end it; this one ends the wait for it.
    async fn blocking<T, F>(&self, remote: &Remote, what: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(()) -> Result<T> + Send + 'static,
    {
        let ms = self.options.fetch_ms;
        // A little more than the session's own limit, which has the better error.
        let limit = std::time::Duration::from_millis(ms.saturating_add(2_000));
        let task = tokio::task::spawn_blocking(move || work(()));
        tokio::select! {
            () = self.stop.cancelled() => Err(Error::Stopped),
            done = tokio::time::timeout(limit, task) => match done {
                Ok(Ok(result)) => result,
                Ok(Err(error)) => Err(Error::Git { what: what.to_owned(), why: error.to_string() }),
                Err(_) => Err(Error::Timeout { remote: remote.to_string(), what, ms }),
            },
        }
    }
}

/// Whether there is a reference: a fetch that failed leaves a mirror without any.
fn holds_something(path: &Path) -> bool {
    Repository::open_bare(path)
        .is_ok_and(|mirror| mirror.references().is_ok_and(|mut references| references.next().is_some()))
}

fn open(path: &Path, remote: &Remote, branch: &str) -> Result<Reader> {
    let remote = remote.to_string();
    match Repository::open_bare(path) {
        Ok(repository) => Ok(Reader { repository, remote, branch: branch.to_owned() }),
        Err(error) if error.code() == git2::ErrorCode::NotFound => Err(Error::NotFetched { remote }),
        Err(error) => Err(Error::git(format!("opening the mirror {}", path.display()), &error)),
    }
}

/// The mirror's repository, made if it does not exist or was left half made.
fn create(path: &Path) -> Result<Repository> {
    if let Ok(repository) = Repository::open_bare(path) {
        return Ok(repository);
    }
    let disk = |error: std::io::Error| Error::disk(path, "made", &error);
    if path.exists() {
        tracing::warn!(path = %path.display(), "a mirror could not be opened, and is made anew");
        std::fs::remove_dir_all(path).map_err(disk)?;
    }
    std::fs::create_dir_all(path).map_err(disk)?;
    Repository::init_bare(path)
        .map_err(|error| Error::git(format!("making the mirror {}", path.display()), &error))
}

/// Connects; then `work` may use the connection.
fn connected<T>(
    repository: Option<&Repository>,
    session: &Arc<Session>,
    work: impl FnOnce(&mut git2::Remote<'_>, RemoteCallbacks<'_>) -> Result<T, git2::Error>,
) -> Result<T> {
    let registered = session.register()?;
    let result = (|| {
        let mut remote = match repository {
            Some(repository) => repository.remote_anonymous(registered.url())?,
            None => git2::Remote::create_detached(registered.url())?,
        };
        remote.connect(Direction::Fetch)?;
        let limits = session.clone();
        let mut callbacks = RemoteCallbacks::new();
        callbacks.transfer_progress(move |progress| limits.may_go_on(progress.received_bytes() as u64));
        work(&mut remote, callbacks)
    })();
    result.map_err(|error| session.explain(&error))
}

fn list(session: &Arc<Session>) -> Result<Listing> {
    connected(None, session, |remote, _| {
        let references = remote.list()?.iter().map(|head| head.name().to_owned()).collect();
        Ok(Listing { remote: session.remote().to_string(), references, default: default_branch(remote) })
    })
}

fn default_branch(remote: &git2::Remote<'_>) -> Option<String> {
    let name = remote.default_branch().ok()?;
    let name = name.as_str().ok()?.strip_prefix("refs/heads/")?;
    Some(name.to_owned())
}

/// Removes what a killed daemon left in a mirror: locks, which would refuse every later fetch, and half a pack. Only
/// this process writes here, and it holds the repository's lock.
fn clear(path: &Path) {
    let mut folders = vec![path.to_owned(), path.join("objects/pack")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let found = entry.path();
            let name = entry.file_name();
            let name = name.as_encoded_bytes();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                // Names below refs are git's, and none of them may end in .lock.
                if name == b"refs" || folder.starts_with(path.join("refs")) {
                    folders.push(found);
                }
            } else if name.ends_with(b".lock") || name.starts_with(b"pack_git2_") {
                tracing::info!(file = %found.display(), "removing what an interrupted fetch left");
                let _ = std::fs::remove_file(&found);
            }
        }
    }
}

fn fetch(path: &Path, session: &Arc<Session>) -> Result<()> {
    clear(path);
    let repository = create(path)?;
    let default = connected(Some(&repository), session, |remote, callbacks| {
        let head = remote.list()?.iter().any(|head| head.name() == "HEAD");
        let default = default_branch(remote);
        let keep_head = format!("+HEAD:{REMOTE_HEAD}");
        let mut wanted = vec!["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
        if head {
            wanted.push(&keep_head);
        }
        let mut options = FetchOptions::new();
        options
            .remote_callbacks(callbacks)
            .prune(git2::FetchPrune::On)
            .download_tags(git2::AutotagOption::None)
            .update_fetchhead(false);
        remote.fetch(&wanted, Some(&mut options), None)?;
        Ok(default)
    })?;
    // The mirror's HEAD says which branch the remote has checked out.
    if let Some(default) = default {
        let name = format!("refs/heads/{default}");
        repository
            .reference_symbolic("HEAD", &name, true, "the remote's")
            .map_err(|error| Error::git("noting the default branch", &error))?;
    }
    Ok(())
}
