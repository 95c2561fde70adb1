//! Brings what runs to what should run.
//!
//! One task owns all of it: which module is in which process, what it was told, when it is tried again. It is
//! level-triggered: whatever happens to a module (its documents changed, its driver was built, its process became ready
//! or died, a pause is over), [`Reconciler::converge`] looks at what it should be and does the next step, so that it is safe to
//! look again at any time, and a change touches only what it affects. The states of a module are in the header of
//! `modules`, those of a process in that of `host`.
//!
//! - `wanted`: what a module should be, from the directory; `way`: how it reaches its device. `converge`: the next step towards it; `starting` and `links`
//!   are two that take more.
//! - `lanes`: processes and who is in them. `outcomes`: what modules and processes answer. `records`: what is written.

mod converge;
mod event;
mod lanes;
mod links;
mod outcomes;
pub(crate) mod records;
mod slot;
mod starting;
mod timers;
mod wanted;
mod way;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::Shared;
use super::directory::{Affected, Directory, Id};
use super::drivers::Drivers;
use crate::connections::Connections;
use crate::model::Kind;
use crate::secrets::Vault;
use crate::store::{self, Change};

pub(crate) use event::Event;
pub(crate) use lanes::LaneKey;
use lanes::Lanes;
use records::Recorder;
use slot::Slot;
use timers::{Timers, Wake};

/// How many events are handled before the store's feed is looked at again.
const BATCH: usize = 256;

pub(crate) struct Reconciler {
    shared: Arc<Shared>,
    store: store::Handle,
    vault: Arc<Vault>,
    connections: Connections,
    drivers: Drivers,
    recorder: Recorder,
    directory: Directory,
    slots: HashMap<Id, Slot>,
    lanes: Lanes,
    timers: Timers,
    /// The last change acted on.
    applied: watch::Sender<u64>,
    /// Nothing should run any more; told once nothing does.
    ending: Option<oneshot::Sender<()>>,
}

/// What the reconciler is made of.
pub(crate) struct Parts {
    pub(crate) shared: Arc<Shared>,
    pub(crate) store: store::Handle,
    pub(crate) vault: Arc<Vault>,
    pub(crate) connections: Connections,
    pub(crate) drivers: Drivers,
    pub(crate) applied: watch::Sender<u64>,
}

impl Reconciler {
    pub(crate) fn new(parts: Parts) -> Reconciler {
        let Parts { shared, store, vault, connections, drivers, applied } = parts;
        Reconciler {
            recorder: Recorder::start(store.clone()),
            directory: Directory::new(vault.clone()),
            slots: HashMap::new(),
            lanes: Lanes::default(),
            timers: Timers::default(),
            ending: None,
            shared,
            store,
            vault,
            connections,
            drivers,
            applied,
        }
    }

    pub(crate) async fn run(mut self, mut events: mpsc::UnboundedReceiver<Event>) {
        let mut head = self.store.head();
        self.load().await;
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let wake = self.timers.next();
            tokio::select! {
                changed = head.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.follow().await;
                }
                count = events.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return;
                    }
                    for event in batch.drain(..) {
                        self.handle(event);
                    }
                }
                () = tokio::time::sleep_until(wake) => {
                    for wake in self.timers.due() {
                        self.wake(wake);
                    }
                }
            }
            if self.lanes.is_empty()
                && self.slots.values().all(Slot::is_at_rest)
                && let Some(ended) = self.ending.take()
            {
                let _ = ended.send(());
            }
        }
    }

    // --- the store's feed ---

    /// Takes in everything the store has.
    async fn load(&mut self) {
        let sequence = *self.store.head().borrow();
        let mut affected = Affected::default();
        let kinds = [Kind::Repository, Kind::Driver, Kind::Settings, Kind::Zone, Kind::System, Kind::Module];
        for kind in kinds {
            match self.store.list(kind).await {
                Ok(documents) => {
                    self.directory.retain(kind, &documents, &mut affected);
                    for document in documents {
                        let id = document.id.clone();
                        let change = Change { sequence, kind, id, document: Some(document) };
                        self.directory.apply(&change, &mut affected);
                    }
                }
                Err(error) => tracing::error!(%error, "the store cannot be read"),
            }
        }
        self.act(affected);
        self.applied.send_replace(sequence);
    }

    /// Takes in what changed since.
    async fn follow(&mut self) {
        let after = *self.applied.borrow();
        match self.store.changes(after).await {
            Ok(changes) => {
                let Some(last) = changes.last().map(|change| change.sequence) else { return };
                let mut affected = Affected::default();
                for change in &changes {
                    self.directory.apply(change, &mut affected);
                }
                self.act(affected);
                self.applied.send_replace(last);
            }
            Err(store::Error::TooOld { .. }) => self.load().await,
            Err(error) => tracing::error!(%error, "the store's changes cannot be read"),
        }
    }

    /// Acts on what changed: repositories and drivers first, then places, then modules.
    fn act(&mut self, mut affected: Affected) {
        for id in &affected.repositories {
            self.drivers.repository(id.clone(), self.directory.repositories.get(id).cloned());
        }
        for id in &affected.drivers {
            self.drivers.driver(id.clone(), self.directory.drivers.get(id).cloned());
        }
        for id in &affected.modules {
            self.adopt(id);
        }
        for id in &affected.systems {
            if self.shared.names.set(id, self.directory.places(id)) {
                self.shared.registry.retarget(id);
                affected.modules.extend(self.directory.logic_modules_of(id));
            }
        }
        for id in &affected.modules {
            self.converge(id);
        }
    }

    /// A module that exists has a record from now on, whether it runs or not.
    fn adopt(&mut self, id: &Id) {
        let Some(module) = self.directory.modules.get(id) else { return };
        let slot = self.slots.entry(id.clone()).or_insert_with(|| {
            let slot = Slot::new(&self.shared, id, self.connections.recorder());
            self.shared.modules.insert(id.clone(), slot.entry.clone());
            slot
        });
        slot.entry.publish(|life| life.driver = Some(module.driver_id.as_str().into()));
    }

    fn wake(&mut self, wake: Wake) {
        match wake {
            Wake::Module(id) => self.converge(&id),
            Wake::Lane(key) => self.restart_lane(&key),
            Wake::Held(id, started) => self.held(&id, started),
        }
    }
}
