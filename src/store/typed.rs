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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, System, Zone};
    use crate::store::sqlite;

    #[tokio::test]
    async fn resources_go_in_and_come_out() {
        let store = sqlite::open_in_memory().unwrap();
        let zone = |id: &str| Zone { id: id.into(), name: "Building".into(), ..Zone::default() };
        let revision = save(&*store, &zone("zone-2"), Expect::Absent).await.unwrap();
        store.commit(vec![put(&zone("zone-1"), Expect::Absent).unwrap()]).await.unwrap();
        let found = find::<Zone>(&*store, "zone-2").await.unwrap().unwrap();
        assert_eq!(found, Stored { value: zone("zone-2"), revision });
        let ids: Vec<_> = all::<Zone>(&*store).await.unwrap().into_iter().map(|zone| zone.value.id).collect();
        assert_eq!(ids, ["zone-1", "zone-2"]);
        store.commit(vec![delete::<Zone>("zone-1", Expect::Any)]).await.unwrap();
        assert_eq!(find::<Zone>(&*store, "zone-1").await.unwrap(), None);
        assert!(all::<System>(&*store).await.unwrap().is_empty());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn updates_do_not_lose_each_other() {
        let store = sqlite::open_in_memory().unwrap();
        save(&*store, &Zone { id: "zone-1".into(), ..Zone::default() }, Expect::Absent).await.unwrap();
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    let add = |zone: &mut Zone| {
                        zone.count += 1;
                        true
                    };
                    update(&*store, "zone-1", add).await.unwrap().unwrap().revision
                })
            })
            .collect();
        let mut last = 0;
        for task in tasks {
            last = last.max(task.await.unwrap());
        }
        let zone = find::<Zone>(&*store, "zone-1").await.unwrap().unwrap();
        assert_eq!((zone.value.count, zone.revision), (8, last));
        let unchanged = update(&*store, "zone-1", |_: &mut Zone| false).await.unwrap().unwrap();
        assert_eq!(unchanged.revision, last);
        assert_eq!(update(&*store, "zone-2", |_: &mut Zone| true).await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_named() {
        let store = sqlite::open_in_memory().unwrap();
        let body = r#"{"id":"zone-1","tags":5}"#.to_owned();
        let op = Op::Put { kind: Kind::Zone, id: "zone-1".into(), body, expect: Expect::Any };
        store.commit(vec![op]).await.unwrap();
        let error = all::<Zone>(&*store).await.unwrap_err();
        assert!(error.to_string().starts_with("zone zone-1 cannot be read: invalid type"), "{error}");
    }
}
