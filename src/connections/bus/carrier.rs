//! The task of a shared connection: sends what who has the turn wants sent, and hands what comes to whom it is for.
//!
//! Nothing more is read while a member for whom something would be has not taken what came before: that is the back-pressure to
//! the wire. It lasts as long as the turn at most, and between turns as long as a turn may: a member that takes nothing cannot
//! hold up the others.

use super::{
    super::{
        Address, Hub, dial,
        options::ms,
        wire::{Reader, Wire, Writer},
    },
    Bus, Core, End,
    turns::Audience,
};
use bytes::Bytes;
use std::{
    future::poll_fn,
    io::IoSlice,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};
use tokio::time::{Instant, Sleep, sleep_until};

struct Carrier {
    hub: Arc<Hub>,
    address: Address,
    reader: Reader,
    writer: Writer,
    unflushed: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Until the connection ends, or nobody shares it any more. Then it is closed.
pub(super) async fn run(hub: Arc<Hub>, bus: Arc<Bus>, address: Address, wire: Wire) {
    let Wire { reader, writer, .. } = wire;
    let mut carrier = Carrier { hub, address, reader, writer, unflushed: false, timer: None };
    poll_fn(|cx| {
        bus.carrier.register(cx.waker());
        let mut core = bus.core.lock();
        match carrier.poll(cx, &mut core) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(end) => {
                core.finish(end);
                Poll::Ready(())
            }
        }
    })
    .await;
}

impl Carrier {
    fn poll(&mut self, cx: &mut Context<'_>, core: &mut Core) -> Poll<End> {
        loop {
            let now = Instant::now();
            if let Some(end) = &core.over {
                return Poll::Ready(end.clone());
            }
            if core.members.is_empty() {
                return Poll::Ready(End::Closed);
            }
            if core.advance(now).is_some() {
                let limit = self.hub.options.bus_turn_ms;
                tracing::warn!(address = %self.address, "a module had its turn on a shared connection for {limit} ms: it was taken back");
            }
            if let Poll::Ready(end) = self.poll_send(cx, core) {
                return Poll::Ready(end);
            }
            let (room, full) = room(core, now, ms(self.hub.options.bus_turn_ms));
            if room {
                match self.reader.poll_read(cx, &self.hub.buffers) {
                    Poll::Ready(Ok(Some(piece))) => {
                        core.turns.heard();
                        deliver(core, &Bytes::copy_from_slice(&piece), now);
                        continue;
                    }
                    Poll::Ready(Ok(None)) => return Poll::Ready(End::Closed),
                    Poll::Ready(Err(error)) => {
                        return Poll::Ready(End::Failed(dial::loss(&self.address, &error)));
                    }
                    Poll::Pending => {}
                }
            }
            if self.poll_timer(cx, core.turns.deadline().into_iter().chain(full).min()).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Ready if the connection has ended.
    fn poll_send(&mut self, cx: &mut Context<'_>, core: &mut Core) -> Poll<End> {
        let failed = |error| Poll::Ready(End::Failed(dial::loss(&self.address, &error)));
        if let Some(out) = core.outgoing.as_mut().filter(|out| out.taken.is_none()) {
            let written = self.writer.poll_write(cx, &out.payload, |slices| {
                slices
                    .iter_mut()
                    .zip([&out.payload.bytes])
                    .map(|(slice, bytes)| *slice = IoSlice::new(bytes))
                    .count()
            });
            match written {
                Poll::Ready(Ok(taken)) => {
                    out.taken = Some(taken);
                    self.unflushed = true;
                    let by = out.by;
                    match core.members.get_mut(&by) {
                        Some(seat) => seat.wake(),
                        // It has left in the middle of it.
                        None => {
                            core.outgoing = None;
                            core.wake_holder();
                        }
                    }
                }
                Poll::Ready(Err(error)) => return failed(error),
                Poll::Pending => {}
            }
        }
        if self.unflushed {
            match self.writer.poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => return failed(error),
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> Poll<()> {
        let Some(deadline) = deadline else {
            self.timer = None;
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx)
    }
}

/// Whether what comes can be handed on; if not, when it can be at the latest.
fn room(core: &Core, now: Instant, patience: std::time::Duration) -> (bool, Option<Instant>) {
    match core.turns.audience() {
        // Until its turn ends.
        Audience::One(member) => (core.members.get(&member).is_none_or(|seat| seat.inbox.is_none()), None),
        Audience::All => {
            let until = core.members.values().filter_map(|seat| seat.since).map(|since| since + patience);
            let latest = until.filter(|until| *until > now).max();
            (latest.is_none(), latest)
        }
    }
}

/// Whoever has not taken what came before, for too long, misses it. What is for a member that has left is for nobody.
fn deliver(core: &mut Core, bytes: &Bytes, now: Instant) {
    let audience = core.turns.audience();
    for (member, seat) in &mut core.members {
        if (audience == Audience::All || audience == Audience::One(*member)) && seat.inbox.is_none() {
            (seat.inbox, seat.since) = (Some(bytes.clone()), Some(now));
            seat.receiving.take().into_iter().for_each(Waker::wake);
        }
    }
}
