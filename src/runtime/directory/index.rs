//! One id → many ids.

use std::collections::{BTreeSet, HashMap};

use super::Id;

#[derive(Debug, Default)]
pub(super) struct Index(HashMap<Id, BTreeSet<Id>>);

impl Index {
    pub(super) fn add(&mut self, from: &str, to: &Id) {
        match self.0.get_mut(from) {
            Some(all) => drop(all.insert(to.clone())),
            None => drop(self.0.insert(from.into(), BTreeSet::from([to.clone()]))),
        }
    }

    pub(super) fn remove(&mut self, from: &str, to: &str) {
        if let Some(all) = self.0.get_mut(from) {
            all.remove(to);
            if all.is_empty() {
                self.0.remove(from);
            }
        }
    }

    pub(super) fn of(&self, from: &str) -> impl Iterator<Item = &Id> {
        self.0.get(from).into_iter().flatten()
    }
}
