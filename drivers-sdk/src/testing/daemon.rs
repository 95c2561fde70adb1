//! The daemon's side of the channel to a driver under test: what it knows of the module, and how it waits.
//!
//! Everything is in memory, so nothing depends on the machine: time is paused, and moves only when neither the driver nor
//! its device has anything left to do.

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use drivers_sdk_protocol::message::{Failure, Form, Level, LinkDown};
use drivers_sdk_protocol::{Decoder, Kind, feature, frame};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, split};
use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{Instant, sleep, timeout_at};

use super::device::Far;
use super::service::{Asked, Execed};
use super::system::MockSystem;
use crate::driver::{Declaration, Driver};
use crate::error::{Error, Result};
use crate::process::serve_on;

/// Bytes on their way between the two sides.
const PIPE: usize = 256 * 1024;
/// The handle of the module under test.
pub(super) const MODULE: u32 = 1;
/// Lines kept of what went over the wire.
const TRANSCRIPT: usize = 1000;

/// Takes what goes to the device model.
pub(super) type ToDevice = mpsc::UnboundedSender<(Form, Vec<u8>)>;

/// Pieces kept of what the device model said.
const SAID: usize = 400;

/// What a driver did on its link, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// Bytes in one piece, as the driver handed them over; on a link with messages, one message.
    Sent { form: Form, bytes: Vec<u8> },
    /// It wants to go on in TLS.
    StartTls,
    /// It dropped the connection; because the device refused its login?
    Dropped { login: bool, reason: String },
}

/// A call under way, or answered.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) what: String,
    pub(super) place: String,
    pub(super) answer: Option<Result<Value>>,
}

/// What is known of the module.
#[derive(Default)]
pub(super) struct State {
    pub(super) wire: VecDeque<Wire>,
    pub(super) http: VecDeque<Asked>,
    pub(super) exec: VecDeque<Execed>,
    pub(super) status: BTreeMap<String, Value>,
    pub(super) log: Vec<(Level, String)>,
    /// How many lines of it the test has taken.
    pub(super) log_taken: usize,
    pub(super) transcript: VecDeque<String>,
    /// By correlation.
    pub(super) calls: HashMap<u32, Call>,
    /// Answers to other requests, by correlation.
    pub(super) answers: HashMap<u32, Result<Value>>,
    pub(super) settings: Value,
    /// What the driver asked not to show in recordings.
    pub(super) hidden: Vec<String>,
    /// Why the module, its process or its device model cannot go on.
    pub(super) over: Option<String>,
    pub(super) welcome: bool,
    pub(super) link: Link,
    /// What the device model has said, piece by piece or body by body; the first of it.
    pub(super) said: Vec<Vec<u8>>,
    pub(super) tamper: Tamper,
    /// How long a step waits for what the driver should do.
    pub(super) patience: Duration,
}

/// What goes wrong between the device model and the driver.
#[derive(Clone, Debug, Default)]
pub(super) struct Tamper {
    /// Nothing of what the device says arrives.
    pub(super) silent: bool,
    /// The device takes nothing: what is sent to it gets stuck, until the daemon gives it up.
    pub(super) deaf: bool,
    /// Each byte arrives by itself.
    pub(super) bytewise: bool,
    /// So many bytes arrive, or so many requests are answered; then the connection breaks.
    pub(super) cut: Option<usize>,
    /// A service answers this instead.
    pub(super) garbage: Option<Vec<u8>>,
}

/// The link to the device.
#[derive(Default)]
pub(super) struct Link {
    pub(super) up: bool,
    pub(super) messages: bool,
    /// Connections so far; the number of the one that is up, or that a make-break link makes next.
    pub(super) connection: u64,
    /// Make-break: there is a connection at this moment.
    pub(super) open: bool,
    /// Why it is down.
    pub(super) why: String,
    /// What the driver says instead of what the link is, and why.
    pub(super) said: Option<(bool, String)>,
    /// The device model's connection: where bytes for it go, and its tasks.
    pub(super) device: Option<(ToDevice, AbortHandle)>,
}

pub(super) struct Daemon {
    state: RefCell<State>,
    changed: Notify,
    out: mpsc::UnboundedSender<BytesMut>,
    next: Cell<u32>,
    pub(super) declaration: &'static Declaration,
    pub(super) makebreak: bool,
    /// The model at the other end of the link; a script if there is none.
    pub(super) device: Option<Rc<dyn Far>>,
    /// The system of a logic module.
    pub(super) system: Option<MockSystem>,
}

/// What is around the driver.
#[derive(Default)]
pub(super) struct Around {
    pub(super) device: Option<Rc<dyn Far>>,
    pub(super) system: Option<MockSystem>,
}

