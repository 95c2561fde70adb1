//! A module in the driver process.
//!
//! ```text
//!            Start                 started() done              Stop
//!   (none) ────────▶ Starting ───────────────────▶ Running ───────────▶ Stopping ──▶ Ended
//!                       │ error or panic              │ panic             stopped() done
//!                       └─────────────────────────────┴─────────────────────────────▶ Ended
//! ```
//!
//! [`Core`] is what does not depend on the driver's type, so that it is compiled once and not into every driver;
//! [`Instance`](instance::Instance) adds the driver, its settings and status. Nothing is sent for a module that has ended:
//! the answer to `Stop`, or `ModuleFailed`, is the last frame of its handle.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use drivers_sdk_protocol::Kind;
use drivers_sdk_protocol::message::{self, Disconnect, Failure, Level, LinkDown, Transmit};
use serde::Serialize;

use crate::channel::{self, Channel, Request};
use crate::driver::Declaration;
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::framing::{Fault, Framer};

pub(crate) mod command;
pub(crate) mod exchange;
pub(crate) mod instance;
pub(crate) mod queue;
pub(crate) mod tasks;

use queue::Queue;
use tasks::Tasks;

/// Where a module is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The daemon's `Start`, of this correlation, is not answered yet.
    Starting(u32),
    Running,
    /// `stopped` runs.
    Stopping,
    Ended,
}

/// The link to the device, as the daemon told it last.
#[derive(Debug)]
pub(crate) struct Link {
    /// Connect to send: a command may always be sent, and its answer says whether that worked.
    pub(crate) makebreak: bool,
    /// The connection, 0 while there is none.
    pub(crate) connection: Cell<u64>,
    /// Why there is none.
    down: RefCell<Option<LinkDown>>,
}

impl Link {
    pub(crate) fn is_up(&self) -> bool {
        self.connection.get() != 0
    }
}

/// What the device sent and nobody asked for, in order.
#[derive(Debug)]
pub(crate) enum Arrived {
    Frame(Frame),
    /// The daemon wants to know when everything before this has been taken.
    Acknowledge(u32),
}

/// The part of a module that does not depend on the driver's type.
pub(crate) struct Core {
    pub(crate) handle: u32,
    pub(crate) id: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) declaration: &'static Declaration,
    pub(crate) channel: Rc<Channel>,
    pub(crate) phase: Cell<Phase>,
    pub(crate) link: Link,
    pub(crate) queue: Queue,
    pub(crate) tasks: Tasks,
    pub(crate) inbox: RefCell<VecDeque<Arrived>>,
    pub(crate) system: RefCell<Option<Box<message::System>>>,
    /// Correlations of the subscriptions it made.
    pub(crate) subscriptions: RefCell<Vec<u32>>,
    framer: RefCell<Framer>,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module").field("id", &self.id).field("phase", &self.phase).finish_non_exhaustive()
    }
}

