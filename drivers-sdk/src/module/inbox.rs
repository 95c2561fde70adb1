//! What the device sent and no command took, in order, until `received` takes it.
//!
//! The daemon asks now and then whether all it handed on has been taken, and reads nothing more from the device before the
//! answer. That answer has its place here, so a device that talks faster than its driver listens is held up. But while a
//! command waits for its reply, which may come behind all this, the answer is given at once, until [`LIMIT`] is here: so a
//! handler may wait for a reply, however much the device says before it, and memory stays bounded.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use super::ticket::Queued;
use crate::frame::Frame;
use crate::matcher::Match;

/// How many bytes may be here before the device is held up even if a command waits for its reply, and how long a reply may be.
pub(crate) const LIMIT: usize = 4 * 1024 * 1024;
/// What a frame takes beside its bytes.
pub(crate) const FRAME: usize = 64;

#[derive(Debug)]
pub(crate) enum Arrived {
    Frame(Frame),
    /// The daemon wants to know, by this correlation, when everything before has been taken.
    Acknowledge(u32),
    /// A make-break connection that had been logged in to ended: what is before is for `received`, and for no command.
    End,
}

#[derive(Default)]
pub(crate) struct Inbox {
    arrived: RefCell<VecDeque<Arrived>>,
    size: Cell<usize>,
    ends: Cell<usize>,
}

impl Inbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.arrived.borrow().is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.size.get() >= LIMIT
    }

    pub(crate) fn push(&self, arrived: Arrived) {
        self.size.set(self.size.get() + size(&arrived));
        self.arrived.borrow_mut().push_back(arrived);
    }

    pub(crate) fn pop(&self) -> Option<Arrived> {
        let arrived = self.arrived.borrow_mut().pop_front()?;
        self.size.set(self.size.get() - size(&arrived));
        if matches!(arrived, Arrived::End) {
            self.ends.set(self.ends.get() - 1);
        }
        Some(arrived)
    }

    /// The connection that had been logged in to is over.
    pub(crate) fn end(&self) {
        if !self.is_empty() {
            self.ends.set(self.ends.get() + 1);
            self.push(Arrived::End);
        }
    }

    /// Whether something is here that was said before the last [`end`](Self::end).
    pub(crate) fn has_past(&self) -> bool {
        self.ends.get() > 0
    }

    /// Drops what was said since the last [`end`](Self::end); the correlations that are to be answered.
    pub(crate) fn forget(&self) -> Vec<u32> {
        let past = self.past();
        let present = self.arrived.borrow_mut().split_off(past);
        self.size.set(self.size.get() - present.iter().map(size).sum::<usize>());
        present.iter().filter_map(correlation).collect()
    }

    /// How many in front were said before the last [`end`](Self::end).
    fn past(&self) -> usize {
        let arrived = self.arrived.borrow();
        let end =
            self.has_past().then(|| arrived.iter().rposition(|arrived| matches!(arrived, Arrived::End)));
        end.flatten().map_or(0, |at| at + 1)
    }

    /// Empties it; the correlations that are to be answered.
    pub(crate) fn clear(&self) -> Vec<u32> {
        self.size.set(0);
        self.ends.set(0);
        self.arrived.take().iter().filter_map(correlation).collect()
    }

    /// A command begins to wait for its reply: the correlations that are to be answered so that it can come.
    pub(crate) fn let_on(&self) -> Vec<u32> {
        if self.is_full() || self.is_empty() {
            return Vec::new();
        }
        let mut arrived = self.arrived.borrow_mut();
        let found = arrived.iter().filter_map(correlation).collect();
        arrived.retain(|arrived| correlation(arrived).is_none());
        found
    }

    /// Offers what this connection said to a command; what it takes leaves.
    pub(crate) fn offer_to(&self, command: &dyn Queued) {
        let mut at = self.past();
        let mut arrived = self.arrived.borrow_mut();
        while let Some(next) = arrived.get(at) {
            let matched = match next {
                Arrived::Frame(frame) => command.offer(frame),
                Arrived::Acknowledge(_) | Arrived::End => Match::No,
            };
            if matches!(matched, Match::No) {
                at += 1;
                continue;
            }
            self.size.set(self.size.get() - size(next));
            arrived.remove(at);
            if matches!(matched, Match::Done(_)) {
                return;
            }
        }
    }
}

fn size(arrived: &Arrived) -> usize {
    match arrived {
        Arrived::Frame(frame) => frame.len() + FRAME,
        Arrived::Acknowledge(_) | Arrived::End => 0,
    }
}

fn correlation(arrived: &Arrived) -> Option<u32> {
    match arrived {
        Arrived::Frame(_) | Arrived::End => None,
        Arrived::Acknowledge(correlation) => Some(*correlation),
    }
}
