//! What the task knows of one repository.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::model::Repository;
use crate::repositories::{Credentials, Source};
use crate::runtime::Error;
use crate::runtime::backoff::Backoff;
use crate::secrets::{Vault, fields};

pub(super) struct Known {
    pub(super) document: Arc<Repository>,
    /// The commit in use.
    pub(super) deployed: Option<String>,
    /// Why the last fetch failed.
    pub(super) problem: Option<String>,
    pub(super) fetching: bool,
    /// Fetch again once the fetch under way is through: something changed meanwhile.
    pub(super) again: bool,
    /// Grows when a retry is planned or overtaken, so that only the latest retry counts.
    pub(super) plan: u64,
    pub(super) backoff: Backoff,
    pub(super) waiting: Vec<oneshot::Sender<Result<String, Error>>>,
}

impl Known {
    pub(super) fn new(document: Arc<Repository>) -> Known {
        Known {
            deployed: document.deployed_commit_hash.clone(),
            document,
            problem: None,
            fetching: false,
            again: false,
            plan: 0,
            backoff: Backoff::default(),
            waiting: Vec::new(),
        }
    }

    /// Whether a change asks for another fetch.
    pub(super) fn moved(&self, after: &Repository) -> bool {
        let where_from = |document: &Repository| {
            let Repository { uri, branch, commit_hash, username, password, key, .. } = document;
            [Some(uri), Some(branch), Some(commit_hash), username.as_ref(), password.as_ref(), key.as_ref()]
                .map(|part| part.cloned())
        };
        where_from(&self.document) != where_from(after)
    }

    pub(super) fn source(&self, vault: &Vault) -> Result<Source, String> {
        source(vault, &self.document)
    }
}

fn source(vault: &Vault, document: &Repository) -> Result<Source, String> {
    let password = fields::reveal_password(vault, document).map_err(|error| error.to_string())?;
    let key = fields::reveal_key(vault, document).map_err(|error| error.to_string())?;
    Ok(Source {
        id: document.id.clone(),
        uri: document.uri.clone(),
        branch: document.branch.clone(),
        root: document.root_path.clone(),
        credentials: Credentials {
            username: document.username.clone(),
            password: password.map(|secret| secret.expose().into()),
            key: key.map(|secret| secret.expose().into()),
        },
    })
}
