//! What waits to be sent on one link, in order, with the receipts to answer. Every receipt put in comes out exactly once.

use super::Receipt;
use bytes::{Buf, Bytes};
use std::{collections::VecDeque, io::IoSlice};

/// Payloads handed to the system in one call.
const BATCH: usize = 32;
/// A queue that grew beyond this is given back when it runs empty.
const KEEP: usize = 8;

#[derive(Default)]
pub(super) struct Outbox {
    items: VecDeque<(Bytes, Option<Receipt>)>,
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

    pub(super) fn push(&mut self, bytes: Bytes, receipt: Option<Receipt>) {
        self.bytes += bytes.len();
        self.items.push_back((bytes, receipt));
    }

    /// Calls `write` with the front of the queue; gives back how many bytes went, and the receipts of what is now sent.
    pub(super) fn write<E>(
        &mut self,
        write: impl FnOnce(&[IoSlice<'_>]) -> Result<usize, E>,
    ) -> Result<(usize, Vec<Receipt>), E> {
        let mut slices = [IoSlice::new(&[]); BATCH];
        let mut filled = 0;
        for (slice, (bytes, _)) in slices.iter_mut().zip(&self.items) {
            *slice = IoSlice::new(bytes);
            filled += 1;
        }
        let sent = write(slices.get(..filled).unwrap_or_default())?;
        Ok((sent, self.advance(sent)))
    }

    fn advance(&mut self, sent: usize) -> Vec<Receipt> {
        self.bytes = self.bytes.saturating_sub(sent);
        let mut left = sent;
        let mut receipts = Vec::new();
        while let Some((bytes, receipt)) = self.items.front_mut() {
            if left < bytes.len() {
                bytes.advance(left);
                break;
            }
            left -= bytes.len();
            receipts.extend(receipt.take());
            self.items.pop_front();
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
