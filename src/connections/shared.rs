//! What a link's handles and its task share, and what each of them does with it.
//!
//! Only the task changes the state. Handles leave *orders*, and take the write half away when they end a connection, so that
//! nothing is written to it any more. The lock is never held across an await, nor while a receipt or the sink is called.

use super::{
    Address, Error, Failure, Hub, Mode, Payload, Reason, Receipt, Recorder, State, Target,
    http::{self, Exchanges},
    inner::{Accepted, Inner, Orders},
};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{
        AtomicBool,
        Ordering::{Relaxed, Release},
    },
};
use tokio::{sync::Notify, time::Instant};

mod steps;

pub(super) struct Shared {
    pub(super) hub: Arc<Hub>,
    pub(super) recorder: Option<Arc<Recorder>>,
    inner: Mutex<Inner>,
    /// The task, wherever it waits.
    waker: AtomicWaker,
    /// There is an order, something to flush, or a broken write half: saves the task the lock when there is not.
    attention: AtomicBool,
    /// Something was received since the last transmit, or nothing was transmitted yet: the next one likely stands alone.
    quiet: AtomicBool,
    finished: Notify,
    /// HTTP: under way on tasks of their own.
    pub(super) exchanges: Exchanges,
}

pub(super) enum Either<A, B> {
    Order(A),
    Done(B),
}

// === impl Shared: for handles ===

impl Shared {
    pub(super) fn new(hub: Arc<Hub>, target: Target, recorder: Option<Arc<Recorder>>) -> Self {
        let state = match target.mode {
            Mode::KeepOpen => State::connecting(),
            Mode::MakeBreak { .. } => State::Idle,
        };
        hub.counters.enter(&state);
        Self {
            hub,
            recorder,
            inner: Mutex::new(Inner::new(target, state)),
            waker: AtomicWaker::new(),
            attention: AtomicBool::new(false),
            quiet: AtomicBool::new(true),
            finished: Notify::new(),
            exchanges: Exchanges::default(),
        }
    }

    fn notify(&self) {
        self.attention.store(true, Release);
        self.waker.wake();
    }

    pub(super) fn transmit(&self, payload: Payload, receipt: Option<Receipt>) {
        let limit = self.hub.options.queue_bytes;
        let length = payload.bytes.len() as u64;
        let mut inner = self.inner.lock();
        match inner.accept(payload, receipt, limit, &self.quiet, self.recorder.as_deref()) {
            Accepted::Sent(receipt) => {
                drop(inner);
                self.hub.counters.bytes_out.fetch_add(length, Relaxed);
                answer(receipt, &Ok(()));
            }
            Accepted::Queued { wake } => {
                drop(inner);
                if wake {
                    self.notify();
                }
            }
            Accepted::Refused(receipt, error) => {
                drop(inner);
                if matches!(error, Error::Full { .. }) {
                    self.hub.counters.refused_transmits.fetch_add(1, Relaxed);
                }
                answer(receipt, &Err(error));
            }
            Accepted::Broke(receipt, failure) => {
                let queued = inner.break_off(failure.clone());
                drop(inner);
                self.notify();
                let outcome = Err(Error::Lost(failure));
                answer(receipt, &outcome);
                answer(queued, &outcome);
            }
        }
    }

    pub(super) fn retarget(&self, target: Target) {
        let mut inner = self.inner.lock();
        if inner.target == target || inner.orders.close {
            return;
        }
        if inner.target.address == target.address && inner.target.tls == target.tls {
            inner.target = target;
            inner.orders.mode = true;
            drop(inner);
            self.notify();
            return;
        }
        let (old, new) = (&inner.target.address, &target.address);
        let what = match old == new {
            true => format!("the TLS settings for {new} were changed"),
            false => format!("the address was changed from {old} to {new}"),
        };
        inner.target = target;
        inner.orders = Orders { retarget: true, ..Orders::default() };
        self.exchanges.cancel();
        self.abandon(inner, &Err(Error::Lost(Failure::new(Reason::Stopped, what))));
    }

