//! One client of the control WebSocket: one task that reads requests, has the runtime answer them, and writes.
//!
//! ```text
//! socket ──read──▶ requests ──▶ calls under way ──▶ replies ─┐
//!                     │                                      ├─▶ socket's write buffer ──flush──▶
//!                     ├──▶ bindings ──▶ outbox (slots) ──────┤
//!                     └──▶ debugs ──▶ logs' rings ───────────┘
//! ```
//!
//! Nothing here grows without bound. Requests are read only while there is room for their replies, which are never
//! dropped; values wait in one slot for each binding; log lines wait in the log's ring, and are dropped from there.
//! A client that takes nothing for a while is disconnected. No task is spawned for a call: its future is polled
//! here, and everything that is ready is written with one flush.

use std::{
    collections::VecDeque,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use futures_util::{FutureExt, Sink, Stream, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval, sleep};

use super::{
    bindings::Bindings,
    debugs::Debugs,
    frame::{self, Code, Refusal},
    outbox::Outbox,
};
use crate::{
    api::{State, auth::Caller},
    runtime::{Exec, Reply, Runtime, exec},
};

/// Bytes of replies that may wait before no more requests are read.
const WAITING: usize = 1024 * 1024;
/// Frames of one sort that are handled before others have their turn.
const TURN: usize = 256;
/// How long a closing client is given to take the last frame.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why a session ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The client closed, or the connection broke.
    Gone,
    /// The client took nothing for too long.
    Stalled,
    /// The key expired, or was changed or deleted.
    Revoked,
    /// The daemon stops.
    Stopping,
}

/// Why reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unread {
    /// The client has sent nothing more; the socket wakes this task when it does.
    Nothing,
    /// Others have their turn now.
    Turn,
    /// There is no room for more replies.
    NoRoom,
}

/// A call that was answered.
struct Answered {
    id: Box<str>,
    meta: Box<str>,
    result: Result<Reply, exec::Error>,
}

/// Serves a client until it goes, or is made to.
pub(super) async fn run(state: State, caller: Caller, socket: WebSocket) {
    state.metrics().sessions.inc();
    let mut session = Session::new(&state, caller, socket);
    let mut calls = FuturesUnordered::new();
    let stop = state.shutdown().clone();
    let mut stop = pin!(stop.cancelled());
    let start = |runtime: &Runtime, call: Call| answer(runtime.clone(), call);
    let end = std::future::poll_fn(|cx| {
        if stop.as_mut().poll(cx).is_ready() {
            return Poll::Ready(End::Stopping);
        }
        session.poll(cx, &mut calls, start)
    })
    .await;
    drop(calls);
    state.metrics().sessions.dec();
    tracing::debug!(key = session.caller.key_id, ?end, "a control session ended");
    let (code, reason) = match end {
        End::Gone => return,
        End::Stalled => {
            state.metrics().stalled.inc();
            return;
        }
        End::Revoked => (close_code::POLICY, "the API key is no longer valid"),
        End::Stopping => (close_code::AWAY, "the daemon is stopping"),
    };
    let close = Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }));
    let _ = tokio::time::timeout(FAREWELL, session.socket.send(close)).await;
}

/// What a call needs.
pub(super) struct Call {
    pub(super) id: Box<str>,
    pub(super) meta: Box<str>,
    pub(super) exec: Exec,
}

async fn answer(runtime: Runtime, call: Call) -> Answered {
    let result = runtime.exec(call.exec).await;
    Answered { id: call.id, meta: call.meta, result }
}

pub(super) struct Session {
    pub(super) state: State,
    pub(super) caller: Caller,
    socket: WebSocket,
    pub(super) outbox: Arc<Outbox>,
    pub(super) bindings: Bindings,
    pub(super) debugs: Debugs,
    /// Written as soon as the socket takes them.
    pub(super) replies: VecDeque<Utf8Bytes>,
    /// Bytes of `replies`.
    pub(super) waiting: usize,
    /// The text under construction.
    pub(super) scratch: String,
    /// Runs while the socket does not take what was written.
    stall: Option<Pin<Box<Sleep>>>,
    recheck: Interval,
    checking: Option<BoxFuture<'static, bool>>,
    pong: Interval,
}

