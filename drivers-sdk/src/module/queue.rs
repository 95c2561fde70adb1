//! The commands of a module: one in flight, the others waiting by priority, then by age.
//!
//! ```text
//!   send ──▶ waiting ──turn──▶ ready ──sent──▶ in flight ──reply, error, time-out──▶ done
//!             │   ▲              │                 │ its caller went away
//!             │   └──────────────┘                 └──▶ abandoned: keeps its turn until its reply or its deadline, so
//!             │ replaced,   the link went down          that a late reply is not taken for the next command's
//!             │ cleared,    and it is to be kept
//!             │ offline too long
//!             ▼
//!           failed
//! ```
//!
//! While the link is down nobody gets a turn. What was sent fails when the link goes down, and so does what waits, but for
//! those that are to be kept. The queue holds no task: each command is driven by the future of whoever sent it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::ticket::Queued;
use crate::error::Error;
use crate::matcher::Match;

#[derive(Default)]
pub(crate) struct Queue {
    current: RefCell<Option<Rc<dyn Queued>>>,
    waiting: RefCell<VecDeque<Rc<dyn Queued>>>,
    /// The caller of the command in flight went away; how long the device needs after it.
    abandoned: Cell<Option<Duration>>,
    /// When the next command may be sent.
    free_at: Cell<Option<Instant>>,
    /// There is no link: nobody gets a turn.
    offline: Cell<bool>,
    /// A new connection, on which only the commands of the login get their turn.
    closed: Cell<bool>,
    /// The code that runs now is the login.
    login: Cell<bool>,
    /// Make-break: the next connection has to be logged in to, as soon as there is a command for it.
    login_due: Cell<bool>,
    /// Counts the connections that ended.
    ended: Cell<u64>,
    login_waker: RefCell<Option<Waker>>,
}

impl Queue {
    /// On a make-break link commands always get their turn.
    pub(crate) fn new(makebreak: bool) -> Queue {
        Queue { offline: Cell::new(!makebreak), ..Queue::default() }
    }

    /// Takes a command in. One of the same name that still waits is replaced, and its caller is told: the new one has its
    /// place, or that of its own priority where this differs. Commands of the login replace those of the login alone.
    pub(crate) fn enter(&self, command: Rc<dyn Queued>) {
        let mut waiting = self.waiting.borrow_mut();
        let ticket = command.ticket();
        let mut place = None;
        if let Some(name) = &ticket.name {
            let at = waiting.iter().position(|other| {
                let other = other.ticket();
                other.name.as_ref() == Some(name) && other.login == ticket.login
            });
            if let Some(old) = at.and_then(|at| waiting.remove(at)) {
                place = at.filter(|_| old.ticket().priority == ticket.priority);
                old.ticket().fail(Error::replaced(format!("a newer `{name}` command replaced this one")));
            }
        }
        let place = place.unwrap_or_else(|| {
            let before = waiting.iter().rposition(|other| other.ticket().priority >= ticket.priority);
            before.map_or(0, |at| at + 1)
        });
        waiting.insert(place, command);
        drop(waiting);
        self.advance();
    }

    /// Gives the turn to the next command, if nothing is in flight.
    fn advance(&self) {
        if self.offline.get() {
            return;
        }
        let mut current = self.current.borrow_mut();
        let mut waiting = self.waiting.borrow_mut();
        if current.is_some() {
            return;
        }
        let next = waiting.iter().position(|next| next.ticket().login || !self.closed.get());
        if self.login_due.get()
            && next.and_then(|at| waiting.get(at)).is_some_and(|next| !next.ticket().login)
        {
            self.closed.set(true);
            if let Some(login) = self.login_waker.take() {
                login.wake();
            }
            return;
        }
        if let Some(next) = next.and_then(|at| waiting.remove(at)) {
            next.ticket().begin_turn();
            *current = Some(next);
        }
    }

    /// The command in flight is over. What it had its turn for is given back.
    fn end_current(&self) -> Option<Rc<dyn Queued>> {
        self.abandoned.set(None);
        let current = self.current.take()?;
        current.ticket().end_turn();
        Some(current)
    }

    /// The link is up.
    pub(crate) fn online(&self) {
        self.offline.set(false);
        self.advance();
    }

    /// Holds up every command but those of the login.
    pub(crate) fn close(&self) {
        self.closed.set(true);
    }

    /// The login is done.
    pub(crate) fn open(&self) {
        self.closed.set(false);
        self.advance();
    }

    /// Make-break: there is no connection that is logged in to, and the next command waits for that. False if there was
    /// none before.
    pub(crate) fn require_login(&self) -> bool {
        self.ended.set(self.ended.get() + 1);
        !self.login_due.replace(true)
    }

    /// Whether the next command waits for a login that has not begun.
    pub(crate) fn is_login_due(&self) -> bool {
        self.login_due.get()
    }

