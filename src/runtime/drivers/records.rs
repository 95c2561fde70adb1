//! What the runtime writes on driver and repository documents. Only what differs is written, so that a write that comes
//! back as a change leads to no other.

use crate::model::{Driver, Repository};
use crate::store::{self, typed};

/// Why the last build failed; `None`: it succeeded.
pub(super) async fn compiled(store: store::Handle, driver: String, output: Option<String>) {
    let write = typed::update::<Driver>(&*store, &driver, |document| {
        let changed = document.compilation_output != output;
        document.compilation_output.clone_from(&output);
        changed
    });
    if let Err(error) = write.await {
        tracing::warn!(%driver, %error, "the outcome of the build was not recorded");
    }
}

/// The commit in use, or why the repository could not be fetched.
pub(super) async fn fetched(store: store::Handle, repository: String, result: Result<String, String>) {
    let write = typed::update::<Repository>(&*store, &repository, |document| {
        let before = document.clone();
        match &result {
            Ok(commit) => {
                document.deployed_commit_hash = Some(commit.clone());
                document.has_runtime_error = false;
                document.error_message = None;
            }
            Err(problem) => {
                document.has_runtime_error = true;
                document.error_message = Some(problem.clone());
            }
        }
        *document != before
    });
    if let Err(error) = write.await {
        tracing::warn!(%repository, %error, "the outcome of the fetch was not recorded");
    }
}
