//! Whose turn it is: so many exchanges at the same time, the others in the order they came, and not without bound.

use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests that may wait.
const WAITING: usize = 256;

pub(super) struct Queue {
    slots: Arc<Semaphore>,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) requests: usize,
    pub(super) bytes: usize,
}

/// A place in the queue, given up when dropped.
pub(super) struct Place {
    slots: Arc<Semaphore>,
    waiting: Arc<Mutex<Waiting>>,
    bytes: usize,
}

impl Queue {
    pub(super) fn new(concurrency: usize) -> Self {
        Self { slots: Arc::new(Semaphore::new(concurrency.max(1))), waiting: Arc::default() }
    }

    /// A place for a request with a body of so many bytes, or what waits already: `limit` bytes in all, or one request
    /// that is longer if it is alone.
    pub(super) fn enter(&self, bytes: usize, limit: usize) -> Result<Place, Waiting> {
        let mut waiting = self.waiting.lock();
        let alone = waiting.requests == 0;
        if waiting.requests >= WAITING || (!alone && waiting.bytes.saturating_add(bytes) > limit) {
            return Err(*waiting);
        }
        waiting.requests += 1;
        waiting.bytes = waiting.bytes.saturating_add(bytes);
        Ok(Place { slots: self.slots.clone(), waiting: self.waiting.clone(), bytes })
    }
}

impl Place {
    /// Waits for the turn; the place in the queue is free again then. The turn lasts as long as what is given.
    pub(super) async fn turn(self) -> Option<OwnedSemaphorePermit> {
        self.slots.clone().acquire_owned().await.ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.waiting.lock();
        waiting.requests -= 1;
        waiting.bytes -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn first_come_first_served_and_bounded() {
        let queue = Queue::new(1);
        let running = queue.enter(1000, 100).expect("alone").turn().now_or_never().expect("at once");
        let first = queue.enter(60, 100).expect("room");
        assert_eq!(queue.enter(60, 100).err(), Some(Waiting { requests: 1, bytes: 60 }));
        let second = queue.enter(40, 100).expect("room");
        let (mut first, mut second) = (Box::pin(first.turn()), Box::pin(second.turn()));
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        drop(running);
        assert!(second.as_mut().now_or_never().is_none(), "not before the first");
        let turn = first.as_mut().now_or_never().expect("its turn");
        // Who gives up leaves its place to others.
        drop(second);
        assert_eq!(*queue.waiting.lock(), Waiting::default());
        drop(turn);
        for _ in 0..WAITING {
            std::mem::forget(queue.enter(0, 100).expect("room"));
        }
        assert_eq!(queue.enter(0, 100).err().map(|waiting| waiting.requests), Some(WAITING));
    }
}
