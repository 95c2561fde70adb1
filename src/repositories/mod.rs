//! Git repositories of drivers and what is built from them.
//!
//! [`Repositories`] keeps, below one folder:
//!
//! ```text
//! mirrors/<repository>/                               a bare mirror: every branch and tag
//! sdk/<content hash>/                                 drivers-sdk as this daemon carries it
//! build/slot-<n>/{src,target}                         where cargo works
//! artifacts/<repository>/<commit>/<driver>/           driver, manifest.json, build.log
//! known_hosts                                         the ssh hosts that were met, if the options name no other place
//! ```
//!
//! Nothing here knows the store: a [`Source`] says all about a repository. Everything but the artifacts can be
//! removed while the daemon is down, and is made again.
//!
//! Invariants: one writer per mirror (a lock per repository id); readers open the mirror anew and need no lock; an
//! artifact's folder appears whole or not at all; no text that leaves here holds a credential.

pub mod build;
mod error;
mod history;
mod mirror;
mod options;
mod packages;
mod source;
mod transport;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use drivers_sdk_protocol::Manifest;
use tokio_util::sync::CancellationToken;

pub use crate::secrets::Secret;
pub use build::{Artifact, Build};
pub use error::{Error, Result};
pub use history::Commit;
pub use options::Options;
pub use packages::{Package, Packages};
pub use source::{Credentials, Source};

/// All repositories of this daemon. Cheap to clone.
#[derive(Clone)]
pub struct Repositories {
    inner: Arc<Inner>,
}

struct Inner {
    root: PathBuf,
    options: Options,
    mirrors: mirror::Mirrors,
    builds: build::Queue,
    stop: CancellationToken,
}

impl Repositories {
    /// Opens the folder `root`, making it if need be. Only one daemon may have it open.
    pub fn open(root: PathBuf, options: Options) -> Result<Repositories> {
        transport::install()?;
        std::fs::create_dir_all(&root).map_err(|error| Error::disk(&root, "made", &error))?;
        // Absolute, because cargo and drivers run elsewhere.
        let root = root.canonicalize().map_err(|error| Error::disk(&root, "found", &error))?;
        let stop = CancellationToken::new();
        let mirrors = mirror::Mirrors::new(&root, options.clone(), stop.clone());
        let builds = build::Queue::new(&root, options.clone(), stop.clone())?;
        Ok(Repositories { inner: Arc::new(Inner { root, options, mirrors, builds, stop }) })
    }

    /// The folder that holds everything.
    pub fn root(&self) -> &std::path::Path {
        &self.inner.root
    }

    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    /// Brings the mirror up to date, and returns the commit at the head of the source's branch.
    pub async fn fetch(&self, source: &Source) -> Result<String> {
        self.inner.mirrors.fetch(source).await
    }

    /// The full hash that a branch, tag or (abbreviated) commit stands for; empty or `HEAD`: the source's branch.
    /// Fetches if the mirror does not know it.
    pub async fn resolve(&self, source: &Source, revision: &str) -> Result<String> {
        let revision = revision.to_owned();
        self.inner.mirrors.read_or_fetch(source, move |reader| reader.resolve(&revision)).await
    }

    /// The newest commits of a branch (empty: the source's), newest first. With `path`, only commits that touch it;
    /// the path of a package's Cargo.toml stands for the package's folder.
    pub async fn commits(
        &self,
        source: &Source,
        branch: &str,
        path: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Commit>> {
        let (branch, path) = (branch.to_owned(), path.map(str::to_owned));
        self.inner
            .mirrors
            .read_or_fetch(source, move |reader| reader.commits(&branch, path.as_deref(), limit))
            .await
    }

    /// The branches of the mirror, sorted. Fetches if that has never succeeded; so do its siblings.
    pub async fn branches(&self, source: &Source) -> Result<Vec<String>> {
        self.inner.mirrors.read(source, |reader| reader.names("refs/heads/")).await
    }

    /// The tags of the mirror, sorted.
    pub async fn tags(&self, source: &Source) -> Result<Vec<String>> {
        self.inner.mirrors.read(source, |reader| reader.names("refs/tags/")).await
    }

    /// The branch that the remote had checked out at the last fetch.
    pub async fn default_branch(&self, source: &Source) -> Result<String> {
        self.inner.mirrors.read(source, |reader| reader.default_branch()).await
    }

    /// The branches of the remote right now, sorted. Needs no mirror and leaves none.
    pub async fn remote_branches(&self, source: &Source) -> Result<Vec<String>> {
        Ok(self.inner.mirrors.listing(source).await?.names("refs/heads/"))
    }

    /// The tags of the remote right now, sorted.
    pub async fn remote_tags(&self, source: &Source) -> Result<Vec<String>> {
        Ok(self.inner.mirrors.listing(source).await?.names("refs/tags/"))
    }

    /// The branch that the remote has checked out right now.
    pub async fn remote_default_branch(&self, source: &Source) -> Result<String> {
        self.inner.mirrors.listing(source).await?.default_branch()
    }

    /// The drivers in a commit (any revision; empty or `HEAD`: the head of the source's branch), by the Cargo
    /// manifests of its tree; and what was wrong with manifests that could not be read.
    pub async fn drivers(&self, source: &Source, revision: &str) -> Result<Packages> {
        let (revision, root) = (revision.to_owned(), source.root.clone());
        self.inner
            .mirrors
            .read_or_fetch(source, move |reader| packages::find(reader, &revision, root.as_deref()))
            .await
    }

    /// The text of the README beside a driver's Cargo.toml.
    pub async fn readme(&self, source: &Source, revision: &str, file_name: &str) -> Result<String> {
        let (revision, file_name) = (revision.to_owned(), file_name.to_owned());
        self.inner.mirrors.read_or_fetch(source, move |reader| reader.readme(&revision, &file_name)).await
    }

    /// The artifact of a driver at a commit (full hash), building it if it does not exist or `force` is set.
    /// Requests for the same artifact share one build; dropping the future does not end the build.
    pub async fn build(
        &self,
        source: &Source,
        file_name: &str,
        commit: &str,
        force: bool,
    ) -> Result<Artifact, build::Error> {
        self.inner.builds.build(&self.inner.mirrors, source, file_name, commit, force).await
    }

    /// The artifact of a driver at a commit (full hash), if it has been built.
    pub fn artifact(&self, repository: &str, file_name: &str, commit: &str) -> Option<Artifact> {
        self.inner.builds.artifact(repository, file_name, commit)
    }

    /// Puts a program that was built elsewhere where a build would have put it.
    pub(crate) fn put(
        &self,
        repository: &str,
        file_name: &str,
        commit: &str,
        program: &Path,
        manifest: &Manifest,
    ) -> Result<()> {
        self.inner.builds.put(repository, file_name, commit, program, manifest)
    }

    /// Builds that are waiting or running, and the last ones that ended, oldest first.
    pub fn builds(&self) -> Vec<Build> {
        self.inner.builds.list()
    }

    /// Forgets a repository: its mirror and its artifacts.
    pub async fn remove(&self, repository: &str) -> Result<()> {
        self.inner.mirrors.remove(repository).await?;
        self.inner.builds.remove(repository).await
    }

    /// Ends fetches and builds in progress; later ones fail with `Stopped`. Returns when no build process is left.
    pub async fn shutdown(&self) {
        self.inner.stop.cancel();
        self.inner.builds.drained().await;
    }
}

#[cfg(test)]
mod tests;
