//! Who follows which status value: by module, or by a place in a system.
//!
//! A subscription by place is bound to the board of the module that has the place now. When the modules of a system
//! change, the subscriptions of that system alone are looked at again. A place or module that does not exist yet
//! is followed all the same.
//!
//! Locks: the registry, then the map of boards, then a board, then whatever a sink needs. Never the other way round.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use dashmap::DashMap;
use parking_lot::Mutex;

use super::exec::Target;
use super::names::Names;
use super::status::Board;

/// Where changes go.
pub trait Sink: Send + Sync + 'static {
    /// The value now: JSON text, or `None` if there is none. `token` is the subscriber's own.
    ///
    /// Called in the order of the changes, at once for the value at subscription if there is one. It must neither
    /// block nor call the runtime.
    fn changed(&self, token: u64, value: Option<Arc<str>>);
}

/// Ends when dropped.
#[must_use = "a subscription ends when it is dropped"]
pub struct Subscription {
    registry: Weak<Registry>,
    id: u64,
    key: Arc<str>,
    place: Place,
}

enum Place {
    Module(Arc<str>),
    Named(Arc<str>),
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Subscription({} {})", self.id, self.key)
    }
}

/// All boards, and the subscriptions by place.
pub(crate) struct Registry {
    names: Arc<Names>,
    boards: DashMap<Arc<str>, Arc<Board>>,
    named: Mutex<HashMap<Arc<str>, Vec<Named>>>,
    next: AtomicU64,
}

struct Named {
    id: u64,
    name: String,
    index: u32,
    key: Arc<str>,
    token: u64,
    sink: Arc<dyn Sink>,
    bound: Option<Arc<str>>,
}

impl Registry {
    pub(crate) fn new(names: Arc<Names>) -> Arc<Registry> {
        Arc::new(Registry { names, boards: DashMap::new(), named: Mutex::default(), next: AtomicU64::new(1) })
    }

    /// A module is there, and so is its board until [`Registry::forget`].
    pub(crate) fn adopt(&self, module: &Arc<str>) -> Arc<Board> {
        let entry = self.boards.entry(module.clone()).or_default();
        entry.set_live(true);
        entry.clone()
    }

    /// A module is gone.
    pub(crate) fn forget(&self, module: &Arc<str>) {
        if let Some(board) = self.boards.get(module) {
            board.set_live(false);
        }
        self.boards.remove_if(module, |_, board| board.is_idle());
    }

    fn follow(
        &self,
        module: &Arc<str>,
        id: u64,
        key: &Arc<str>,
        token: u64,
        sink: Arc<dyn Sink>,
        always: bool,
    ) {
        // With the map's entry locked, so that a board that nobody needs is not removed in between.
        self.boards.entry(module.clone()).or_default().follow(id, key, token, sink, always);
    }

    fn unfollow(&self, module: &Arc<str>, id: u64, key: &str) {
        if let Some(board) = self.boards.get(module) {
            board.unfollow(id, key);
        }
        self.boards.remove_if(module, |_, board| board.is_idle());
    }

    pub(crate) fn subscribe(
        self: &Arc<Self>,
        target: Target,
        key: &str,
        sink: Arc<dyn Sink>,
        token: u64,
    ) -> Subscription {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let key: Arc<str> = Arc::from(key);
        let place = match target {
            Target::Module(module) => {
                let module: Arc<str> = Arc::from(module);
                self.follow(&module, id, &key, token, sink, false);
                Place::Module(module)
            }
            Target::Named { system, name, index } => {
                let system: Arc<str> = Arc::from(system);
                let mut named = self.named.lock();
                let bound = self.names.resolve(&system, &name, index);
                if let Some(module) = &bound {
                    self.follow(module, id, &key, token, sink.clone(), false);
                }
                let entry = Named { id, name, index, key: key.clone(), token, sink, bound };
                named.entry(system.clone()).or_default().push(entry);
                Place::Named(system)
            }
        };
        Subscription { registry: Arc::downgrade(self), id, key, place }
    }

    /// The modules of a system changed: finds out who has the places now.
    pub(crate) fn retarget(&self, system: &str) {
        let mut named = self.named.lock();
        for entry in named.get_mut(system).into_iter().flatten() {
            let now = self.names.resolve(system, &entry.name, entry.index);
            if entry.bound == now {
                continue;
            }
            if let Some(before) = entry.bound.take() {
                self.unfollow(&before, entry.id, &entry.key);
            }
            match &now {
                Some(module) => {
                    self.follow(module, entry.id, &entry.key, entry.token, entry.sink.clone(), true);
                }
                None => entry.sink.changed(entry.token, None),
            }
            entry.bound = now;
        }
    }

    fn end(&self, subscription: &Subscription) {
        match &subscription.place {
            Place::Module(module) => {
                self.unfollow(module, subscription.id, &subscription.key);
            }
            Place::Named(system) => {
                let mut named = self.named.lock();
                let Some(entries) = named.get_mut(system) else { return };
                if let Some(at) = entries.iter().position(|entry| entry.id == subscription.id) {
                    let entry = entries.swap_remove(at);
                    if let Some(module) = entry.bound {
                        self.unfollow(&module, entry.id, &entry.key);
                    }
                }
                if entries.is_empty() {
                    named.remove(system);
                }
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.end(self);
        }
    }
}
