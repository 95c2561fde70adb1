//! Which module has which place: system + name + index → module id. Written by the reconciler, read by everyone.

use std::collections::HashMap;
use std::sync::Arc;

use dashmap::DashMap;

/// The modules of a system by name, each list in the system's order.
pub(crate) type Places = HashMap<Box<str>, Vec<Arc<str>>>;

/// The places of all systems.
#[derive(Debug, Default)]
pub(crate) struct Names(DashMap<Arc<str>, Arc<Places>>);

impl Names {
    /// The `index`-th module (from 1) named `name`.
    pub(crate) fn resolve(&self, system: &str, name: &str, index: u32) -> Option<Arc<str>> {
        let places = self.0.get(system)?;
        let index = usize::try_from(index).ok()?.checked_sub(1)?;
        places.get(name)?.get(index).cloned()
    }

    pub(crate) fn places(&self, system: &str) -> Option<Arc<Places>> {
        self.0.get(system).map(|places| places.clone())
    }

    /// Replaces the places of a system; `None` if it is gone. Returns whether anything changed.
    pub(crate) fn set(&self, system: &Arc<str>, places: Option<Places>) -> bool {
        match places {
            Some(places) => {
                if self.0.get(system).is_some_and(|before| **before == places) {
                    return false;
                }
                self.0.insert(system.clone(), Arc::new(places));
                true
            }
            None => self.0.remove(system).is_some(),
        }
    }
}