impl Session {
    fn new(state: &State, caller: Caller, socket: WebSocket) -> Self {
        let every = |ms: u64| {
            let mut ticks = interval(Duration::from_millis(ms.max(1)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.reset();
            ticks
        };
        Session {
            outbox: Arc::default(),
            bindings: Bindings::default(),
            debugs: Debugs::default(),
            replies: VecDeque::new(),
            waiting: 0,
            scratch: String::new(),
            stall: None,
            recheck: every(state.options().socket_recheck_ms),
            checking: None,
            pong: every(state.options().socket_pong_ms),
            state: state.clone(),
            caller,
            socket,
        }
    }

    /// Does all there is to do now; ready when the session is over.
    fn poll<F>(
        &mut self,
        cx: &mut Context<'_>,
        calls: &mut FuturesUnordered<F>,
        start: impl Fn(&Runtime, Call) -> F,
    ) -> Poll<End>
    where
        F: Future<Output = Answered>,
    {
        self.outbox.register(cx.waker());
        match self.step(cx, calls, start) {
            Ok(true) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Ok(false) => Poll::Pending,
            Err(end) => Poll::Ready(end),
        }
    }

    /// One turn of everything; true if somebody had to stop in the middle to let others have theirs.
    fn step<F>(
        &mut self,
        cx: &mut Context<'_>,
        calls: &mut FuturesUnordered<F>,
        start: impl Fn(&Runtime, Call) -> F,
    ) -> Result<bool, End>
    where
        F: Future<Output = Answered>,
    {
        self.tick(cx)?;
        let unread = self.read(cx, calls, start)?;
        let (unwritten, progress) = self.write(cx, calls)?;
        self.flush(cx, progress)?;
        Ok(match unread {
            Unread::Nothing => unwritten,
            Unread::Turn => true,
            // What was written has made room, and nobody else would say so.
            Unread::NoRoom => unwritten || progress,
        })
    }

    fn tick(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        while self.pong.poll_tick(cx).is_ready() {
            self.push(Utf8Bytes::from_static("pong"));
        }
        while self.recheck.poll_tick(cx).is_ready() {
            let (state, caller) = (self.state.clone(), self.caller.clone());
            self.checking = Some(async move { state.verifier().still(&caller).await }.boxed());
        }
        if let Some(checking) = &mut self.checking
            && let Poll::Ready(good) = checking.poll_unpin(cx)
        {
            self.checking = None;
            if !good {
                return Err(End::Revoked);
            }
        }
        Ok(())
    }

    /// Reads requests while there is room for their replies.
    fn read<F: Future<Output = Answered>>(
        &mut self,
        cx: &mut Context<'_>,
        calls: &mut FuturesUnordered<F>,
        start: impl Fn(&Runtime, Call) -> F,
    ) -> Result<Unread, End> {
        let room = self.state.options().socket_in_flight;
        for turn in 0..TURN {
            if calls.len() + self.replies.len() >= room || self.waiting >= WAITING {
                self.state.metrics().frames_in.inc_by(turn as u64);
                return Ok(Unread::NoRoom);
            }
            let message = match Pin::new(&mut self.socket).poll_next(cx) {
                Poll::Pending => {
                    self.state.metrics().frames_in.inc_by(turn as u64);
                    return Ok(Unread::Nothing);
                }
                Poll::Ready(Some(Ok(message))) => message,
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, "a control WebSocket broke");
                    return Err(End::Gone);
                }
                Poll::Ready(None) => return Err(End::Gone),
            };
            match message {
                Message::Text(text) if text.as_str() == "ping" => {
                    self.push(Utf8Bytes::from_static("pong"));
                }
                Message::Text(text) => {
                    if let Some(call) = self.request(&text) {
                        calls.push(start(self.state.runtime(), call));
                    }
                }
                Message::Binary(_) => {
                    let refusal = Refusal::new(Code::Parse, "frames must be text, not binary", 400);
                    self.refuse("0", &refusal);
                }
                Message::Close(_) => return Err(End::Gone),
                Message::Ping(_) | Message::Pong(_) => {}
            }
        }
        self.state.metrics().frames_in.inc_by(TURN as u64);
        Ok(Unread::Turn)
    }

    /// Writes what there is while the socket takes it: replies, then changed values, then log lines. Returns whether
    /// there is more, and whether the socket took anything.
    fn write<F: Future<Output = Answered>>(
        &mut self,
        cx: &mut Context<'_>,
        calls: &mut FuturesUnordered<F>,
    ) -> Result<(bool, bool), End> {
        let mut written = 0;
        let more = loop {
            if written >= TURN {
                break true;
            }
            match Pin::new(&mut self.socket).poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Err(End::Gone),
                Poll::Pending => break false,
            }
            let Some(text) = self.next(cx, calls) else { break false };
            if Pin::new(&mut self.socket).start_send(Message::Text(text)).is_err() {
                return Err(End::Gone);
            }
            written += 1;
        };
        self.state.metrics().frames_out.inc_by(written as u64);
        Ok((more, written > 0))
    }

    /// The next frame to write.
    fn next<F: Future<Output = Answered>>(
        &mut self,
        cx: &mut Context<'_>,
        calls: &mut FuturesUnordered<F>,
    ) -> Option<Utf8Bytes> {
        if let Some(text) = self.replies.pop_front() {
            self.waiting = self.waiting.saturating_sub(text.len());
            return Some(text);
        }
        self.scratch.clear();
        if !calls.is_empty()
            && let Poll::Ready(Some(answered)) = Pin::new(calls).poll_next(cx)
        {
            self.answered(&answered);
            return Some(Utf8Bytes::from(self.scratch.as_str()));
        }
        while let Some((token, value)) = self.outbox.next() {
            if self.bindings.notify(token, value.as_deref(), &mut self.scratch) {
                return Some(Utf8Bytes::from(self.scratch.as_str()));
            }
        }
        self.debugs.poll(cx, &mut self.scratch).is_ready().then(|| Utf8Bytes::from(self.scratch.as_str()))
    }

    fn answered(&mut self, answered: &Answered) {
        let out = &mut self.scratch;
        match &answered.result {
            Ok(reply) => match std::str::from_utf8(&reply.value) {
                Ok(value) => {
                    let status = if reply.status == 0 { 200 } else { reply.status };
                    frame::success(out, &answered.id, Some(&answered.meta), Some((value, status)));
                }
                Err(_) => {
                    let refusal = Refusal::new(Code::Unexpected, "the driver's answer is not text", 500);
                    frame::error(out, &answered.id, &refusal);
                }
            },
            Err(error) => frame::error(out, &answered.id, &Refusal::from(error)),
        }
    }

    /// Pushes what was written to the client, and watches that it takes it.
    fn flush(&mut self, cx: &mut Context<'_>, progress: bool) -> Result<(), End> {
        match Pin::new(&mut self.socket).poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                self.stall = None;
                return Ok(());
            }
            Poll::Ready(Err(_)) => return Err(End::Gone),
            Poll::Pending => {}
        }
        let patience = Duration::from_millis(self.state.options().socket_stall_ms);
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(patience)));
        if progress {
            stall.as_mut().reset(Instant::now() + patience);
        }
        if stall.as_mut().poll(cx).is_ready() { Err(End::Stalled) } else { Ok(()) }
    }
}
