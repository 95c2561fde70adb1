//! From a presented key to a caller.
//!
//! Verified keys are remembered under the SHA-256 of what was presented, together with the revision of the
//! key's document. Every use compares that revision with the store's, so a key that was changed or deleted is
//! refused from the moment the write is acknowledged; only the HMAC is saved.

use std::{collections::HashMap, sync::Arc};

use parking_lot::RwLock;
use ring::digest;

use super::{Caller, keys::ApiKey};
use crate::{
    api::{
        error::{Error, Result},
        now,
    },
    model::Kind,
    secrets::key::Key,
    store::{self, typed},
};

/// More remembered keys than this are forgotten, all at once.
const REMEMBERED: usize = 4096;

type Digest = [u8; digest::SHA256_OUTPUT_LEN];

/// Verifies keys against the store.
pub(crate) struct Verifier {
    store: store::Handle,
    known: RwLock<HashMap<Digest, (u64, Arc<Caller>)>>,
}

impl Verifier {
    pub(crate) fn new(store: store::Handle) -> Self {
        Verifier { store, known: RwLock::default() }
    }

    /// The caller of a presented key.
    pub(crate) async fn verify(&self, presented: &str) -> Result<Arc<Caller>> {
        let digest = sha256(presented);
        let known = digest.and_then(|digest| self.known.read().get(&digest).cloned());
        if let Some((revision, caller)) = known
            && self.current(&caller, revision).await?
        {
            return Ok(caller);
        }
        let refused = Error::Unauthorized("unknown API key");
        let Some(full) = Key::parse(presented) else { return Err(refused) };
        let Some(document) = self.store.get(Kind::ApiKey, &full.id).await? else { return Err(refused) };
        let key: ApiKey = typed::decode(&document)?;
        if !full.verify(&key.hash) {
            return Err(refused);
        }
        let caller = key.caller();
        if caller.expired(now()) {
            return Err(Error::Unauthorized("the API key has expired"));
        }
        if let Some(digest) = digest {
            let mut known = self.known.write();
            if known.len() >= REMEMBERED {
                known.clear();
            }
            known.insert(digest, (document.revision, caller.clone()));
        }
        Ok(caller)
    }

    /// Is the key of an open session still good?
    pub(crate) async fn still(&self, caller: &Caller) -> bool {
        if caller.expired(now()) {
            return false;
        }
        match self.store.get(Kind::ApiKey, &caller.key_id).await {
            Ok(Some(document)) => {
                typed::decode::<ApiKey>(&document).is_ok_and(|key| *key.caller() == *caller)
            }
            Ok(None) => false,
            // A store that cannot answer now says nothing about the key.
            Err(_) => true,
        }
    }

    async fn current(&self, caller: &Caller, revision: u64) -> Result<bool> {
        let document = self.store.get(Kind::ApiKey, &caller.key_id).await?;
        Ok(document.is_some_and(|document| document.revision == revision) && !caller.expired(now()))
    }
}

fn sha256(text: &str) -> Option<Digest> {
    digest::digest(&digest::SHA256, text.as_bytes()).as_ref().try_into().ok()
}
