//! What a link's handles and its task share: one short lock around the state, the write half, the queue and the orders.
//!
//! Handles write to the socket themselves while nothing is queued (no task switch on the way to the wire); the task flushes
//! what the socket did not take. Only the task changes `state`. Handles leave *orders*, which coalesce, so nothing here grows
//! but the queue. The lock is never held across an await, nor while a receipt or the sink is called.

use super::{
    Address, Error, Failure, Hub, Mode, Reason, Receipt, State, Target, dial, options::ms, outbox::Outbox,
    wire::Writer,
};
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::AcqRel, Ordering::Relaxed, Ordering::Release},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

pub(super) struct Shared {
    pub(super) hub: Arc<Hub>,
    inner: Mutex<Inner>,
    /// The task, wherever it waits.
    waker: AtomicWaker,
    /// There is an order, something to flush, or a broken write half: saves the task the lock when there is not.
    attention: AtomicBool,
    finished: Notify,
}

struct Inner {
    target: Target,
    state: State,
    /// Present exactly while bytes may be written: taken away at once by whoever ends the connection.
    writer: Option<Writer>,
    /// Writing failed; the task will find out by reading, or from here.
    broken: Option<Failure>,
    outbox: Outbox,
    /// Last traffic, for make-break.
    touched: Instant,
    orders: Orders,
    done: bool,
}

#[derive(Default)]
struct Orders {
    close: bool,
    retarget: bool,
    mode: bool,
    attempt: bool,
    disconnect: Option<Box<str>>,
}

/// What a handle asked of the task.
pub(super) enum Order {
    Close,
    /// The target is another one; the old connection's write half is already gone.
    Retarget,
    /// Same address, other mode.
    Mode,
    Disconnect(Box<str>),
    Attempt,
    /// Make-break: something waits to be sent.
    Traffic,
}

pub(super) enum Either<A, B> {
    Order(A),
    Done(B),
}

// === impl Shared: for handles ===

impl Shared {
    pub(super) fn new(hub: Arc<Hub>, target: Target) -> Self {
        let state = match target.mode {
            Mode::KeepOpen => State::connecting(),
            Mode::MakeBreak { .. } => State::Idle,
        };
        hub.counters.enter(&state);
        let inner = Inner {
            target,
            state,
            writer: None,
            broken: None,
            outbox: Outbox::default(),
            touched: Instant::now(),
            orders: Orders::default(),
            done: false,
        };
        Self {
            hub,
            inner: Mutex::new(inner),
            waker: AtomicWaker::new(),
            attention: AtomicBool::new(false),
            finished: Notify::new(),
        }
    }

    fn notify(&self) {
        self.attention.store(true, Release);
        self.waker.wake();
    }

