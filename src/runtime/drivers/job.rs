//! The work that takes time: fetching and building. A job knows nothing but what it was given, and ends with a result.

use crate::model::repository::HEAD;
use crate::repositories::{Artifact, Repositories, Source};
use crate::runtime::directory::Id;

/// What a driver is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recipe {
    pub(super) repository: Id,
    pub(super) file_name: String,
    /// Hash, abbreviated hash, tag or branch.
    pub(super) revision: String,
}

pub(super) enum Finished {
    Fetched { repository: Id, result: Result<String, String> },
    Built { driver: Id, recipe: Recipe, forced: bool, result: Result<Artifact, Refusal> },
    Retry { repository: Id, plan: u64 },
}

/// Why a build failed.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    /// For people: what went wrong, then what the compiler said.
    pub(super) text: String,
    /// It may go well after the next fetch.
    pub(super) of_repository: bool,
}

/// Fetches, and finds the commit to use: the pinned one, or the head of the branch.
pub(super) async fn fetch(
    repositories: Repositories,
    source: Source,
    pinned: String,
) -> Result<String, String> {
    let head = repositories.fetch(&source).await.map_err(|error| error.to_string())?;
    if pinned == HEAD || pinned.is_empty() {
        return Ok(head);
    }
    repositories.resolve(&source, &pinned).await.map_err(|error| error.to_string())
}

pub(super) async fn build(
    repositories: Repositories,
    source: Source,
    recipe: Recipe,
    force: bool,
) -> Result<Artifact, Refusal> {
    let of_repository =
        |error: crate::repositories::Error| Refusal { text: error.to_string(), of_repository: true };
    let Recipe { file_name, revision, .. } = recipe;
    let commit = repositories.resolve(&source, &revision).await.map_err(of_repository)?;
    repositories.build(&source, &file_name, &commit, force).await.map_err(|error| {
        let of_repository =
            error.kind == crate::repositories::build::Kind::Repository || error.is_transient();
        let text = if error.output.is_empty() {
            error.message
        } else {
            format!("{}\n\n{}", error.message, error.output)
        };
        Refusal { text, of_repository }
    })
}
