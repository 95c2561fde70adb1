//! The commands of a module: one in flight, the others waiting by priority, then by age.
//!
//! ```text
//!   send ──▶ waiting ──turn──▶ in flight ──reply, error, time-out──▶ done
//!               │                  │ its caller went away
//!               │ replaced,        └──▶ abandoned: keeps its turn until its reply or its deadline, so that a
//!               │ offline, cleared      late reply is not taken for the next command's
//!               ▼
//!             failed
//! ```
//!
//! The queue holds no task: each command is driven by the future of whoever sent it.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::matcher::{Match, Matcher};

/// A command as the queue sees it.
pub(crate) trait Queued {
    fn ticket(&self) -> &Ticket;

    /// Whether the frame belongs to its reply, and whether that is whole now.
    fn offer(&self, frame: &[u8]) -> Match<()>;
}

/// A command's place in the queue.
pub(crate) struct Ticket {
    name: Option<Cow<'static, str>>,
    priority: i8,
    turn: Cell<bool>,
    failure: RefCell<Option<Error>>,
    waker: RefCell<Option<Waker>>,
    /// It is part of the login.
    login: bool,
}

impl Ticket {
    pub(crate) fn new(name: Option<Cow<'static, str>>, priority: i8, login: bool) -> Ticket {
        Ticket {
            name,
            priority,
            login,
            turn: Cell::new(false),
            failure: RefCell::new(None),
            waker: RefCell::new(None),
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn fail(&self, error: Error) {
        self.failure.replace(Some(error));
        self.wake();
    }

    fn failed(&self) -> Result {
        self.failure.borrow_mut().take().map_or(Ok(()), Err)
    }

    fn wait<T>(&self, context: &Context<'_>) -> Poll<T> {
        self.waker.replace(Some(context.waker().clone()));
        Poll::Pending
    }

    /// Waits until the command fails.
    pub(crate) fn poll_failure(&self, context: &Context<'_>) -> Poll<Error> {
        match self.failed() {
            Err(error) => Poll::Ready(error),
            Ok(()) => self.wait(context),
        }
    }

    /// Waits for the command's turn.
    pub(crate) fn poll_turn(&self, context: &Context<'_>) -> Poll<Result> {
        if let Err(error) = self.failed() {
            return Poll::Ready(Err(error));
        }
        if self.turn.get() { Poll::Ready(Ok(())) } else { self.wait(context) }
    }
}

/// A command with its matcher and, later, its reply.
pub(crate) struct Slot<M: Matcher> {
    ticket: Ticket,
    matcher: RefCell<M>,
    /// Frames are offered from when it is sent until its reply is whole.
    listening: Cell<bool>,
    reply: RefCell<Option<Result<M::Output>>>,
}

impl<M: Matcher> Slot<M> {
    pub(crate) fn new(ticket: Ticket, matcher: M) -> Slot<M> {
        Slot {
            ticket,
            matcher: RefCell::new(matcher),
            listening: Cell::new(false),
            reply: RefCell::new(None),
        }
    }

    /// Frames that come from now on may be the reply.
    pub(crate) fn listen(&self) {
        self.matcher.borrow_mut().reset();
        self.listening.set(true);
    }

    /// Frames that come from now on are not the reply.
    pub(crate) fn ignore(&self) {
        self.listening.set(false);
    }

    /// The bytes are out: the output of a matcher that expects no reply.
    pub(crate) fn sent(&self) -> Option<M::Output> {
        self.matcher.borrow_mut().sent()
    }

    pub(crate) fn is_listening(&self) -> bool {
        self.listening.get()
    }

    /// Waits for the reply.
    pub(crate) fn poll_reply(&self, context: &Context<'_>) -> Poll<Result<M::Output>> {
        if let Some(reply) = self.reply.borrow_mut().take() {
            return Poll::Ready(reply);
        }
        match self.ticket.failed() {
            Err(error) => Poll::Ready(Err(error)),
            Ok(()) => self.ticket.wait(context),
        }
    }
}

impl<M: Matcher> Queued for Slot<M> {
    fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    fn offer(&self, frame: &[u8]) -> Match<()> {
        if !self.listening.get() {
            return Match::No;
        }
        let matched = self.matcher.borrow_mut().offer(frame);
        match matched {
            Match::No => Match::No,
            Match::More => Match::More,
            Match::Done(result) => {
                self.listening.set(false);
                self.reply.replace(Some(result));
                self.ticket.wake();
                Match::Done(Ok(()))
            }
        }
    }
}

#[derive(Default)]
pub(crate) struct Queue {
    current: RefCell<Option<Rc<dyn Queued>>>,
    waiting: RefCell<VecDeque<Rc<dyn Queued>>>,
    /// The caller of the command in flight went away.
    abandoned: Cell<bool>,
    /// When the next command may be sent.
    free_at: Cell<Option<Instant>>,
    /// A new connection, on which only the commands of the login get their turn.
    closed: Cell<bool>,
    /// The code that runs now is the login.
    login: Cell<bool>,
}

impl Queue {
    /// Takes a command in. One of the same name that still waits is replaced: the new one has its place, and its
    /// caller is told.
    pub(crate) fn enter(&self, command: Rc<dyn Queued>) {
        let mut waiting = self.waiting.borrow_mut();
        let ticket = command.ticket();
        if let Some(name) = &ticket.name
            && let Some(place) = waiting.iter_mut().find(|other| other.ticket().name.as_ref() == Some(name))
        {
            let message = format!("a newer `{name}` command replaced this one");
            let replaced = std::mem::replace(place, command);
            replaced.ticket().fail(Error::replaced(message));
            return;
        }
        let behind = waiting.iter().rposition(|other| other.ticket().priority >= ticket.priority);
        waiting.insert(behind.map_or(0, |at| at + 1), command);
        drop(waiting);
        self.advance();
    }

    /// Gives the turn to the next command, if nothing is in flight.
    fn advance(&self) {
        let mut current = self.current.borrow_mut();
        let mut waiting = self.waiting.borrow_mut();
        if current.is_none()
            && let Some(at) = waiting.iter().position(|next| next.ticket().login || !self.closed.get())
            && let Some(next) = waiting.remove(at)
        {
            next.ticket().turn.set(true);
            next.ticket().wake();
            *current = Some(next);
        }
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

    /// A command is over, whether it had its turn or not.
    pub(crate) fn leave(&self, command: &Rc<impl Queued + 'static>, delay: std::time::Duration) {
        if self.is_current(command) {
            self.current.replace(None);
            self.abandoned.set(false);
            if !delay.is_zero() {
                self.free_at.set(Some(Instant::now() + delay));
            }
            self.advance();
        } else {
            self.waiting.borrow_mut().retain(|other| !same(other, command));
        }
    }

    /// The caller of the command in flight went away; it keeps its turn.
    pub(crate) fn abandon(&self) {
        self.abandoned.set(true);
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
                if self.abandoned.take() {
                    self.current.replace(None);
                    self.advance();
                }
                true
            }
        }
    }

    /// The link went down. What is in flight fails; so does what waits, unless the link is made for each command.
    pub(crate) fn link_down(&self, error: &Error, makebreak: bool) {
        if makebreak {
            let current = self.current.borrow_mut().take();
            self.abandoned.set(false);
            if let Some(command) = current {
                command.ticket().fail(error.clone());
            }
            self.advance();
        } else {
            self.fail_all(error);
        }
    }

    /// Fails every command.
    pub(crate) fn fail_all(&self, error: &Error) {
        let current = self.current.borrow_mut().take();
        self.abandoned.set(false);
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
