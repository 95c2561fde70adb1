//! What waits to be sent on one link, in order, with the receipts to answer. Every receipt put in comes out exactly once.

use super::{Payload, Receipt};
use bytes::Buf as _;
use std::{collections::VecDeque, io::IoSlice};

/// A queue that grew beyond this is given back when it runs empty.
const KEEP: usize = 8;

#[derive(Default)]
pub(super) struct Outbox {
    items: VecDeque<(Payload, Option<Receipt>)>,
    bytes: usize,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
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
        self.items.front().map(|(payload, _)| payload)
    }

    /// Fills `slices` with the front of the queue; how many were filled.
    pub(super) fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (slice, (payload, _)) in slices.iter_mut().zip(&self.items) {
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
        while let Some((payload, receipt)) = self.items.front_mut() {
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
        let items = std::mem::take(self).items;
        items.into_iter().filter_map(|(_, receipt)| receipt).collect()
    }
}
