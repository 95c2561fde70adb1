//! What a link's task does with what it shares with the handles.

use super::{Either, Shared, answer};
use crate::connections::{
    Error, Failure, Reason, State, Target,
    inner::{Flush, Inner, Order, Orders},
    options::ms,
    ssh,
    wire::Writer,
};
use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::Ordering::{AcqRel, Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;

impl Shared {
    pub(in crate::connections) fn target(&self) -> Target {
        self.inner.lock().target.clone()
    }

    /// Waits for `future` or an order, whichever is first; make-break links also for something to send.
    pub(in crate::connections) async fn order_or<F: Future + ?Sized>(
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
    pub(in crate::connections) fn poll_attention(
        &self,
        cx: &mut Context<'_>,
        look: &mut bool,
    ) -> Poll<Order> {
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
    pub(in crate::connections) fn broken(&self) -> Option<Failure> {
        self.inner.lock().broken.clone()
    }

    /// What to call the end that reading found. A write may have been told of a reset before: the system says it only once.
    pub(in crate::connections) fn first(&self, found: Failure) -> Failure {
        match found.reason {
            Reason::Closed => self.broken().unwrap_or(found),
            _ => found,
        }
    }

    /// Bytes were received.
    pub(in crate::connections) fn heard(&self) {
        self.quiet.store(true, Relaxed);
    }

    pub(in crate::connections) fn touch(&self) {
        self.inner.lock().touched = Instant::now();
    }

    /// What commands can be run in, while it is up.
    pub(in crate::connections) fn ssh(&self) -> Option<Arc<ssh::Session>> {
        self.inner.lock().writer.as_ref().and_then(Writer::ssh)
    }

    /// What waits for a connection is answered that there will be none now.
    pub(in crate::connections) fn refuse(&self) {
        let mut inner = self.inner.lock();
        let error = inner.not_up();
        let receipts = inner.take_waiting();
        drop(inner);
        answer(receipts, &Err(error));
    }

    /// Why nothing can be done with the connection now.
    pub(in crate::connections) fn absent(&self) -> Error {
        let inner = self.inner.lock();
        if inner.orders.close { inner.closed() } else { inner.not_up() }
    }

    /// Make-break: how much longer to hold the connection. None: it is over, and nothing can be written to it any more.
    pub(in crate::connections) fn expire(&self, hold: Duration) -> Option<Duration> {
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
    pub(in crate::connections) fn rest(&self) -> bool {
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
    pub(in crate::connections) fn connected(&self, writer: Writer, state: State) -> bool {
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
    pub(in crate::connections) fn writer(&self) -> Option<Writer> {
        self.inner.lock().writer.take()
    }

    /// What has waited meanwhile can be sent, unless an order came in between.
    pub(in crate::connections) fn resume(&self, writer: Writer) {
        let mut inner = self.inner.lock();
        let Orders { close, retarget, disconnect, .. } = &inner.orders;
        if !*close && !*retarget && disconnect.is_none() {
            inner.writer = Some(writer);
            inner.outbox.lift();
        }
    }

    /// Whether that is news to the sink.
    pub(in crate::connections) fn set(&self, state: State) -> bool {
        self.enter(&mut self.inner.lock(), state)
    }

    /// As [`Shared::set`], and the connection and all that waits for it is given up.
    pub(in crate::connections) fn lose(&self, state: State, outcome: &Result<(), Error>) -> bool {
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
    pub(in crate::connections) fn attempting(&self) {
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
    pub(in crate::connections) fn finish(&self) {
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
