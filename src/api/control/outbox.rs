//! Changed values on their way to one session: a slot for each binding, so that a value that was not written yet
//! is replaced by a newer one. What waits is bounded by the number of bindings, however slow the client.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use crate::runtime::subscriptions::Sink;

/// The values that one session has yet to write.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    session: AtomicWaker,
}

#[derive(Debug, Default)]
struct Waiting {
    slots: HashMap<u64, Option<Arc<str>>>,
    /// The tokens of filled slots, in the order in which they were first filled.
    order: VecDeque<u64>,
}

impl Sink for Outbox {
    fn changed(&self, token: u64, value: Option<Arc<str>>) {
        {
            let mut waiting = self.waiting.lock();
            if waiting.slots.insert(token, value).is_some() {
                return;
            }
            waiting.order.push_back(token);
        }
        self.session.wake();
    }
}

impl Outbox {
    /// The next changed value; the session's task is woken when there is one again.
    pub(super) fn next(&self) -> Option<(u64, Option<Arc<str>>)> {
        let mut waiting = self.waiting.lock();
        let token = waiting.order.pop_front()?;
        let value = waiting.slots.remove(&token)?;
        Some((token, value))
    }

    pub(super) fn register(&self, waker: &std::task::Waker) {
        self.session.register(waker);
    }
}