impl Core {
    pub(crate) fn new(
        handle: u32,
        correlation: u32,
        start: &message::Start,
        declaration: &'static Declaration,
        channel: Rc<Channel>,
    ) -> Core {
        Core {
            handle,
            id: start.id.as_str().into(),
            name: start.name.as_str().into(),
            declaration,
            channel,
            phase: Cell::new(Phase::Starting(correlation)),
            link: Link {
                makebreak: start.makebreak || declaration.makebreak,
                connection: Cell::new(0),
                down: RefCell::new(None),
            },
            queue: Queue::default(),
            tasks: Tasks::default(),
            inbox: RefCell::default(),
            system: RefCell::new(start.system.clone().map(Box::new)),
            subscriptions: RefCell::default(),
            framer: RefCell::new(Framer::new(declaration.framing)),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.phase.get() == Phase::Ended
    }

    // === What the module says ===

    pub(crate) fn log(&self, level: Level, text: &str) {
        if !self.is_over() {
            self.channel.log(self.handle, level, text);
        }
    }

    /// Publishes a status value, or removes the key. `text` is JSON.
    pub(crate) fn publish(&self, key: &str, text: &[u8], present: bool) {
        if self.is_over() {
            return;
        }
        let sent = self.channel.send(Kind::Status, self.handle, 0, |out| {
            let value = if present { std::str::from_utf8(text).unwrap_or_default() } else { "" };
            message::Status { key, value }.write(out);
        });
        if let Err(error) = sent {
            self.log(Level::Error, &format!("status `{key}` was not published: {error}"));
        }
    }

    /// Answers a call.
    pub(crate) fn answer<T: Serialize + ?Sized>(&self, correlation: u32, value: &T) -> Result {
        if self.is_over() {
            return Ok(());
        }
        self.channel.send_json(Kind::Done, self.handle, correlation, value)
    }

    /// Answers a request of the daemon that has no result.
    pub(crate) fn done(&self, correlation: u32) {
        // Too large is impossible: there is no payload.
        let _ = self.channel.send(Kind::Done, self.handle, correlation, |_| {});
    }

    /// Sends a request to the daemon; the future gives its answer.
    pub(crate) fn request(&self, kind: Kind, payload: &impl Serialize) -> Result<Request> {
        if self.is_over() {
            return Err(Error::stopped());
        }
        let payload = serde_json::to_vec(payload)?;
        self.channel.request(kind, self.handle, |out| out.extend_from_slice(&payload))
    }

    /// Hands bytes to the connection that is up; on a make-break link, to whichever comes.
    pub(crate) fn transmit(&self, bytes: &[u8], acknowledged: bool) -> Result<Option<Request>> {
        if self.is_over() {
            return Err(Error::stopped());
        }
        let connection = if self.link.makebreak { 0 } else { self.link.connection.get() };
        let write = |out: &mut bytes::BytesMut| Transmit { connection, bytes }.write(out);
        if acknowledged {
            self.channel.request(Kind::Transmit, self.handle, write).map(Some)
        } else {
            self.channel.send(Kind::Transmit, self.handle, 0, write)?;
            Ok(None)
        }
    }

    /// Asks the daemon to make the connection anew.
    pub(crate) fn disconnect(&self, reason: &str) {
        if !self.is_over() {
            let connection = self.link.connection.get();
            let _ = self.channel.send(Kind::Disconnect, self.handle, 0, |out| {
                Disconnect { connection, reason }.write(out);
            });
        }
    }

    // === What the daemon says of the link ===

    /// A connection is up.
    pub(crate) fn link_up(&self, connection: u64) {
        self.link.connection.set(connection);
        self.link.down.replace(None);
        self.framer.borrow_mut().reset();
        if self.declaration.handlers.login {
            self.queue.close();
            // What the last connection said must not be taken for this one's greeting.
            self.empty_inbox();
        }
    }

    /// Drops what arrived and was not yet given to `received`.
    fn empty_inbox(&self) {
        for arrived in self.inbox.take() {
            if let Arrived::Acknowledge(correlation) = arrived {
                self.done(correlation);
            }
        }
    }

    /// The connection is gone: commands in flight fail at once. False if there was none.
    pub(crate) fn link_down(&self, why: LinkDown) -> bool {
        let was_up = self.link.connection.replace(0) != 0;
        self.link.down.replace(Some(why));
        self.framer.borrow_mut().reset();
        self.queue.link_down(&self.offline(), self.link.makebreak);
        was_up
    }

    /// The error of a command that cannot reach the device.
    pub(crate) fn offline(&self) -> Error {
        Error::offline(match &*self.link.down.borrow() {
            Some(LinkDown { reason, detail }) if detail.is_empty() => {
                format!("{} is offline: {reason}", self.name)
            }
            Some(LinkDown { detail, .. }) => format!("{} is offline: {detail}", self.name),
            None => format!("{} is offline: it has not been connected yet", self.name),
        })
    }

    /// Bytes of the device: replies go to the command in flight, everything else into the inbox.
    pub(crate) fn received(&self, bytes: &[u8], acknowledge: u32) {
        let result = self.framer.borrow_mut().push(bytes, |frame| {
            if !self.queue.offer(frame) {
                self.inbox.borrow_mut().push_back(Arrived::Frame(Frame::from(frame)));
            }
        });
        match result {
            Ok(()) => {}
            Err(Fault::Skipped { limit }) => {
                self.log(Level::Warn, &format!("skipped a line of more than {limit} bytes"));
            }
            Err(Fault::OutOfStep { length, limit }) => {
                self.framer.borrow_mut().reset();
                let reason = format!("a frame of {length} bytes is over the limit of {limit}: out of step");
                self.log(Level::Warn, &reason);
                self.disconnect(&reason);
            }
        }
        if acknowledge != 0 {
            // While the login waits for what it expects, the daemon must go on reading.
            if self.inbox.borrow().is_empty() || self.queue.is_closed() {
                self.done(acknowledge);
            } else {
                self.inbox.borrow_mut().push_back(Arrived::Acknowledge(acknowledge));
            }
        }
    }

    // === How the module ends ===

    /// Ends everything that runs and tells those who wait; what comes next is `stopped`, or nothing.
    pub(crate) fn abandon(&self, failure: &Failure) {
        self.tasks.abort_all();
        for number in self.subscriptions.take() {
            self.channel.forget(number);
        }
        for correlation in self.tasks.take_calls() {
            self.channel.fail(self.handle, correlation, failure);
        }
        self.empty_inbox();
        self.queue.fail_all(&Error::stopped());
    }

    /// The driver does not want to start with these settings.
    pub(crate) fn refuse_start(&self, error: &Error) {
        let Phase::Starting(correlation) = self.phase.get() else { return };
        self.abandon(&channel::stopped());
        self.phase.set(Phase::Ended);
        self.channel.fail(self.handle, correlation, error.failure());
        self.channel.module_ended(self.handle);
    }

    /// A panic: the module is over, its siblings work on.
    pub(crate) fn fail(&self, failure: &Failure) {
        let phase = self.phase.get();
        if phase == Phase::Ended {
            return;
        }
        let place = failure.place.as_deref().unwrap_or("an unknown place");
        let mut text = format!("panic at {place}: {}", failure.message);
        for line in &failure.backtrace {
            text.push_str("\n  ");
            text.push_str(line);
        }
        self.log(Level::Fatal, &text);
        self.abandon(failure);
        self.phase.set(Phase::Ended);
        match phase {
            Phase::Starting(correlation) => self.channel.fail(self.handle, correlation, failure),
            _ => {
                let _ = self.channel.send_json(Kind::ModuleFailed, self.handle, 0, failure);
            }
        }
        self.channel.module_ended(self.handle);
    }

    /// The module stopped as it was asked to.
    pub(crate) fn end(&self, correlation: u32) {
        if self.is_over() {
            return;
        }
        self.abandon(&channel::stopped());
        self.phase.set(Phase::Ended);
        // 0: the whole process stops, and nobody asked for this module.
        if correlation != 0 {
            self.done(correlation);
        }
        self.channel.module_ended(self.handle);
    }
}
