//! Documents as the resources of the model.

use super::{Document, Error, Expect, Op, Result, Store};
use crate::model::Resource;

/// How often [`update`] tries again after somebody else was faster.
const UPDATE_ATTEMPTS: usize = 32;

/// A resource with the revision it was read at.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored<R> {
    pub value: R,
    pub revision: u64,
}

/// Reads a document as a resource.
pub fn decode<R: Resource>(document: &Document) -> Result<R> {
    serde_json::from_str(&document.body).map_err(|error| Error::Unreadable {
        kind: document.kind,
        id: document.id.clone(),
        detail: error.to_string(),
    })
}

/// One resource.
pub async fn find<R: Resource>(store: &dyn Store, id: &str) -> Result<Option<Stored<R>>> {
    let Some(document) = store.get(R::KIND, id).await? else { return Ok(None) };
    Ok(Some(Stored { value: decode(&document)?, revision: document.revision }))
}

/// All resources of a type, in the order of their ids.
pub async fn all<R: Resource>(store: &dyn Store) -> Result<Vec<Stored<R>>> {
    let documents = store.list(R::KIND).await?;
    documents
        .iter()
        .map(|document| Ok(Stored { value: decode(document)?, revision: document.revision }))
        .collect()
}

/// The step of a commit that writes `value`.
pub fn put<R: Resource>(value: &R, expect: Expect) -> Result<Op> {
    let id = value.id().to_owned();
    match serde_json::to_string(value) {
        Ok(body) => Ok(Op::Put { kind: R::KIND, id, body, expect }),
        Err(error) => Err(Error::Unreadable { kind: R::KIND, id, detail: error.to_string() }),
    }
}

/// The step of a commit that deletes a resource.
pub fn delete<R: Resource>(id: &str, expect: Expect) -> Op {
    Op::Delete { kind: R::KIND, id: id.to_owned(), expect }
}

/// Writes one resource; returns its new revision.
pub async fn save<R: Resource>(store: &dyn Store, value: &R, expect: Expect) -> Result<u64> {
    store.commit(vec![put(value, expect)?]).await
}

/// Changes one resource by compare-and-set, trying again when somebody else was faster. `change` says whether it
/// changed anything; if not, nothing is written. `None`: there is no such resource.
pub async fn update<R: Resource>(
    store: &dyn Store,
    id: &str,
    mut change: impl FnMut(&mut R) -> bool + Send,
) -> Result<Option<Stored<R>>> {
    let mut attempt = 0;
    loop {
        let Some(mut stored) = find::<R>(store, id).await? else { return Ok(None) };
        if !change(&mut stored.value) {
            return Ok(Some(stored));
        }
        attempt += 1;
        match save(store, &stored.value, Expect::Revision(stored.revision)).await {
            Ok(revision) => return Ok(Some(Stored { revision, ..stored })),
            Err(Error::Conflict { .. }) if attempt < UPDATE_ATTEMPTS => {}
            Err(error) => return Err(error),
        }
    }
}
