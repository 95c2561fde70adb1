//! What a link's handles and its task share, and what each of them does with it.
//!
//! Only the task changes the state. Handles leave *orders*, and take the write half away when they end a connection, so that
//! nothing is written to it any more. The lock is never held across an await, nor while a receipt or the sink is called.

use super::{
    Address, Error, Failure, Hub, Mode, Payload, Reason, Receipt, Recorder, State, Target,
    http::{self, Exchanges},
    inner::{Accepted, Flush, Inner, Order, Orders},
    options::ms,
    ssh,
    wire::Writer,
};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use std::{
    future::poll_fn,
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
        if inner.writer.is_some() || inner.outbox.is_held() {
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
            match inner.flush(cx, self.recorder.as_deref()) {
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

    /// What to call the end that reading found. A write may have been told of a reset before: the system says it only once.
    pub(super) fn first(&self, found: Failure) -> Failure {
        match found.reason {
            Reason::Closed => self.broken().unwrap_or(found),
            _ => found,
        }
    }

    /// Bytes were received.
    pub(super) fn heard(&self) {
        self.quiet.store(true, Relaxed);
    }

    pub(super) fn touch(&self) {
        self.inner.lock().touched = Instant::now();
    }

    /// What commands can be run in, while it is up.
    pub(super) fn ssh(&self) -> Option<Arc<ssh::Session>> {
        self.inner.lock().writer.as_ref().and_then(Writer::ssh)
    }

    /// Why nothing can be done with the connection now.
    pub(super) fn absent(&self) -> Error {
        let inner = self.inner.lock();
        if inner.orders.close { inner.closed() } else { inner.not_up() }
    }

    /// Make-break: how much longer to hold the connection. None: it is over, and nothing can be written to it any more.
    pub(super) fn expire(&self, hold: Duration) -> Option<Duration> {
        let mut inner = self.inner.lock();
        let idle = inner.touched.elapsed();
        if inner.is_wanted() {
            return Some(hold.max(ms(1)));
        }
        if idle < hold {
            return Some(hold - idle);
        }
        let running = inner.writer.as_ref().and_then(Writer::ssh);
        if running.is_some_and(|session| session.busy()) {
            return Some(hold.max(ms(1)));
        }
        let writer = inner.writer.take();
        drop(inner);
        drop(writer);
        None
    }

    /// Make-break, and the peer has closed: false if something was still to be sent on this connection.
    pub(super) fn rest(&self) -> bool {
        let mut inner = self.inner.lock();
        if inner.is_wanted() || inner.broken.is_some() {
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
        inner.unflushed = false;
        inner.touched = Instant::now();
        inner.writer = Some(writer);
        self.heard();
        self.enter(&mut inner, state);
        true
    }

    /// To go on with the connection in another way; none: somebody has ended it. What is transmitted meanwhile waits.
    pub(super) fn writer(&self) -> Option<Writer> {
        self.inner.lock().writer.take()
    }

    /// What has waited meanwhile can be sent, unless an order came in between.
    pub(super) fn resume(&self, writer: Writer) {
        let mut inner = self.inner.lock();
        let Orders { close, retarget, disconnect, .. } = &inner.orders;
        if !*close && !*retarget && disconnect.is_none() {
            inner.writer = Some(writer);
            inner.outbox.lift();
        }
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
        let receipts = inner.take_waiting();
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
        self.record(inner, &state);
        inner.state = state;
        news
    }

    /// Whether it is connected changes.
    fn record(&self, inner: &Inner, next: &State) {
        let Some(recorder) = &self.recorder else { return };
        match (&inner.state, next) {
            (_, State::Up { peer, .. }) => {
                let address = &inner.target.address;
                recorder.up(address, *peer, address.datagrams());
            }
            (State::Up { .. }, _) => recorder.down(next.reason(), next.detail()),
            _ => {}
        }
    }

    /// The task is over, however it came to that.
    pub(super) fn finish(&self) {
        let mut inner = self.inner.lock();
        let failure =
            Failure::new(Reason::Stopped, format!("the link to {} has been closed", inner.target.address));
        inner.orders.close = true;
        inner.done = true;
        self.hub.counters.leave(&inner.state);
        let state = State::down(&failure, 0, std::time::SystemTime::now(), None);
        self.record(&inner, &state);
        inner.state = state;
        let closed = inner.closed();
        self.abandon(inner, &Err(closed));
        self.finished.notify_waiters();
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
