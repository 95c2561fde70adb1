//! What the lock between a link's handles and its task protects: state, write half, queue, orders. Nothing here waits.
//!
//! A transmit that stands alone, as a request that waits for its reply does, is written to the socket on the caller's thread:
//! no task switch on the way to the wire. Further ones are queued, and the task sends them many at a time. Orders coalesce, so
//! nothing grows but the queue, which is bounded.

use super::{
    Address, Error, Failure, Mode, Payload, Reason, Receipt, Recorder, State, Target, dial, outbox::Outbox,
    upgrade::Upgrade, wire::Writer,
};
use bytes::Buf as _;
use std::{
    io,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    task::{Context, Poll},
};
use tokio::time::Instant;

pub(super) struct Inner {
    pub(super) target: Target,
    pub(super) state: State,
    /// Present exactly while bytes may be written: taken away at once by whoever ends the connection.
    pub(super) writer: Option<Writer>,
    /// Writing failed; the task will find out by reading, or from here.
    pub(super) broken: Option<Failure>,
    pub(super) outbox: Outbox,
    /// Who waits for the link's turn on a shared connection.
    pub(super) turn: Option<Receipt>,
    /// Something was written that may still wait on this side of the system.
    pub(super) unflushed: bool,
    /// Last traffic, for make-break.
    pub(super) touched: Instant,
    pub(super) orders: Orders,
    pub(super) done: bool,
}

#[derive(Default)]
pub(super) struct Orders {
    pub(super) close: bool,
    pub(super) retarget: bool,
    pub(super) mode: bool,
    pub(super) attempt: bool,
    pub(super) disconnect: Option<Failure>,
}

/// What a handle asked of the task.
pub(super) enum Order {
    Close,
    /// The target is another one; the old connection's write half is already gone.
    Retarget,
    /// Same address, other mode.
    Mode,
    Disconnect(Failure),
    Attempt,
    /// Make-break: something waits to be sent.
    Traffic,
    /// All that was to be sent before is sent.
    StartTls(Upgrade),
}

// === impl Inner ===

pub(super) enum Accepted {
    Sent(Option<Receipt>),
    Queued { wake: bool },
    Refused(Option<Receipt>, Error),
    Broke(Option<Receipt>, Failure),
}

pub(super) enum Flush {
    Clean,
    Blocked,
    Sent(usize, Vec<Receipt>),
    Broke(Failure),
}

impl Inner {
    pub(super) fn new(target: Target, state: State) -> Self {
        Self {
            target,
            state,
            writer: None,
            broken: None,
            outbox: Outbox::default(),
            turn: None,
            unflushed: false,
            touched: Instant::now(),
            orders: Orders::default(),
            done: false,
        }
    }

    pub(super) fn accept(
        &mut self,
        mut payload: Payload,
        receipt: Option<Receipt>,
        limit: usize,
        quiet: &AtomicBool,
        recorder: Option<&Recorder>,
    ) -> Accepted {
        if self.orders.close {
            return Accepted::Refused(receipt, self.closed());
        }
        if matches!(self.target.address, Address::Http(_)) {
            let address = self.target.address.to_string();
            return Accepted::Refused(receipt, Error::NoStream { address });
        }
        if let Some(failure) = &self.broken {
            return Accepted::Refused(receipt, Error::Down(failure.clone()));
        }
        if let Some(what) = self.target.address.refuses(&payload) {
            let address = self.target.address.to_string();
            return Accepted::Refused(receipt, Error::Unable { address, what });
        }
        if payload.no_connect && self.writer.is_none() {
            return Accepted::Refused(receipt, Error::Ended { address: self.target.address.to_string() });
        }
        let queued = self.outbox.bytes();
        if queued.saturating_add(payload.bytes.len()) > limit {
            let address = self.target.address.to_string();
            return Accepted::Refused(receipt, Error::Full { address, queued, limit });
        }
        let make_break = matches!(self.target.mode, Mode::MakeBreak { .. });
        if make_break {
            self.touched = Instant::now();
        }
        if !self.outbox.is_empty() {
            self.outbox.push(payload, receipt);
            return Accepted::Queued { wake: false };
        }
        let Some(writer) = &self.writer else {
            if make_break {
                self.outbox.push(payload, receipt);
                return Accepted::Queued { wake: true };
            }
            return Accepted::Refused(receipt, self.not_up());
        };
        if payload.bytes.is_empty() && writer.is_socket() {
            return Accepted::Sent(receipt);
        }
        // In the middle of a burst a turn of the task sends much at once, where a call to the system each costs 4 times as much.
        if !quiet.swap(false, Relaxed) {
            self.outbox.push(payload, receipt);
            return Accepted::Queued { wake: true };
        }
        // Held while it is written: no answer is recorded before it.
        let mut sending = recorder.map(Recorder::sending);
        let outcome = writer.try_write(&payload.bytes);
        if let (Some(sending), Ok(sent)) = (&mut sending, &outcome) {
            sending.sent(&payload, *sent);
        }
        drop(sending);
        match outcome {
            Ok(sent) if sent == payload.bytes.len() => Accepted::Sent(receipt),
            Ok(sent) => {
                payload.bytes.advance(sent);
                self.outbox.push(payload, receipt);
                Accepted::Queued { wake: true }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.outbox.push(payload, receipt);
                Accepted::Queued { wake: true }
            }
            Err(error) => Accepted::Broke(receipt, dial::loss(&self.target.address, &error)),
        }
    }

