//! One connection that several links share, taking turns: an RS-485 bus with many devices on it.
//!
//! Each link is a link as any other, with its own state, queue and receipts; what it connects to is its membership.
//! The first member that connects dials; the connection ends with the last, or for all of them when it is lost, or when one
//! of them gives it up. Who wants to send waits for its turn ([`turns`]); what comes is for whoever has it, between turns for all.
//!
//! One task carries bytes between the shared connection and the members ([`carrier`]); one lock owns who is a member, whose
//! turn it is, and what waits in between: at most one piece for each member, and one payload to be sent.

mod carrier;
mod turns;

#[cfg(test)]
mod tests;

use super::{
    Address, Failure, Hub, Payload, dial,
    options::ms,
    wire::{Arrival, Transport, Wire},
};
use bytes::{Buf as _, Bytes};
use futures_util::{future::BoxFuture, task::AtomicWaker};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::SocketAddr,
    sync::{Arc, Weak},
    task::{Context, Poll, Waker},
};
use tokio::{
    io::ReadBuf,
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use turns::{Member, Turns, Wish};

/// The shared connections there are, by address.
#[derive(Default)]
pub(super) struct Buses(Mutex<HashMap<Address, Weak<Place>>>);

/// Where the members of one bus meet, whether or not it is connected.
#[derive(Default)]
struct Place(tokio::sync::Mutex<Known>);

#[derive(Default)]
struct Known {
    bus: Weak<Bus>,
    /// Ends when the connection is closed.
    carrier: Option<JoinHandle<()>>,
    failed: Option<(Instant, Failure)>,
}

struct Bus {
    core: Mutex<Core>,
    carrier: AtomicWaker,
    peer: Option<SocketAddr>,
    _place: Arc<Place>,
}

struct Core {
    members: BTreeMap<Member, Seat>,
    joined: Member,
    turns: Turns,
    /// What who has the turn wants sent.
    outgoing: Option<Outgoing>,
    over: Option<End>,
}

#[derive(Default)]
struct Seat {
    inbox: Option<Bytes>,
    /// Since when there is something in it.
    since: Option<Instant>,
    receiving: Option<Waker>,
    sending: Option<Waker>,
}

struct Outgoing {
    by: Member,
    payload: Payload,
    /// Bytes that the connection has taken of it, once it has.
    taken: Option<usize>,
}

#[derive(Clone)]
enum End {
    Closed,
    Failed(Failure),
}

/// A link's part in a bus.
struct Membership {
    bus: Arc<Bus>,
    id: Member,
}

// === impl Buses ===

impl Buses {
    /// A membership of the bus at `address`, which is connected first if it is not. Members that wait for the same attempt
    /// share its outcome.
    pub(super) fn dial<'a>(
        &'a self,
        hub: &'a Arc<Hub>,
        address: &'a Address,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Wire, Failure>> {
        Box::pin(self.join(hub, address, deadline))
    }

    async fn join(&self, hub: &Arc<Hub>, address: &Address, deadline: Instant) -> Result<Wire, Failure> {
        let asked = Instant::now();
        let place = self.place(address);
        let late = |_| dial::failure::late(&address.to_string(), &hub.options);
        let mut known = timeout_at(deadline, place.0.lock()).await.map_err(late)?;
        if let Some(wire) = known.bus.upgrade().and_then(Bus::join) {
            return Ok(wire);
        }
        if let Some((when, failure)) = &known.failed
            && *when >= asked
        {
            return Err(failure.clone());
        }
        if let Some(carrier) = known.carrier.take() {
            // Many devices take one connection at a time.
            let _ = carrier.await;
        }
        match dial::dial(hub, address).await {
            Err(failure) => {
                known.failed = Some((Instant::now(), failure.clone()));
                Err(failure)
            }
            Ok(wire) => {
                let options = &hub.options;
                let core = Core {
                    members: BTreeMap::new(),
                    joined: 0,
                    turns: Turns::new(ms(options.bus_turn_ms), ms(options.bus_settle_ms)),
                    outgoing: None,
                    over: None,
                };
                let (peer, place) = (wire.peer, place.clone());
                let bus = Arc::new(Bus {
                    core: Mutex::new(core),
                    carrier: AtomicWaker::new(),
                    peer,
                    _place: place,
                });
                let member = bus.clone().join();
                known.bus = Arc::downgrade(&bus);
                known.carrier = Some(tokio::spawn(carrier::run(hub.clone(), bus, address.clone(), wire)));
                member.ok_or_else(|| dial::closed(address))
            }
        }
    }

    fn place(&self, address: &Address) -> Arc<Place> {
        let mut places = self.0.lock();
        if let Some(place) = places.get(address).and_then(Weak::upgrade) {
            return place;
        }
        places.retain(|_, place| place.strong_count() > 0);
        let place = Arc::new(Place::default());
        places.insert(address.clone(), Arc::downgrade(&place));
        place
    }
}

// === impl Bus ===

impl Bus {
    /// None if its connection has ended.
    fn join(self: Arc<Self>) -> Option<Wire> {
        let peer = self.peer;
        let id = {
            let mut core = self.core.lock();
            if core.over.is_some() {
                return None;
            }
            core.joined += 1;
            let id = core.joined;
            core.members.insert(id, Seat::default());
            id
        };
        Some(Wire::transport(Membership { bus: self, id }, peer))
    }
}

