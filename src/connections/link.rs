//! The handle of a link. NOT CONNECTED YET: this build has the signatures only, and refuses every transmit.

use super::{Error, Failure, Hub, Reason, Sink, State, Target};
use bytes::Bytes;
use std::{sync::Arc, time::SystemTime};

/// Told once what became of a transmit: `Ok` when the operating system has taken all of its bytes.
/// Called on the transmitting thread or on the link's task: must not block.
pub type Receipt = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// Cheap to clone; every call returns at once except `close`.
#[derive(Clone)]
pub struct Link {
    target: Arc<Target>,
}

impl Link {
    pub(super) fn open<S: Sink>(hub: Arc<Hub>, target: Target, sink: S) -> Self {
        let link = Self { target: Arc::new(target) };
        let state = link.state();
        hub.counters.enter(&state);
        sink.state(&state);
        link
    }

    /// Sends `bytes` after everything transmitted before. Never waits: what the wire does not take at once is queued, up to
    /// `queue_bytes`. Keep-open links that are not up refuse; make-break links connect first.
    pub fn transmit(&self, _bytes: Bytes, receipt: Option<Receipt>) {
        if let Some(receipt) = receipt {
            receipt(Err(Error::Closed { address: self.target.address.to_string() }));
        }
    }

    /// Nothing if the target is equal. Otherwise the connection is dropped and the new address tried at once.
    pub fn retarget(&self, _target: Target) {}

    /// Somebody wants the device now: tries at once unless the link is up or an attempt is under way.
    pub fn attempt(&self) {}

    /// Drops the connection and reconnects the normal way, after a short delay: the driver has lost its way in the protocol.
    pub fn disconnect(&self, _reason: &str) {}

    pub fn state(&self) -> State {
        let failure = Failure::new(Reason::Stopped, "links are not built into this version yet");
        State::down(&failure, 0, SystemTime::UNIX_EPOCH, None)
    }

    /// When this returns the socket is closed, every receipt answered, and the sink dropped.
    pub async fn close(&self) {}
}