    pub(super) fn flush(&mut self, cx: &mut Context<'_>, recorder: Option<&Recorder>) -> Flush {
        // Writing again would only be told that it is closed, which says less than what is known.
        let Some(writer) = self.writer.as_ref().filter(|_| self.broken.is_none()) else {
            return Flush::Clean;
        };
        if self.turn.is_some() {
            return match writer.poll_turn(cx) {
                Poll::Pending => Flush::Blocked,
                Poll::Ready(Err(error)) => Flush::Broke(dial::loss(&self.target.address, &error)),
                Poll::Ready(Ok(())) => Flush::Sent(0, self.turn.take().into_iter().collect()),
            };
        }
        let Some(front) = self.outbox.front() else {
            if !self.unflushed {
                return Flush::Clean;
            }
            return match writer.poll_flush(cx) {
                Poll::Pending => Flush::Blocked,
                Poll::Ready(Err(error)) => Flush::Broke(dial::loss(&self.target.address, &error)),
                Poll::Ready(Ok(())) => {
                    self.unflushed = false;
                    Flush::Clean
                }
            };
        };
        match writer.poll_write(cx, front, |slices| self.outbox.fill(slices)) {
            Poll::Pending => Flush::Blocked,
            Poll::Ready(Err(error)) => Flush::Broke(dial::loss(&self.target.address, &error)),
            Poll::Ready(Ok(sent)) => {
                let one = !writer.is_socket();
                self.unflushed = one;
                let mut sending = recorder.map(Recorder::sending);
                // Nothing is a message, but no part of a stream: it asks for the connection only.
                let messages = self.target.address.messages();
                let receipts = self.outbox.advance(sent, one, |payload, sent| {
                    if let Some(sending) = sending.as_mut().filter(|_| sent > 0 || messages) {
                        sending.sent(payload, sent);
                    }
                });
                Flush::Sent(sent, receipts)
            }
        }
    }

    /// Whoever asks is answered at once if this does not leave an order.
    pub(super) fn start_tls(
        &mut self,
        receipt: Option<Receipt>,
    ) -> Option<(Option<Receipt>, Result<(), Error>)> {
        let unable = |what| Err(Error::Unable { address: self.target.address.to_string(), what });
        if let Some(failure) = &self.broken {
            return Some((receipt, Err(Error::Down(failure.clone()))));
        }
        if self.outbox.is_held() {
            return Some((receipt, unable("TLS is being started already")));
        }
        match &self.writer {
            None => Some((receipt, Err(self.not_up()))),
            // An emulator's: it never leaves this machine.
            Some(Writer::Unix(_)) => Some((receipt, Ok(()))),
            Some(Writer::Transport(_)) => {
                Some((receipt, unable("only a plain TCP connection can go on in TLS")))
            }
            Some(Writer::Tcp(_)) => {
                let tls = self.target.tls.clone().unwrap_or_default();
                self.outbox.hold(Upgrade::new(tls, receipt));
                None
            }
        }
    }

    pub(super) fn break_off(&mut self, failure: Failure) -> Vec<Receipt> {
        // The first thing that goes wrong says most.
        self.broken.get_or_insert(failure);
        self.take_waiting()
    }

    /// Nothing is sent any more of what waits; the caller answers these.
    pub(super) fn take_waiting(&mut self) -> Vec<Receipt> {
        let mut receipts = self.outbox.take();
        receipts.extend(self.turn.take());
        receipts
    }

    /// Something waits for the connection.
    pub(super) fn is_wanted(&self) -> bool {
        !self.outbox.is_empty() || self.turn.is_some()
    }

    /// Why nobody can wait for a turn now.
    pub(super) fn no_turn(&self) -> Option<Error> {
        if self.orders.close {
            Some(self.closed())
        } else if let Some(failure) = &self.broken {
            Some(Error::Down(failure.clone()))
        } else if self.turn.is_some() {
            Some(Error::Waiting)
        } else if self.writer.is_none() && self.target.mode == Mode::KeepOpen {
            Some(self.not_up())
        } else {
            None
        }
    }

    pub(super) fn order(&mut self, traffic: bool) -> Option<Order> {
        let wanted = self.is_wanted();
        let orders = &mut self.orders;
        if orders.close {
            Some(Order::Close)
        } else if std::mem::take(&mut orders.retarget) {
            *orders = Orders::default();
            Some(Order::Retarget)
        } else if let Some(failure) = orders.disconnect.take() {
            Some(Order::Disconnect(failure))
        } else if std::mem::take(&mut orders.mode) {
            Some(Order::Mode)
        } else if std::mem::take(&mut orders.attempt) {
            Some(Order::Attempt)
        } else if let Some(upgrade) = self.outbox.next_upgrade() {
            Some(Order::StartTls(upgrade))
        } else if traffic && wanted {
            Some(Order::Traffic)
        } else {
            None
        }
    }

    pub(super) fn not_up(&self) -> Error {
        match &self.state {
            State::Down { reason, detail, .. } => Error::Down(Failure::new(*reason, detail.clone())),
            State::Up { .. } => Error::Down(Failure::new(
                Reason::Stopped,
                format!("the connection to {} is just being given up on this side", self.target.address),
            )),
            _ => Error::Connecting { address: self.target.address.to_string() },
        }
    }

    pub(super) fn closed(&self) -> Error {
        Error::Closed { address: self.target.address.to_string() }
    }
}
