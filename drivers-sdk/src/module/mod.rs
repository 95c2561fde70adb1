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
use std::rc::Rc;

use drivers_sdk_protocol::Kind;
use drivers_sdk_protocol::message::{self, Failure, Level};
use serde::Serialize;

use crate::channel::{self, Channel, Request};
use crate::driver::Declaration;
use crate::error::{Error, Result};

pub(crate) mod command;
pub(crate) mod exchange;
pub(crate) mod inbox;
pub(crate) mod instance;
pub(crate) mod link;
pub(crate) mod name;
pub(crate) mod queue;
pub(crate) mod share;
pub(crate) mod tasks;
pub(crate) mod ticket;
pub(crate) mod trouble;

use inbox::Inbox;
use link::Link;
use queue::Queue;
use tasks::{Scope, Tasks};

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
    pub(crate) inbox: Inbox,
    /// Numbers that it has been given for its requests.
    pub(crate) count: Cell<u64>,
    pub(crate) system: RefCell<Option<Box<message::System>>>,
    /// Correlations of the subscriptions it made, and how long they live.
    subscriptions: RefCell<Vec<(u32, Scope)>>,
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
        let makebreak = start.makebreak;
        Core {
            handle,
            id: start.id.as_str().into(),
            name: start.name.as_str().into(),
            declaration,
            channel,
            phase: Cell::new(Phase::Starting(correlation)),
            link: Link::new(makebreak, declaration.framing),
            queue: Queue::new(makebreak),
            tasks: Tasks::default(),
            inbox: Inbox::default(),
            count: Cell::new(0),
            system: RefCell::new(start.system.clone().map(Box::new)),
            subscriptions: RefCell::default(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.phase.get() == Phase::Ended
    }

    /// The time zone of its system.
    #[cfg(feature = "cron")]
    pub(crate) fn timezone(&self) -> String {
        let system = self.system.borrow();
        system.as_ref().and_then(|system| system.timezone.clone()).unwrap_or_else(|| "UTC".into())
    }

    // === What the module says ===

    pub(crate) fn log(&self, level: Level, text: &str) {
        if !self.is_over() {
            self.channel.log(self.handle, level, text);
        }
    }

    /// Logs the error of a handler. That the device went away meanwhile is no news.
    pub(crate) fn failed(&self, what: &str, error: &Error) {
        let level = if error.is_offline() { Level::Debug } else { Level::Warn };
        self.log(level, &format!("{what}: {error}"));
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

    /// Drops what arrived and was not yet given to `received`.
    pub(crate) fn empty_inbox(&self) {
        for correlation in self.inbox.clear() {
            self.done(correlation);
        }
    }

    // === What the module listens to ===

    /// There is a subscription of this correlation.
    pub(crate) fn subscribed(&self, number: u32) {
        self.subscriptions.borrow_mut().push((number, self.tasks.scope()));
    }

    /// Ends a subscription.
    pub(crate) fn unsubscribe(&self, number: u32) {
        self.subscriptions.borrow_mut().retain(|(known, _)| *known != number);
        self.channel.forget(number);
        if !self.is_over() {
            let _ = self.channel.send(Kind::Unsubscribe, self.handle, number, |_| {});
        }
    }

    /// Ends what the last run of `follow` has subscribed to and scheduled.
    pub(crate) fn unfollow(&self) {
        self.tasks.abort_follow();
        self.unsubscribe_all(Scope::Follow);
    }

    /// Ends what the last run of `connected` has subscribed to and scheduled.
    pub(crate) fn end_meeting(&self) {
        self.tasks.abort_scope(Scope::Meeting);
        self.unsubscribe_all(Scope::Meeting);
    }

    /// Ends what was subscribed to and scheduled for this connection.
    pub(crate) fn end_connection(&self) {
        self.end_meeting();
        self.tasks.abort_scope(Scope::Connection);
        self.unsubscribe_all(Scope::Connection);
    }

    fn unsubscribe_all(&self, of: Scope) {
        let mut ended = self.subscriptions.borrow().clone();
        ended.retain(|(_, scope)| *scope == of);
        ended.into_iter().for_each(|(number, _)| self.unsubscribe(number));
    }

    // === How the module ends ===

    /// Ends everything that runs and tells those who wait; what comes next is `stopped`, or nothing.
    pub(crate) fn abandon(&self, failure: &Failure) {
        self.tasks.abort_all();
        for (number, _) in self.subscriptions.take() {
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