impl Core {
    /// The connection has ended, for everybody.
    fn finish(&mut self, end: End) {
        self.over.get_or_insert(end);
        for seat in self.members.values_mut() {
            seat.wake();
        }
    }

    /// Lets time pass, and wakes who gets the turn. Whose was taken back, if it was.
    fn advance(&mut self, now: Instant) -> Option<Member> {
        let before = self.turns.holder();
        let overdue = self.turns.advance(now);
        // Only news: who has it and waits for the wire would wake itself without end.
        if self.turns.holder() != before {
            self.wake_holder();
        }
        overdue
    }

    fn wake_holder(&mut self) {
        if let Some(seat) = self.turns.holder().and_then(|holder| self.members.get_mut(&holder)) {
            seat.sending.take().into_iter().for_each(Waker::wake);
        }
    }
}

impl Seat {
    fn wake(&mut self) {
        self.receiving.take().into_iter().for_each(Waker::wake);
        self.sending.take().into_iter().for_each(Waker::wake);
    }
}

impl End {
    fn error(&self) -> io::Error {
        match self {
            Self::Closed => io::ErrorKind::BrokenPipe.into(),
            Self::Failed(failure) => io::Error::other(failure.clone()),
        }
    }
}

// === impl Membership ===

impl Membership {
    /// Whether it has the turn; if not, it is woken when it has.
    fn ask(&self, core: &mut Core, wish: Wish, cx: &Context<'_>) -> io::Result<bool> {
        if let Some(end) = &core.over {
            return Err(end.error());
        }
        core.turns.ask(self.id, wish);
        core.advance(Instant::now());
        // There may be something to do at another time now.
        self.bus.carrier.wake();
        let holds = core.turns.holds(self.id);
        if !holds && let Some(seat) = core.members.get_mut(&self.id) {
            seat.sending = Some(cx.waker().clone());
        }
        Ok(holds)
    }
}

impl Transport for Membership {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Option<Arrival>>> {
        let mut core = self.bus.core.lock();
        if core.outgoing.as_ref().is_some_and(|out| out.by == self.id && out.taken.is_some()) {
            // What is there may answer what was sent; that its payload is on its way this member has still to hear.
            if let Some(seat) = core.members.get_mut(&self.id) {
                seat.receiving = Some(cx.waker().clone());
            }
            return Poll::Pending;
        }
        let over = core.over.clone();
        let Some(seat) = core.members.get_mut(&self.id) else { return Poll::Ready(Ok(None)) };
        if let Some(bytes) = &mut seat.inbox {
            let piece = bytes.get(..buf.remaining()).unwrap_or(bytes);
            let length = piece.len();
            buf.put_slice(piece);
            bytes.advance(length);
            if bytes.is_empty() {
                (seat.inbox, seat.since) = (None, None);
                self.bus.carrier.wake();
            }
            return Poll::Ready(Ok(Some(Arrival::Filled)));
        }
        match over {
            Some(End::Closed) => Poll::Ready(Ok(None)),
            Some(end) => Poll::Ready(Err(end.error())),
            None => {
                seat.receiving = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, payload: &Payload) -> Poll<io::Result<usize>> {
        if payload.bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let mut core = self.bus.core.lock();
        if let Some(taken) = core.outgoing.as_ref().filter(|out| out.by == self.id).and_then(|out| out.taken)
        {
            core.outgoing = None;
            if let Some(seat) = core.members.get_mut(&self.id) {
                seat.receiving.take().into_iter().for_each(Waker::wake);
            }
            if taken == payload.bytes.len() {
                let now = Instant::now();
                core.turns.sent(now);
                core.advance(now);
                self.bus.carrier.wake();
            }
            return Poll::Ready(Ok(taken));
        }
        if self.ask(&mut core, Wish::Word, cx)? {
            if core.outgoing.is_none() {
                core.turns.begun();
                core.outgoing = Some(Outgoing { by: self.id, payload: payload.clone(), taken: None });
            }
            if let Some(seat) = core.members.get_mut(&self.id) {
                seat.sending = Some(cx.waker().clone());
            }
        }
        Poll::Pending
    }

    /// What was taken is the connection's.
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut core = self.bus.core.lock();
        if self.ask(&mut core, Wish::Turn, cx)? { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn release(&mut self) {
        let mut core = self.bus.core.lock();
        let now = Instant::now();
        core.turns.release(self.id, now);
        core.advance(now);
        self.bus.carrier.wake();
    }

    fn give_up(&mut self, failure: &Failure) {
        self.bus.core.lock().finish(End::Failed(failure.clone()));
        self.bus.carrier.wake();
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut core = self.bus.core.lock();
        core.members.remove(&self.id);
        // What is not taken yet is the carrier's to finish.
        core.outgoing.take_if(|out| out.by == self.id && out.taken.is_some());
        let now = Instant::now();
        core.turns.leave(self.id, now);
        core.advance(now);
        drop(core);
        self.bus.carrier.wake();
    }
}
