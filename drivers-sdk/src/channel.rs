//! The driver's end of the channel: one buffer that everything is encoded into, and the answers that are awaited.
//!
//! Everything runs on one thread. Frames are encoded straight into the buffer; the writer task takes all of it at
//! once when the tasks that filled it have run. Nothing here waits, so nothing here can block a module.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use drivers_sdk_protocol::message::{Failure, Level, Log, code};
use drivers_sdk_protocol::{Kind, feature, frame};
use tokio::sync::oneshot;

use crate::error::{Error, Result};

/// While more than this many bytes wait for the daemon, no more frames are read from it.
pub(crate) const HIGH_WATER: usize = 1024 * 1024;
/// While more than this many bytes wait for the daemon, log lines are dropped and counted.
const LOG_LIMIT: usize = 4 * 1024 * 1024;
/// A written buffer is used again up to this capacity, in bytes.
const KEPT: usize = 256 * 1024;

/// What waits for an answer of the daemon.
pub(crate) enum Pending {
    /// One `Done` or `Failed`.
    Answer(oneshot::Sender<Result<Box<[u8]>>>),
    /// One `Done` or `Failed`, which is acted on before the next frame is looked at.
    Then(Box<dyn FnOnce(Result)>),
    /// `Notify` until it is ended.
    Subscription(Rc<dyn Fn(Notice<'_>)>),
}

/// What a subscription is told.
pub(crate) enum Notice<'a> {
    /// The JSON value; empty means that there is none.
    Value(&'a [u8]),
    /// The daemon refused the subscription.
    Refused(Failure),
}

#[derive(Default)]
pub(crate) struct Channel {
    out: RefCell<BytesMut>,
    /// Bytes the writer has taken and not yet written.
    writing: Cell<usize>,
    /// The daemon takes nothing any more.
    broken: Cell<bool>,
    writer: RefCell<Option<Waker>>,
    reader: RefCell<Option<Waker>>,
    pending: RefCell<HashMap<u32, Pending>>,
    next: Cell<u32>,
    lost_log_lines: Cell<u64>,
    /// What both sides named.
    features: RefCell<Vec<&'static str>>,
    /// Handles of modules that ended by themselves, for the reader to forget.
    ended: RefCell<Vec<u32>>,
}

impl Channel {
    /// Takes what it knows of the features that the daemon offers; their names.
    pub(crate) fn negotiate(&self, offered: &[String]) -> Vec<String> {
        let known = feature::ALL.iter().filter(|name| offered.iter().any(|offer| offer == **name));
        let common: Vec<&str> = known.copied().collect();
        self.features.replace(common.clone());
        common.into_iter().map(Into::into).collect()
    }

    /// Whether both sides named the feature.
    pub(crate) fn has(&self, feature: &str) -> bool {
        self.features.borrow().contains(&feature)
    }

    /// Appends a frame; fails, and appends nothing, if its payload is over the protocol's limit.
    pub(crate) fn send(
        &self,
        kind: Kind,
        module: u32,
        correlation: u32,
        write: impl FnOnce(&mut BytesMut),
    ) -> Result {
        self.try_send(kind, module, correlation, |out| {
            write(out);
            Ok(())
        })
    }

    /// Appends a frame with a JSON payload.
    pub(crate) fn send_json(
        &self,
        kind: Kind,
        module: u32,
        correlation: u32,
        value: &(impl serde::Serialize + ?Sized),
    ) -> Result {
        self.try_send(kind, module, correlation, |out| {
            Ok(serde_json::to_writer(bytes::BufMut::writer(out), value)?)
        })
    }

    /// Appends a frame; if `write` fails or panics, nothing of it stays.
    fn try_send(
        &self,
        kind: Kind,
        module: u32,
        correlation: u32,
        write: impl FnOnce(&mut BytesMut) -> Result,
    ) -> Result {
        let out = self.out.borrow_mut();
        let mut frame = Unfinished { start: out.len(), out, whole: false };
        let mut written = Ok(());
        frame::encode_with(&mut frame.out, kind, module, correlation, |out| written = write(out))?;
        written?;
        frame.whole = true;
        drop(frame);
        if let Some(writer) = self.writer.borrow_mut().take() {
            writer.wake();
        }
        Ok(())
    }

    /// Answers a request of the daemon with a failure.
    pub(crate) fn fail(&self, module: u32, correlation: u32, failure: &Failure) {
        if let Err(error) = self.send_json(Kind::Failed, module, correlation, failure) {
            let short = Failure {
                code: failure.code.clone(),
                message: format!("the error is too large to be sent: {error}"),
                ..Failure::default()
            };
            let _ = self.send_json(Kind::Failed, module, correlation, &short);
        }
    }

    /// Appends a log line, or drops it while the daemon lags far behind.
    pub(crate) fn log(&self, module: u32, level: Level, text: &str) {
        if self.backlog() > LOG_LIMIT {
            self.lost_log_lines.set(self.lost_log_lines.get() + 1);
            return;
        }
        let lost = self.lost_log_lines.take();
        if lost > 0 {
            let text = format!("{lost} log lines of this process were dropped: the daemon did not keep up");
            let _ = self.send(Kind::Log, module, 0, |out| Log { level: Level::Warn, text: &text }.write(out));
        }
        let _ = self.send(Kind::Log, module, 0, |out| Log { level, text }.write(out));
    }

    /// A number for a request whose answer goes to `pending`.
    pub(crate) fn register(&self, pending: Pending) -> u32 {
        let mut map = self.pending.borrow_mut();
        let mut number = self.next.get();
        loop {
            number = number.wrapping_add(1);
            if number != 0 && !map.contains_key(&number) {
                break;
            }
        }
        self.next.set(number);
        map.insert(number, pending);
        number
    }

    /// Nobody waits for this number any more.
    pub(crate) fn forget(&self, correlation: u32) {
        self.pending.borrow_mut().remove(&correlation);
    }

    /// An answer of the daemon.
    pub(crate) fn answered(&self, correlation: u32, result: Result<&[u8], Failure>) {
        let mut map = self.pending.borrow_mut();
        match map.get(&correlation) {
            Some(Pending::Answer(_)) => {
                if let Some(Pending::Answer(waiting)) = map.remove(&correlation) {
                    let _ = waiting.send(result.map(Box::from).map_err(Error::from_failure));
                }
            }
            Some(Pending::Then(_)) => {
                if let Some(Pending::Then(then)) = map.remove(&correlation) {
                    drop(map);
                    then(result.map(drop).map_err(Error::from_failure));
                }
            }
            Some(Pending::Subscription(notify)) => {
                if let Err(failure) = result {
                    let notify = notify.clone();
                    map.remove(&correlation);
                    drop(map);
                    notify(Notice::Refused(failure));
                }
            }
            None => {}
        }
    }

    /// A new value for a subscription.
    pub(crate) fn notified(&self, correlation: u32, value: &[u8]) {
        let notify = match self.pending.borrow().get(&correlation) {
            Some(Pending::Subscription(notify)) => notify.clone(),
            _ => return,
        };
        notify(Notice::Value(value));
    }

    /// Sends a request; the future gives its answer. Dropping it gives up on the answer.
    pub(crate) fn request(
        self: &Rc<Self>,
        kind: Kind,
        module: u32,
        write: impl FnOnce(&mut BytesMut),
    ) -> Result<Request> {
        let (sender, answer) = oneshot::channel();
        let number = self.register(Pending::Answer(sender));
        let request = Request { channel: self.clone(), number, answer };
        self.send(kind, module, number, write)?;
        Ok(request)
    }

    /// Whether a request still waits for its answer.
    pub(crate) fn waits(&self, number: u32) -> bool {
        self.pending.borrow().contains_key(&number)
    }

    /// Bytes that wait for the daemon to read them.
    pub(crate) fn backlog(&self) -> usize {
        self.out.borrow().len() + self.writing.get()
    }

    /// Waits until there is something to write, and takes it.
    pub(crate) async fn take(&self) -> BytesMut {
        poll_fn(|context| {
            let mut out = self.out.borrow_mut();
            if out.is_empty() {
                *self.writer.borrow_mut() = Some(context.waker().clone());
                return Poll::Pending;
            }
            self.writing.set(out.len());
            Poll::Ready(std::mem::take(&mut *out))
        })
        .await
    }

    /// What [`take`](Self::take) gave has been written.
    pub(crate) fn written(&self, mut buffer: BytesMut) {
        self.writing.set(0);
        let mut out = self.out.borrow_mut();
        if out.capacity() == 0 && buffer.capacity() <= KEPT {
            buffer.clear();
            *out = buffer;
        }
        drop(out);
        if let Some(reader) = self.reader.borrow_mut().take() {
            reader.wake();
        }
    }

    /// Writing failed: nobody waits for the daemon any more, so that the end of the channel is read.
    pub(crate) fn broken(&self) {
        self.broken.set(true);
        if let Some(reader) = self.reader.borrow_mut().take() {
            reader.wake();
        }
    }

    /// Waits while more than `limit` bytes wait for the daemon.
    pub(crate) async fn drained(&self, limit: usize) {
        poll_fn(|context| {
            if self.backlog() <= limit || self.broken.get() {
                return Poll::Ready(());
            }
            *self.reader.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    pub(crate) fn module_ended(&self, handle: u32) {
        self.ended.borrow_mut().push(handle);
    }

    pub(crate) fn take_ended(&self) -> Vec<u32> {
        if self.ended.borrow().is_empty() { Vec::new() } else { self.ended.take() }
    }
}

/// A frame that is taken back unless it became whole.
struct Unfinished<'a> {
    start: usize,
    out: RefMut<'a, BytesMut>,
    whole: bool,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if !self.whole {
            self.out.truncate(self.start);
        }
    }
}

/// A request whose answer is awaited.
pub(crate) struct Request {
    channel: Rc<Channel>,
    number: u32,
    answer: oneshot::Receiver<Result<Box<[u8]>>>,
}

impl Request {
    pub(crate) fn number(&self) -> u32 {
        self.number
    }
}

impl Future for Request {
    type Output = Result<Box<[u8]>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer)
            .poll(context)
            .map(|answer| answer.unwrap_or_else(|_| Err(Error::stopped())))
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.channel.forget(self.number);
    }
}

/// The failure of a request that the module can no longer make.
pub(crate) fn stopped() -> Failure {
    Failure { code: code::STOPPED.into(), message: "the module stopped".into(), ..Failure::default() }
}
