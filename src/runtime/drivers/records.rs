//! What the runtime writes on driver and repository documents. Only what differs is written, so that a write that comes
//! back as a change leads to no other. One after the other, in the order in which things happened.

use tokio::sync::mpsc;

use crate::model::{Driver, Repository};
use crate::store::{self, typed};

/// What happened.
pub(super) enum Record {
    /// Why the build of a driver failed; `None`: it succeeded.
    Compiled(String, Option<String>),
    /// The commit of a repository that is in use, or why it could not be fetched.
    Fetched(String, Result<String, String>),
}

/// Writes what comes until nothing more can come.
pub(super) async fn write(store: store::Handle, mut records: mpsc::UnboundedReceiver<Record>) {
    while let Some(record) = records.recv().await {
        match record {
            Record::Compiled(driver, output) => compiled(&store, driver, output).await,
            Record::Fetched(repository, result) => fetched(&store, repository, result).await,
        }
    }
}

async fn compiled(store: &store::Handle, driver: String, output: Option<String>) {
    let write = typed::update::<Driver>(&**store, &driver, |document| {
        let changed = document.compilation_output != output;
        document.compilation_output.clone_from(&output);
        changed
    });
    if let Err(error) = write.await {
        tracing::warn!(%driver, %error, "the outcome of the build was not recorded");
    }
}

async fn fetched(store: &store::Handle, repository: String, result: Result<String, String>) {
    let write = typed::update::<Repository>(&**store, &repository, |document| {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Resource;
    use crate::store::Expect;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn what_happened_last_is_what_is_kept() {
        let store = store::sqlite::open_in_memory().unwrap();
        let (driver, repository) = (Driver { id: "driver-1".into(), ..Driver::default() }, "repo-1");
        typed::save(&*store, &driver, Expect::Any).await.unwrap();
        typed::save(&*store, &Repository { id: repository.into(), ..Repository::default() }, Expect::Any)
            .await
            .unwrap();
        let (records, recorded) = mpsc::unbounded_channel();
        for round in 0..200 {
            let output = (round % 3 != 2).then(|| format!("failure {round}"));
            records.send(Record::Compiled(driver.id().to_owned(), output)).unwrap();
            let result =
                if round % 2 == 0 { Err(format!("unreachable {round}")) } else { Ok(format!("{round}")) };
            records.send(Record::Fetched(repository.to_owned(), result)).unwrap();
        }
        drop(records);
        write(store.clone(), recorded).await;
        let driver = typed::find::<Driver>(&*store, "driver-1").await.unwrap().unwrap().value;
        assert_eq!(driver.compilation_output.as_deref(), Some("failure 199"));
        let repository = typed::find::<Repository>(&*store, repository).await.unwrap().unwrap().value;
        assert_eq!(
            (repository.deployed_commit_hash.as_deref(), repository.error_message),
            (Some("199"), None)
        );
    }
}