    pub(super) fn attempt(&self) {
        let mut inner = self.inner.lock();
        if inner.writer.is_none() && !inner.orders.attempt {
            inner.orders.attempt = true;
            drop(inner);
            self.notify();
        }
    }

    pub(super) fn disconnect(&self, reason: Reason, why: &str) {
        let mut inner = self.inner.lock();
        // A device that hangs up with its refusal may be seen to hang up first.
        let late = reason == Reason::Auth && matches!(inner.state, State::Down { attempting: false, .. });
        if inner.writer.is_some() || inner.outbox.is_held() || late {
            let failure = given_up(&inner.target.address, reason, why);
            inner.orders.disconnect = Some(failure.clone());
            self.abandon(inner, &Err(Error::Lost(failure)));
        }
    }

    pub(super) fn start_tls(&self, receipt: Option<Receipt>) {
        let answered = self.inner.lock().start_tls(receipt);
        match answered {
            Some((receipt, outcome)) => answer(receipt, &outcome),
            None => self.notify(),
        }
    }

    pub(super) fn order_close(&self) {
        let mut inner = self.inner.lock();
        if !inner.orders.close {
            inner.orders.close = true;
            self.exchanges.cancel();
            let closed = inner.closed();
            self.abandon(inner, &Err(closed));
        }
    }

    /// The client to make a request with; none if the link is closed.
    pub(super) fn exchange(&self) -> Result<Option<(http::Client, http::Start)>, http::Error> {
        let inner = self.inner.lock();
        if inner.orders.close {
            return Ok(None);
        }
        match inner.target.http() {
            Some(client) => Ok(Some((client.clone(), self.exchanges.start()))),
            None => Err(http::Error::Request(format!(
                "{} has no HTTP address: set connection.http.base",
                inner.target.address
            ))),
        }
    }

    /// What an exchange has said about the service may be news to the link.
    pub(super) fn exchanged(&self, client: &http::Client) {
        let inner = self.inner.lock();
        let own = matches!(&inner.target.address, Address::Http(own) if own == client);
        let wrong = match inner.state {
            State::Up { .. } => false,
            State::Idle => client.answers() == Some(false),
            State::Connecting { .. } | State::Down { .. } => client.answers() == Some(true),
        };
        drop(inner);
        if own && wrong {
            self.attempt();
        }
    }

    /// From here on nothing more is written to the connection there is, if any.
    fn abandon(&self, mut inner: parking_lot::MutexGuard<'_, Inner>, outcome: &Result<(), Error>) {
        let writer = inner.writer.take();
        let receipts = inner.take_waiting();
        inner.broken = None;
        drop(inner);
        self.notify();
        drop(writer);
        answer(receipts, outcome);
    }

    pub(super) fn acquire(&self, receipt: Receipt) {
        let mut inner = self.inner.lock();
        if !inner.target.address.turns() {
            drop(inner);
            receipt(Ok(()));
        } else if let Some(error) = inner.no_turn() {
            drop(inner);
            receipt(Err(error));
        } else {
            inner.turn = Some(receipt);
            inner.touched = Instant::now();
            drop(inner);
            self.notify();
        }
    }

    pub(super) fn release(&self) {
        let mut inner = self.inner.lock();
        let waited = inner.turn.take();
        if let Some(writer) = &inner.writer {
            writer.release();
        }
        drop(inner);
        answer(waited, &Err(Error::Withdrawn));
    }

    pub(super) fn state(&self) -> State {
        self.inner.lock().state.clone()
    }

    pub(super) async fn wait_finished(&self) {
        loop {
            let mut finished = std::pin::pin!(self.finished.notified());
            finished.as_mut().enable();
            if self.inner.lock().done {
                return;
            }
            finished.await;
        }
    }
}

fn given_up(address: &Address, reason: Reason, why: &str) -> Failure {
    Failure::new(
        reason,
        match reason {
            Reason::Auth => {
                format!("the login at {address} failed: {why}. Are user name and password right?")
            }
            _ => format!("the connection to {address} was given up by its driver: {why}"),
        },
    )
}

fn answer(receipts: impl IntoIterator<Item = Receipt>, outcome: &Result<(), Error>) {
    for receipt in receipts {
        receipt(outcome.clone());
    }
}
