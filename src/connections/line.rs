//! A connection that is up: orders first, then what there is to send, then what there is to read, then the clock.

use super::{
    Failure, Mode, dial,
    inner::Order,
    options::ms,
    shared::Shared,
    upgrade::Upgrade,
    wire::{Piece, Reader},
};
use std::{
    pin::Pin,
    sync::atomic::Ordering::Relaxed,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};

pub(super) struct Line {
    reader: Reader,
    /// What comes before the next bytes are read.
    upgrade: Option<Upgrade>,
    /// There may be an order, or something to flush.
    look: bool,
    /// Make-break: how long to stay connected without traffic.
    hold: Option<Duration>,
    /// Allocated only by links that need the clock: make-break ones, and those whose connection still has to prove itself.
    timer: Option<Pin<Box<Sleep>>>,
}

pub(super) enum Event<'a> {
    Received(Piece<'a>),
    StartTls(Upgrade),
    /// The connection has proved itself.
    Held,
    End(End),
}

pub(super) enum End {
    Order(Order),
    Lost(Failure),
    /// Make-break, unused for long enough.
    Held,
}

impl Line {
    /// `proving`: to be told when the connection has held for `stable_ms`.
    pub(super) fn new(reader: Reader, shared: &Shared, proving: bool) -> Self {
        let mut line = Self { reader, upgrade: None, look: true, hold: None, timer: None };
        line.arm(shared);
        if proving && line.hold.is_none() {
            line.timer = Some(Box::pin(sleep(ms(shared.hub.options.stable_ms))));
        }
        line
    }

    pub(super) fn into_reader(self) -> Reader {
        self.reader
    }

    fn arm(&mut self, shared: &Shared) {
        self.hold = match shared.target().mode {
            Mode::KeepOpen => None,
            Mode::MakeBreak { hold } => Some(hold),
        };
        self.timer = self.hold.map(|hold| Box::pin(sleep(hold)));
    }

    /// Flushes as a side effect. Ready with an order that ends the connection.
    pub(super) fn poll_order(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Poll<Order> {
        loop {
            match std::task::ready!(shared.poll_attention(cx, &mut self.look)) {
                Order::Mode => self.arm(shared),
                Order::StartTls(upgrade) => self.upgrade = Some(upgrade),
                Order::Attempt | Order::Traffic => {}
                order @ (Order::Close | Order::Retarget | Order::Disconnect(_)) => return Poll::Ready(order),
            }
        }
    }

    pub(super) fn poll<'a>(&mut self, cx: &mut Context<'_>, shared: &'a Shared) -> Poll<Event<'a>> {
        if let Poll::Ready(order) = self.poll_order(cx, shared) {
            return Poll::Ready(Event::End(End::Order(order)));
        }
        if let Some(upgrade) = self.upgrade.take() {
            return Poll::Ready(Event::StartTls(upgrade));
        }
        match self.reader.poll_read(cx, &shared.hub.buffers) {
            Poll::Ready(Ok(None)) => {
                let failure = dial::closed(&shared.target().address);
                return Poll::Ready(Event::End(End::Lost(shared.first(failure))));
            }
            Poll::Ready(Ok(Some(piece))) => {
                shared.hub.counters.bytes_in.fetch_add(piece.len() as u64, Relaxed);
                shared.heard();
                if let Some(recorder) = &shared.recorder {
                    recorder.received(piece.form(), &piece, piece.from());
                }
                if self.hold.is_some() {
                    shared.touch();
                }
                return Poll::Ready(Event::Received(piece));
            }
            Poll::Ready(Err(error)) => {
                let failure = dial::loss(&shared.target().address, &error);
                return Poll::Ready(Event::End(End::Lost(shared.first(failure))));
            }
            Poll::Pending => {}
        }
        if self.look
            && let Some(failure) = shared.broken()
        {
            return Poll::Ready(Event::End(End::Lost(failure)));
        }
        self.poll_timer(cx, shared)
    }

    pub(super) fn give_up(&mut self, failure: &Failure) {
        self.reader.give_up(failure);
    }

    fn poll_timer<'a>(&mut self, cx: &mut Context<'_>, shared: &'a Shared) -> Poll<Event<'a>> {
        while let Some(timer) = &mut self.timer {
            std::task::ready!(timer.as_mut().poll(cx));
            let Some(hold) = self.hold else {
                self.timer = None;
                return Poll::Ready(Event::Held);
            };
            match shared.expire(hold) {
                Some(left) => timer.as_mut().reset(Instant::now() + left),
                None => return Poll::Ready(Event::End(End::Held)),
            }
        }
        Poll::Pending
    }
}