    /// How many connections have ended.
    pub(crate) fn ended(&self) -> u64 {
        self.ended.get()
    }

    /// Waits until a command waits for the login.
    pub(crate) fn poll_login(&self, context: &Context<'_>) -> Poll<()> {
        if self.login_due.get() && self.closed.get() {
            return Poll::Ready(());
        }
        self.login_waker.replace(Some(context.waker().clone()));
        Poll::Pending
    }

    /// Make-break: commands go out until the connection ends.
    pub(crate) fn logged_in(&self) {
        self.login_due.set(false);
        self.open();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Whether a command that is made now is part of the login.
    pub(crate) fn is_login(&self) -> bool {
        self.login.get()
    }

    /// Runs code whose commands are part of the login.
    pub(crate) fn within_login<R>(&self, code: impl FnOnce() -> R) -> R {
        self.login.set(true);
        let result = code();
        self.login.set(false);
        result
    }

    /// Whether this command is the one in flight.
    pub(crate) fn is_current(&self, command: &Rc<impl Queued + 'static>) -> bool {
        self.current.borrow().as_ref().is_some_and(|current| same(current, command))
    }

    /// The command in flight was not sent after all, and is the next to have its turn.
    pub(crate) fn again(&self) {
        if let Some(command) = self.end_current() {
            self.waiting.borrow_mut().push_front(command);
        }
        self.advance();
    }

    /// The command in flight is over, and the device needs so long after it.
    fn finish(&self, delay: Duration) {
        self.end_current();
        if !delay.is_zero() {
            self.free_at.set(Some(Instant::now() + delay));
        }
        self.advance();
    }

    /// A command is over, whether it had its turn or not.
    pub(crate) fn leave(&self, command: &Rc<impl Queued + 'static>, delay: Duration) {
        if self.is_current(command) {
            self.finish(delay);
        } else {
            self.waiting.borrow_mut().retain(|other| !same(other, command));
        }
    }

    /// The caller of the command in flight went away; it keeps its turn.
    pub(crate) fn abandon(&self, delay: Duration) {
        self.abandoned.set(Some(delay));
    }

    /// When the command that has its turn now may be sent.
    pub(crate) fn free_at(&self) -> Option<Instant> {
        self.free_at.get().filter(|at| *at > Instant::now())
    }

    /// Shows a frame to the command in flight; true if it took it.
    pub(crate) fn offer(&self, frame: &[u8]) -> bool {
        let current = self.current.borrow().clone();
        let Some(command) = current else { return false };
        match command.offer(frame) {
            Match::No => false,
            Match::More => true,
            Match::Done(_) => {
                if let Some(delay) = self.abandoned.get() {
                    self.finish(delay);
                }
                true
            }
        }
    }

    /// Whether the command in flight waits for its reply.
    pub(crate) fn listens(&self) -> bool {
        self.current.borrow().as_ref().is_some_and(|command| command.is_listening())
    }

    /// The link went down. What was sent fails; so does what waits, unless it is to be kept or the link is made for each
    /// command.
    pub(crate) fn link_down(&self, error: &Error, makebreak: bool) {
        self.offline.set(!makebreak);
        if let Some(command) = self.end_current() {
            if command.ticket().is_kept() {
                command.ticket().wake();
                self.waiting.borrow_mut().push_front(command);
            } else {
                command.ticket().fail(error.clone());
            }
        }
        if makebreak {
            return self.advance();
        }
        self.free_at.set(None);
        self.waiting.borrow_mut().retain(|command| {
            let kept = command.ticket().is_kept();
            if !kept {
                command.ticket().fail(error.clone());
            }
            kept
        });
    }

    /// A make-break connection is over. The command in flight fails if it was sent over that one, which the daemon
    /// has said by then if it was.
    pub(crate) fn connection_ended(&self, error: &Error, answered: impl Fn(u32) -> bool) {
        let transmit = self.current.borrow().as_ref().map_or(0, |command| command.ticket().transmit.get());
        let out = transmit != 0 && answered(transmit);
        if let Some(command) = out.then(|| self.end_current()).flatten() {
            command.ticket().fail(error.clone());
            self.advance();
        }
    }

    /// Fails every command.
    pub(crate) fn fail_all(&self, error: &Error) {
        let current = self.end_current();
        self.free_at.set(None);
        for command in current.into_iter().chain(self.waiting.take()) {
            command.ticket().fail(error.clone());
        }
    }

    /// Fails the commands that wait.
    pub(crate) fn clear(&self, error: &Error) {
        for command in self.waiting.take() {
            command.ticket().fail(error.clone());
        }
    }
}

fn same(queued: &Rc<dyn Queued>, command: &Rc<impl Queued + 'static>) -> bool {
    std::ptr::addr_eq(Rc::as_ptr(queued), Rc::as_ptr(command))
}