    pub(super) fn transmit(&self, bytes: Bytes, receipt: Option<Receipt>) {
        let limit = self.hub.options.queue_bytes;
        let length = bytes.len() as u64;
        let mut inner = self.inner.lock();
        match inner.accept(bytes, receipt, limit) {
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
        if inner.target.address == target.address {
            inner.target = target;
            inner.orders.mode = true;
            drop(inner);
            self.notify();
            return;
        }
        let what = format!("the address was changed from {} to {}", inner.target.address, target.address);
        inner.target = target;
        inner.orders = Orders { retarget: true, ..Orders::default() };
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

    pub(super) fn disconnect(&self, reason: &str) {
        let mut inner = self.inner.lock();
        if inner.writer.is_some() {
            inner.orders.disconnect = Some(reason.into());
            let failure = given_up(&inner.target.address, reason);
            self.abandon(inner, &Err(Error::Lost(failure)));
        }
    }

    pub(super) fn order_close(&self) {
        let mut inner = self.inner.lock();
        if !inner.orders.close {
            inner.orders.close = true;
            let closed = inner.closed();
            self.abandon(inner, &Err(closed));
        }
    }

    /// From here on nothing more is written to the connection there is, if any.
    fn abandon(&self, mut inner: parking_lot::MutexGuard<'_, Inner>, outcome: &Result<(), Error>) {
        let writer = inner.writer.take();
        let receipts = inner.outbox.take();
        inner.broken = None;
        drop(inner);
        self.notify();
        drop(writer);
        answer(receipts, outcome);
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

// === impl Shared: for the task ===

impl Shared {
    pub(super) fn target(&self) -> Target {
        self.inner.lock().target.clone()
    }

    /// Waits for `future` or an order, whichever is first; make-break links also for something to send.
    pub(super) async fn order_or<F: Future + ?Sized>(
        &self,
        mut future: Pin<&mut F>,
        traffic: bool,
    ) -> Either<Order, F::Output> {
        poll_fn(|cx| {
            self.waker.register(cx.waker());
            if let Some(order) = self.inner.lock().order(traffic) {
                return Poll::Ready(Either::Order(order));
            }
            future.as_mut().poll(cx).map(Either::Done)
        })
        .await
    }

    /// While up: orders, and flushing the queue. `look` is the task's memory of whether there is anything to look at.
    pub(super) fn poll_attention(&self, cx: &mut Context<'_>, look: &mut bool) -> Poll<Order> {
        self.waker.register(cx.waker());
        *look |= self.attention.swap(false, AcqRel);
        while *look {
            let mut inner = self.inner.lock();
            if let Some(order) = inner.order(false) {
                return Poll::Ready(order);
            }
            match inner.flush(cx) {
                Flush::Clean => {
                    *look = inner.broken.is_some();
                    break;
                }
                Flush::Blocked => break,
                Flush::Sent(sent, receipts) => {
                    drop(inner);
                    self.hub.counters.bytes_out.fetch_add(sent as u64, Relaxed);
                    answer(receipts, &Ok(()));
                }
                Flush::Broke(failure) => {
                    let receipts = inner.break_off(failure.clone());
                    drop(inner);
                    answer(receipts, &Err(Error::Lost(failure)));
                }
            }
        }
        Poll::Pending
    }

    /// Writing failed: once nothing more can be read, this is why the connection ended.
    pub(super) fn broken(&self) -> Option<Failure> {
        self.inner.lock().broken.clone()
    }

    pub(super) fn touch(&self) {
        self.inner.lock().touched = Instant::now();
    }

    /// Make-break: how much longer to hold the connection. None: it is over, and nothing can be written to it any more.
    pub(super) fn expire(&self, hold: Duration) -> Option<Duration> {
        let mut inner = self.inner.lock();
        let idle = inner.touched.elapsed();
        if !inner.outbox.is_empty() {
            return Some(hold.max(ms(1)));
        }
        if idle < hold {
            return Some(hold - idle);
        }
        let writer = inner.writer.take();
        drop(inner);
        drop(writer);
        None
    }

    /// Make-break, and the peer has closed: false if something was still to be sent on this connection.
    pub(super) fn rest(&self) -> bool {
        let mut inner = self.inner.lock();
        if !inner.outbox.is_empty() || inner.broken.is_some() {
            return false;
        }
        let writer = inner.writer.take();
        drop(inner);
        drop(writer);
        true
    }

    /// The connection is made. False if an order came in between: then it is not to be used.
    pub(super) fn connected(&self, writer: Writer, state: State) -> bool {
        let mut inner = self.inner.lock();
        if inner.orders.close || inner.orders.retarget {
            return false;
        }
        inner.broken = None;
        inner.touched = Instant::now();
        inner.writer = Some(writer);
        self.enter(&mut inner, state);
        true
    }

    /// Whether that is news to the sink.
    pub(super) fn set(&self, state: State) -> bool {
        self.enter(&mut self.inner.lock(), state)
    }

    /// As [`Shared::set`], and the connection and all that waits for it is given up.
    pub(super) fn lose(&self, state: State, outcome: &Result<(), Error>) -> bool {
        let mut inner = self.inner.lock();
        let writer = inner.writer.take();
        inner.broken = None;
        let receipts = inner.outbox.take();
        let news = self.enter(&mut inner, state);
        drop(inner);
        drop(writer);
        answer(receipts, outcome);
        news
    }

    /// A retry is under way, which is no news.
    pub(super) fn attempting(&self) {
        if let State::Down { attempting, retry, .. } = &mut self.inner.lock().state {
            (*attempting, *retry) = (true, None);
        }
    }

    fn enter(&self, inner: &mut Inner, state: State) -> bool {
        let news = inner.state.news(&state);
        self.hub.counters.leave(&inner.state);
        self.hub.counters.enter(&state);
        inner.state = state;
        news
    }

    /// The task is over, however it came to that.
    pub(super) fn finish(&self) {
        let mut inner = self.inner.lock();
        let failure =
            Failure::new(Reason::Stopped, format!("the link to {} has been closed", inner.target.address));
        inner.orders.close = true;
        inner.done = true;
        self.hub.counters.leave(&inner.state);
        inner.state = State::down(&failure, 0, std::time::SystemTime::now(), None);
        let closed = inner.closed();
        self.abandon(inner, &Err(closed));
        self.finished.notify_waiters();
    }
}

// === impl Inner ===

enum Accepted {
    Sent(Option<Receipt>),
    Queued { wake: bool },
    Refused(Option<Receipt>, Error),
    Broke(Option<Receipt>, Failure),
}

enum Flush {
    Clean,
    Blocked,
    Sent(usize, Vec<Receipt>),
    Broke(Failure),
}

impl Inner {
    fn accept(&mut self, mut bytes: Bytes, receipt: Option<Receipt>, limit: usize) -> Accepted {
        if self.orders.close {
            return Accepted::Refused(receipt, self.closed());
        }
        if let Some(failure) = &self.broken {
            return Accepted::Refused(receipt, Error::Down(failure.clone()));
        }
        let queued = self.outbox.bytes();
        if queued.saturating_add(bytes.len()) > limit {
            let address = self.target.address.to_string();
            return Accepted::Refused(receipt, Error::Full { address, queued, limit });
        }
        let make_break = matches!(self.target.mode, Mode::MakeBreak { .. });
        let Some(writer) = &self.writer else {
            if make_break {
                self.outbox.push(bytes, receipt);
                return Accepted::Queued { wake: true };
            }
            return Accepted::Refused(receipt, self.not_up());
        };
        if make_break {
            self.touched = Instant::now();
        }
        if !self.outbox.is_empty() {
            self.outbox.push(bytes, receipt);
            return Accepted::Queued { wake: false };
        }
        if bytes.is_empty() {
            return Accepted::Sent(receipt);
        }
        match writer.try_write(&bytes) {
            Ok(sent) if sent == bytes.len() => Accepted::Sent(receipt),
            Ok(sent) => {
                self.outbox.push(bytes.split_off(sent), receipt);
                Accepted::Queued { wake: true }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.outbox.push(bytes, receipt);
                Accepted::Queued { wake: true }
            }
            Err(error) => Accepted::Broke(receipt, dial::loss(&self.target.address, &error)),
        }
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Flush {
        let Some(writer) = self.writer.as_ref().filter(|_| !self.outbox.is_empty()) else {
            return Flush::Clean;
        };
        loop {
            match writer.poll_writable(cx) {
                Poll::Pending => return Flush::Blocked,
                Poll::Ready(Err(error)) => return Flush::Broke(dial::loss(&self.target.address, &error)),
                Poll::Ready(Ok(())) => {}
            }
            match self.outbox.write(|slices| writer.try_write_vectored(slices)) {
                Ok((sent, receipts)) => return Flush::Sent(sent, receipts),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Flush::Broke(dial::loss(&self.target.address, &error)),
            }
        }
    }

    fn break_off(&mut self, failure: Failure) -> Vec<Receipt> {
        self.broken = Some(failure);
        self.outbox.take()
    }

    fn order(&mut self, traffic: bool) -> Option<Order> {
        let orders = &mut self.orders;
        if orders.close {
            Some(Order::Close)
        } else if std::mem::take(&mut orders.retarget) {
            *orders = Orders::default();
            Some(Order::Retarget)
        } else if let Some(reason) = orders.disconnect.take() {
            Some(Order::Disconnect(reason))
        } else if std::mem::take(&mut orders.mode) {
            Some(Order::Mode)
        } else if std::mem::take(&mut orders.attempt) {
            Some(Order::Attempt)
        } else if traffic && !self.outbox.is_empty() {
            Some(Order::Traffic)
        } else {
            None
        }
    }

    fn not_up(&self) -> Error {
        match &self.state {
            State::Down { reason, detail, .. } => Error::Down(Failure::new(*reason, detail.clone())),
            State::Up { .. } => Error::Down(Failure::new(
                Reason::Stopped,
                format!("the connection to {} is just being given up on this side", self.target.address),
            )),
            _ => Error::Connecting { address: self.target.address.to_string() },
        }
    }

    fn closed(&self) -> Error {
        Error::Closed { address: self.target.address.to_string() }
    }
}

pub(super) fn given_up(address: &Address, why: &str) -> Failure {
    Failure::new(Reason::Protocol, format!("the connection to {address} was given up by its driver: {why}"))
}

fn answer(receipts: impl IntoIterator<Item = Receipt>, outcome: &Result<(), Error>) {
    for receipt in receipts {
        receipt(outcome.clone());
    }
}
