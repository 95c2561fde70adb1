//! What the reconciler knows of one module.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use drivers_sdk_protocol::message;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::lanes::LaneKey;
use crate::connections::{Recorder, Target};
use crate::runtime::Shared;
use crate::runtime::backoff::Backoff;
use crate::runtime::directory::Id;
use crate::runtime::emulator::Emulator;
use crate::runtime::modules::Entry;

pub(super) struct Slot {
    pub(super) entry: Arc<Entry>,
    pub(super) phase: Phase,
    /// A lane on whose list it is without a place in it: it moves there once that is ready, or failed there and is tried
    /// again.
    pub(super) bound: Option<LaneKey>,
    /// The group of suspects it belongs to, and the program it was suspected under.
    pub(super) quarantine: Option<(u64, u64)>,
    pub(super) backoff: Backoff,
    /// When it last started to run.
    pub(super) started: Option<Instant>,
    /// What it was last told, or started with.
    pub(super) told: Told,
    /// Where its link leads.
    pub(super) target: Option<Target>,
    pub(super) emulator: Option<Emulator>,
    /// The last of its settings that is being saved; gives the document that was made for that, if one was.
    pub(super) saving: Option<JoinHandle<Option<Id>>>,
}

/// Where a module is on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Stopped,
    /// It should run, and cannot be placed.
    Waiting,
    /// It waits for its process to be ready.
    Placing {
        lane: LaneKey,
    },
    Starting {
        at: Seat,
    },
    Running {
        at: Seat,
    },
    Stopping {
        at: Seat,
    },
    Failed {
        until: Instant,
    },
}

/// A place in a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) lane: LaneKey,
    pub(super) process: u64,
    pub(super) handle: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Hash of the merged settings.
    pub(super) settings: u64,
    pub(super) system: Option<message::System>,
    /// Hash of everything it was started with: if that failed, something else is worth trying at once.
    pub(super) attempt: u64,
    /// Whether it was started for a make-break link.
    pub(super) makebreak: bool,
}

impl Slot {
    pub(super) fn new(shared: &Shared, id: &Id, recorder: Option<Arc<Recorder>>) -> Slot {
        let board = shared.registry.adopt(id);
        Slot {
            entry: Arc::new(Entry::new(id.clone(), board, recorder)),
            phase: Phase::Stopped,
            bound: None,
            quarantine: None,
            backoff: Backoff::default(),
            started: None,
            told: Told::default(),
            target: None,
            emulator: None,
            saving: None,
        }
    }

    /// The place it has in a process.
    pub(super) fn seat(&self) -> Option<&Seat> {
        match &self.phase {
            Phase::Starting { at } | Phase::Running { at } | Phase::Stopping { at } => Some(at),
            _ => None,
        }
    }

    /// Whether it has this place.
    pub(super) fn sits(&self, process: u64, handle: u32) -> bool {
        self.seat().is_some_and(|seat| seat.process == process && seat.handle == handle)
    }

    pub(super) fn is_at_rest(&self) -> bool {
        self.phase == Phase::Stopped
    }
}

pub(super) fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
