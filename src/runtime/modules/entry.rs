//! The shared record of a module.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::runtime::debug;
use crate::runtime::status::Board;
use crate::runtime::view::{self, Fault, State};

/// A module. Written by the reconciler and by its link, read by everyone.
pub(crate) struct Entry {
    pub(crate) id: Arc<str>,
    pub(crate) board: Arc<Board>,
    pub(crate) log: debug::Log,
    life: Mutex<Life>,
}

/// What the reconciler has published about a module.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) state: State,
    pub(crate) since: i64,
    pub(crate) detail: Option<Arc<str>>,
    pub(crate) last_error: Option<Arc<Fault>>,
    pub(crate) next_attempt: Option<i64>,
    pub(crate) process: Option<u32>,
    pub(crate) quarantined: bool,
    pub(crate) emulated: bool,
    pub(crate) commit: Option<Arc<str>>,
}

impl Entry {
    pub(crate) fn new(id: Arc<str>, board: Arc<Board>) -> Entry {
        let life = Life {
            state: State::Stopped,
            since: view::now(),
            detail: None,
            last_error: None,
            next_attempt: None,
            process: None,
            quarantined: false,
            emulated: false,
            commit: None,
        };
        Entry { id, board, log: debug::Log::default(), life: Mutex::new(life) }
    }

    pub(crate) fn life(&self) -> Life {
        self.life.lock().clone()
    }

    /// Changes what is published about the module.
    pub(crate) fn publish(&self, change: impl FnOnce(&mut Life)) {
        change(&mut self.life.lock());
    }
}
