//! What waits to be sent on one link, in order, with the receipts to answer. Every receipt put in comes out exactly once.

use super::{Payload, Receipt, upgrade::Upgrade};
use bytes::Buf as _;
use std::{collections::VecDeque, io::IoSlice};

/// A queue that grew beyond this is given back when it runs empty.
const KEEP: usize = 8;

#[derive(Default)]
pub(super) struct Outbox {
    items: VecDeque<(Payload, Option<Receipt>)>,
    bytes: usize,
    /// Rarely there.
    barrier: Option<Box<Barrier>>,
}

/// What is behind it is not sent until it is lifted.
struct Barrier {
    /// Payloads in front of it.
    before: usize,
    /// None: it is being carried out.
    upgrade: Option<Upgrade>,
}

impl Outbox {
    /// Nothing to send, and nothing else to do before the next payload.
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.barrier.is_none()
    }

    /// What is pushed from here on waits until [`Outbox::lift`].
    pub(super) fn hold(&mut self, upgrade: Upgrade) {
        self.barrier = Some(Box::new(Barrier { before: self.items.len(), upgrade: Some(upgrade) }));
    }

    pub(super) fn is_held(&self) -> bool {
        self.barrier.is_some()
    }

    /// All that was before is sent: this is next. Given out once.
    pub(super) fn next_upgrade(&mut self) -> Option<Upgrade> {
        self.barrier.as_mut().filter(|barrier| barrier.before == 0)?.upgrade.take()
    }

    pub(super) fn lift(&mut self) {
        self.barrier = None;
    }

    /// Payloads that may be sent now.
    fn free(&self) -> usize {
        self.barrier.as_ref().map_or(usize::MAX, |barrier| barrier.before)
    }

    /// Bytes waiting.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, payload: Payload, receipt: Option<Receipt>) {
        self.bytes += payload.bytes.len();
        self.items.push_back((payload, receipt));
    }

    pub(super) fn front(&self) -> Option<&Payload> {
        self.items.front().filter(|_| self.free() > 0).map(|(payload, _)| payload)
    }

    /// Fills `slices` with the front of the queue; how many were filled.
    pub(super) fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (slice, (payload, _)) in slices.iter_mut().zip(self.items.iter().take(self.free())) {
            *slice = IoSlice::new(&payload.bytes);
            filled += 1;
        }
        filled
    }

    /// So many bytes were sent, of the payload in front only or of several; `went` is told of each payload how many. Gives back
    /// the receipts of what is now sent.
    pub(super) fn advance(
        &mut self,
        sent: usize,
        front_only: bool,
        mut went: impl FnMut(&Payload, usize),
    ) -> Vec<Receipt> {
        self.bytes = self.bytes.saturating_sub(sent);
        let mut left = sent;
        let mut receipts = Vec::new();
        while self.free() > 0
            && let Some((payload, receipt)) = self.items.front_mut()
        {
            let length = payload.bytes.len();
            if left > 0 || front_only {
                went(payload, left.min(length));
            }
            if left < length {
                payload.bytes.advance(left);
                break;
            }
            left -= length;
            receipts.extend(receipt.take());
            self.items.pop_front();
            if let Some(barrier) = &mut self.barrier {
                barrier.before -= 1;
            }
            if front_only {
                break;
            }
        }
        if self.items.is_empty() && self.items.capacity() > KEEP {
            self.items = VecDeque::new();
        }
        receipts
    }

    /// Empties the queue; the caller answers these.
    pub(super) fn take(&mut self) -> Vec<Receipt> {
        let Self { items, barrier, .. } = std::mem::take(self);
        let upgrade = barrier.and_then(|barrier| barrier.upgrade?.receipt());
        items.into_iter().filter_map(|(_, receipt)| receipt).chain(upgrade).collect()
    }
}