impl Daemon {
    /// Runs the driver's process and greets it. In a `LocalSet`.
    pub(super) async fn serving<D: Driver>(around: Around) -> Result<Rc<Daemon>, String> {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let (out, outgoing) = mpsc::unbounded_channel();
        let daemon = Rc::new(Daemon {
            state: RefCell::default(),
            changed: Notify::new(),
            out,
            next: Cell::new(0),
            declaration: D::DECLARATION,
            makebreak: D::DECLARATION.makebreak,
            device: around.device,
            system: around.system,
        });
        if let Some(system) = &daemon.system {
            system.enter(&daemon);
        }
        spawn_local(async move {
            let (read, write) = split(theirs);
            serve_on::<D>(read, write).await
        });
        spawn_local(daemon.clone().talk(ours, outgoing));
        let hello = json!({"versions": [1, 1], "features": feature::ALL, "daemon": "drivers_sdk::testing"});
        daemon.send(Kind::Hello, 0, 0, hello.to_string().as_bytes());
        let greeted = daemon.until(Duration::from_secs(1), |state| state.welcome.then_some(())).await;
        greeted.ok_or("the driver's process does not answer")?;
        Ok(daemon)
    }

    /// Reads frames and writes them, until the driver's process ends.
    async fn talk(self: Rc<Self>, stream: DuplexStream, mut outgoing: mpsc::UnboundedReceiver<BytesMut>) {
        let (mut read, mut write) = split(stream);
        spawn_local(async move {
            while let Some(frame) = outgoing.recv().await {
                if write.write_all(&frame).await.is_err() {
                    return;
                }
            }
        });
        let (decoder, mut buffer) = (Decoder::default(), BytesMut::new());
        let why = 'end: loop {
            match read.read_buf(&mut buffer).await {
                Ok(0) => break "the driver's process ended".to_owned(),
                Ok(_) => {}
                Err(error) => break error.to_string(),
            }
            loop {
                match decoder.decode(&mut buffer) {
                    Ok(Some(frame)) => self.heard(&frame),
                    Ok(None) => break,
                    Err(error) => break 'end format!("the driver's process sends no frames: {error}"),
                }
            }
        };
        self.state().over.get_or_insert(why);
    }

    /// What is known now; whoever waits looks again.
    pub(super) fn state(&self) -> RefMut<'_, State> {
        self.changed.notify_waiters();
        self.state.borrow_mut()
    }

    pub(super) fn look(&self) -> Ref<'_, State> {
        self.state.borrow()
    }

    /// How long a step waits for what the driver should do.
    pub(super) fn patience(&self) -> Duration {
        self.look().patience
    }

    /// Sends the driver's process a frame.
    pub(super) fn send(&self, kind: Kind, module: u32, correlation: u32, payload: &[u8]) {
        let mut out = BytesMut::new();
        // What is too long for a frame is too long for a test as well, and never answered.
        if frame::encode(&mut out, kind, module, correlation, payload).is_ok() {
            let _ = self.out.send(out);
        }
    }

    /// Sends the module a frame that is not answered.
    pub(super) fn tell(&self, kind: Kind, payload: &[u8]) {
        self.send(kind, MODULE, 0, payload);
    }

    /// A number for a request.
    pub(super) fn number(&self) -> u32 {
        self.next.set(self.next.get() + 1);
        self.next.get()
    }

    /// Sends the module a request, and waits for its answer.
    pub(super) async fn request(
        &self,
        kind: Kind,
        payload: &[u8],
        limit: Duration,
    ) -> Result<Result<Value>, String> {
        let number = self.number();
        self.send(kind, MODULE, number, payload);
        self.until(limit, |state| state.answers.remove(&number))
            .await
            .ok_or_else(|| format!("the driver did not answer {kind:?} within {limit:?}"))
    }

    /// Waits until `look` finds something; `None` if it did not within this time, or cannot any more.
    pub(super) async fn until<T>(
        &self,
        limit: Duration,
        mut look: impl FnMut(&mut State) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + limit;
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let found = look(&mut self.state.borrow_mut());
            if found.is_some() || self.look().over.is_some() {
                return found;
            }
            if timeout_at(deadline, changed).await.is_err() {
                return look(&mut self.state.borrow_mut());
            }
        }
    }

    /// Adds a line to what is shown of the wire.
    pub(super) fn note(&self, line: String) {
        let mut state = self.state();
        if state.transcript.len() == TRANSCRIPT {
            state.transcript.pop_front();
        }
        state.transcript.push_back(line);
    }

    // === The link ===

    /// The device can be reached from now on.
    pub(super) fn link_up(self: &Rc<Self>) {
        let mut state = self.state();
        state.link.up = true;
        state.link.why.clear();
        state.link.said = None;
        state.link.connection += 1;
        let link = json!({"connection": state.link.connection, "messages": state.link.messages});
        drop(state);
        self.note("the link is up".into());
        self.tell(Kind::LinkUp, link.to_string().as_bytes());
        if !self.makebreak {
            self.open();
        }
    }

    /// There is a connection from now on.
    pub(super) fn open(self: &Rc<Self>) {
        self.state().link.open = true;
        if let Some(device) = self.device.clone() {
            super::device::connect(self, device);
        }
    }

    /// The connection is gone, and with it the way to the device unless there is a new one for each command.
    pub(super) fn connection_lost(&self, detail: &str) {
        if !self.makebreak {
            return self.link_down("closed", detail);
        }
        let mut state = self.state();
        if !state.link.up || !std::mem::take(&mut state.link.open) {
            return;
        }
        state.link.close();
        state.link.connection += 1;
        let ended =
            LinkDown { reason: "closed".into(), detail: detail.into(), connection: state.link.connection };
        drop(state);
        self.note(format!("the connection ended: {detail}"));
        self.tell(Kind::ConnectionEnded, &serde_json::to_vec(&ended).unwrap_or_default());
    }

    /// The device cannot be reached from now on.
    pub(super) fn link_down(&self, reason: &str, detail: &str) {
        let mut state = self.state();
        state.link.up = false;
        state.link.open = false;
        state.link.why = detail.into();
        state.link.close();
        drop(state);
        self.note(format!("the link is down: {detail}"));
        let down = LinkDown { reason: reason.into(), detail: detail.into(), connection: 0 };
        self.tell(Kind::LinkDown, &serde_json::to_vec(&down).unwrap_or_default());
    }

    /// What the device says.
    pub(super) fn received(&self, form: Form, bytes: &[u8]) {
        self.note(format!("< {}", super::report::text(bytes)));
        let kind = if form == Form::Text { Kind::ReceivedText } else { Kind::Received };
        self.tell(kind, bytes);
    }

    /// Keeps what the device model says, for whoever wants to know what is said here.
    pub(super) fn remember(&self, bytes: &[u8]) {
        let mut state = self.state();
        if state.said.len() < SAID {
            state.said.push(bytes.to_vec());
        }
    }

    /// What the device model says, if nothing goes wrong.
    pub(super) fn said(self: &Rc<Self>, form: Form, bytes: &[u8]) {
        self.remember(bytes);
        let mut state = self.state();
        let Tamper { silent, bytewise, cut, .. } = state.tamper.clone();
        let whole = cut.is_none_or(|left| bytes.len() <= left);
        if let Some(left) = &mut state.tamper.cut {
            *left = left.saturating_sub(bytes.len());
        }
        let messages = state.link.messages;
        drop(state);
        let arrives = match cut {
            Some(left) if !whole => bytes.get(..if messages { 0 } else { left }).unwrap_or_default(),
            _ => bytes,
        };
        if !silent && bytewise && !messages {
            arrives.chunks(1).for_each(|byte| self.received(form, byte));
        } else if !silent && (whole || !arrives.is_empty()) {
            self.received(form, arrives);
        }
        if !whole {
            self.state().tamper.cut = None;
            self.connection_lost("the connection broke");
            if !self.makebreak {
                self.link_up_after(super::device::RECONNECT);
            }
        }
    }

    /// The link comes back after this time, as the daemon makes it again.
    pub(super) fn link_up_after(self: &Rc<Self>, time: Duration) {
        let this = self.clone();
        spawn_local(async move {
            sleep(time).await;
            if !this.look().link.up {
                this.link_up();
            }
        });
    }
}

impl Link {
    /// As the module shows: whether it is connected, and why not.
    pub(super) fn shown(&self) -> (bool, &str) {
        self.said.as_ref().map_or((self.up, &self.why), |(connected, why)| (*connected, why))
    }

    /// Ends the device model's connection.
    pub(super) fn close(&mut self) {
        if let Some((_, tasks)) = self.device.take() {
            tasks.abort();
        }
    }
}

/// An error as the daemon tells it.
pub(super) fn failure(code: &str, message: impl Into<String>) -> Failure {
    Failure { code: code.into(), message: message.into(), ..Failure::default() }
}

/// What an answer says.
pub(super) fn answer(kind: Kind, payload: &[u8]) -> Result<Value> {
    if kind == Kind::Failed {
        return Err(Error::from_failure(serde_json::from_slice(payload)?));
    }
    if payload.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(payload)?) }
}
