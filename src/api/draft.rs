//! One write of the API: reads with the revisions they saw, and all its effects in one commit.
//!
//! A commit that finds a document changed in between (the runtime writes some fields of its own) is tried again
//! from the start, a bounded number of times. Writes that depend on what is *not* there (unique names, references
//! that a deletion would break) exclude each other by a lock of this daemon: the store compares documents, not sets.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde_json::Value;

use super::{
    State,
    error::{Error, Result},
};
use crate::{
    model::{Kind, Resource},
    store::{Document, Expect, Op, typed},
};

/// How often a write is tried when others keep changing what it read.
const ATTEMPTS: usize = 16;

/// How a write relates to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    /// It may go on beside others of its sort: the store's revisions protect it.
    Shared,
    /// Nothing else may be written meanwhile.
    Exclusive,
}

/// What a write has read and will do.
pub(crate) struct Draft {
    state: State,
    seen: HashMap<(Kind, String), Expect>,
    writes: BTreeMap<(Kind, String), Option<String>>,
}

/// Runs `attempt` until its commit goes through. Returns what it returned, and the sequence of its last change.
pub(crate) async fn write<T, F, Fut>(state: &State, lock: Lock, mut attempt: F) -> Result<(T, u64)>
where
    F: FnMut(Draft) -> Fut,
    Fut: Future<Output = Result<(Draft, T)>>,
{
    let mut tries = 0;
    let (_shared, _exclusive) = match lock {
        Lock::Shared => (Some(state.writes().read().await), None),
        Lock::Exclusive => (None, Some(state.writes().write().await)),
    };
    loop {
        tries += 1;
        let draft = Draft { state: state.clone(), seen: HashMap::new(), writes: BTreeMap::new() };
        let (draft, value) = attempt(draft).await?;
        match draft.commit().await {
            Ok(sequence) => return Ok((value, sequence)),
            Err(Error::Raced(_)) if tries < ATTEMPTS => {}
            Err(error) => return Err(error),
        }
    }
}

impl Draft {
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// One resource, as it will be after what the draft did so far.
    pub(crate) async fn find<R: Resource>(&mut self, id: &str) -> Result<Option<R>> {
        let key = (R::KIND, id.to_owned());
        if let Some(body) = self.writes.get(&key) {
            return body.as_deref().map(|body| parse(R::KIND, id, body)).transpose();
        }
        let document = self.state.store().get(R::KIND, id).await?;
        let expect = document.as_ref().map_or(Expect::Absent, |document| Expect::Revision(document.revision));
        self.seen.entry(key).or_insert(expect);
        Ok(document.map(|document| typed::decode(&document)).transpose()?)
    }

    /// One resource that must be there.
    pub(crate) async fn require<R: Resource>(&mut self, id: &str) -> Result<R> {
        self.find(id).await?.ok_or_else(|| Error::missing(&R::KIND.to_string(), id))
    }

    /// All resources of a kind for which `keep` holds, as they will be.
    pub(crate) async fn all<R: Resource>(&mut self, keep: impl Fn(&R) -> bool) -> Result<Vec<R>> {
        self.holding("", keep).await
    }

    /// The same, of those that hold this text somewhere as a JSON string: a look at a document is much cheaper
    /// than reading it, and a site has thousands.
    pub(crate) async fn holding<R: Resource>(
        &mut self,
        text: &str,
        keep: impl Fn(&R) -> bool,
    ) -> Result<Vec<R>> {
        let needle = if text.is_empty() { String::new() } else { Value::from(text).to_string() };
        let mut found = Vec::new();
        for document in self.documents(R::KIND).await? {
            if !document.body.contains(&needle) && !self.writes.contains_key(&(R::KIND, document.id.clone()))
            {
                continue;
            }
            let value: R = match self.writes.get(&(R::KIND, document.id.clone())) {
                Some(Some(body)) => parse(R::KIND, &document.id, body)?,
                Some(None) => continue,
                None => typed::decode(&document)?,
            };
            if keep(&value) {
                let key = (R::KIND, document.id.clone());
                self.seen.entry(key).or_insert(Expect::Revision(document.revision));
                found.push(value);
            }
        }
        for ((kind, id), body) in &self.writes {
            if *kind == R::KIND
                && self.seen.get(&(*kind, id.clone())) == Some(&Expect::Absent)
                && let Some(body) = body
            {
                let value = parse(*kind, id, body)?;
                if keep(&value) {
                    found.push(value);
                }
            }
        }
        Ok(found)
    }

    async fn documents(&self, kind: Kind) -> Result<Vec<Arc<Document>>> {
        Ok(self.state.store().list(kind).await?)
    }

    /// Writes a resource; a new one, if the draft has not read it.
    pub(crate) fn put<R: Resource>(&mut self, value: &R) -> Result<()> {
        let key = (R::KIND, value.id().to_owned());
        let body = serde_json::to_string(value)
            .map_err(|error| Error::Internal(format!("could not write {} {}: {error}", key.0, key.1)))?;
        self.seen.entry(key.clone()).or_insert(Expect::Absent);
        self.writes.insert(key, Some(body));
        Ok(())
    }

    /// Deletes a resource that the draft has read.
    pub(crate) fn delete<R: Resource>(&mut self, id: &str) {
        let key = (R::KIND, id.to_owned());
        self.seen.entry(key.clone()).or_insert(Expect::Any);
        self.writes.insert(key, None);
    }

    async fn commit(self) -> Result<u64> {
        let Draft { state, seen, writes } = self;
        let ops: Vec<Op> = writes
            .into_iter()
            .filter_map(|(key, body)| {
                let expect = seen.get(&key).copied().unwrap_or(Expect::Any);
                let (kind, id) = key;
                match body {
                    Some(body) => Some(Op::Put { kind, id, body, expect }),
                    // It came and went within the draft.
                    None if expect == Expect::Absent => None,
                    None => Some(Op::Delete { kind, id, expect }),
                }
            })
            .collect();
        if ops.is_empty() {
            return Ok(*state.store().head().borrow());
        }
        Ok(state.store().commit(ops).await?)
    }
}

fn parse<R: Resource>(kind: Kind, id: &str, body: &str) -> Result<R> {
    serde_json::from_str(body)
        .map_err(|error| Error::Internal(format!("{kind} {id} cannot be read back: {error}")))
}
