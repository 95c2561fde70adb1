//! The handle of a link: orders for its task, and the short way to the wire.

use super::{Error, Hub, Payload, Reason, Sink, State, Target, shared::Shared, task::Life};
use std::sync::Arc;

/// Told once what became of a transmit: `Ok` when the operating system has taken all of its bytes.
/// Called on the transmitting thread or on the link's task, so that two transmits' receipts may come in another order than
/// their bytes, which never do. Must not block.
pub type Receipt = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// Cheap to clone; the link is closed with its last clone. Every call but `close` returns at once.
#[derive(Clone)]
pub struct Link(Arc<Handle>);

struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.order_close();
    }
}

impl Link {
    pub(super) fn open<S: Sink>(hub: Arc<Hub>, target: Target, sink: S) -> Self {
        let shared = Arc::new(Shared::new(hub, target, sink.recorder()));
        tokio::spawn(Life::new(shared.clone(), sink).run());
        Self(Arc::new(Handle(shared)))
    }

    /// Sends the payload after everything transmitted before. Never waits: what the wire does not take at once is queued, up to
    /// `queue_bytes`. Keep-open links that are not up refuse; make-break links connect first. The receipt is always called.
    pub fn transmit(&self, payload: impl Into<Payload>, receipt: Option<Receipt>) {
        self.0.0.transmit(payload.into(), receipt);
    }

    /// Nothing if the target is equal. With another address the connection is dropped, what waits to be sent is answered,
    /// and the new address is tried at once; with another mode only, the connection stays.
    pub fn retarget(&self, target: Target) {
        self.0.0.retarget(target);
    }

    /// Somebody wants the device now: tries at once (at most every `asked_min_ms`), unless the link is up or an attempt is
    /// under way. Also connects a make-break link that has nothing to send.
    pub fn attempt(&self) {
        self.0.0.attempt();
    }

    /// Drops the connection, if there is one, and reconnects the normal way, after a pause: the driver has lost its way in
    /// the protocol ([`Reason::Protocol`]), or could not log in ([`Reason::Auth`]). `why` is for people. A make-break link
    /// becomes idle. Of one that is down already, a refused login is why.
    pub fn disconnect(&self, reason: Reason, why: &str) {
        self.0.0.disconnect(reason, why);
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0.0
    }

    /// Goes on in TLS on the connection there is, with the target's TLS settings: after all that was transmitted before, and
    /// before all that is transmitted later. If that fails the connection is lost ([`Reason::Tls`]). `Ok` at once on a Unix
    /// socket: what is emulated needs none.
    pub fn start_tls(&self, receipt: Option<Receipt>) {
        self.0.0.start_tls(receipt);
    }

    /// Waits for this link's turn on a connection that it shares ([`Address::Bus`](super::Address::Bus)); on another it has it at
    /// once. Until [`Link::release`], or until it has lasted `bus_turn_ms`, only this link sends, and hears what comes. One at a
    /// time may wait. The receipt is called when the turn has come, or with the reason why it will not.
    pub fn acquire(&self, receipt: Receipt) {
        self.0.0.acquire(receipt);
    }

    /// Gives the turn back, or stops waiting for it. Nothing, if there is none.
    pub fn release(&self) {
        self.0.0.release();
    }

    pub fn state(&self) -> State {
        self.0.0.state()
    }

    /// When this returns the socket is closed, every receipt and exchange answered, and the sink dropped.
    pub async fn close(&self) {
        self.0.0.order_close();
        self.0.0.wait_finished().await;
        self.0.0.exchanges.ended().await;
    }
}
