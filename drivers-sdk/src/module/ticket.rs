//! A command in the queue: its place, its turn, what became of it, and its reply.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use super::share::Share;
use crate::driver::Refusal;
use crate::error::{Error, Result};
use crate::matcher::{Match, Matcher};

/// A command as the queue sees it.
pub(crate) trait Queued {
    fn ticket(&self) -> &Ticket;

    /// Whether the frame belongs to its reply, and whether that is whole now.
    fn offer(&self, frame: &[u8]) -> Match<()>;

    /// Whether frames may be its reply.
    fn is_listening(&self) -> bool;
}

/// A command's place in the queue.
pub(crate) struct Ticket {
    pub(super) name: Option<Cow<'static, str>>,
    pub(super) priority: i8,
    /// It is part of the login.
    pub(super) login: bool,
    /// Until when it waits for the link to come back.
    pub(super) keep: Option<Instant>,
    turn: Cell<bool>,
    /// It is out: it must not be sent again on another connection.
    sent: Cell<bool>,
    /// The request in which the daemon was given its bytes; 0 while there is none.
    pub(super) transmit: Cell<u32>,
    /// The turn on a shared connection, while it has that.
    share: RefCell<Option<Share>>,
    failure: RefCell<Option<Error>>,
    waker: RefCell<Option<Waker>>,
}

impl Ticket {
    pub(crate) fn new(
        name: Option<Cow<'static, str>>,
        priority: i8,
        login: bool,
        keep: Option<Instant>,
    ) -> Ticket {
        Ticket {
            name,
            priority,
            login,
            keep,
            turn: Cell::new(false),
            sent: Cell::new(false),
            transmit: Cell::new(0),
            share: RefCell::new(None),
            failure: RefCell::new(None),
            waker: RefCell::new(None),
        }
    }

    /// Whether it waits for the link to come back.
    pub(crate) fn is_kept(&self) -> bool {
        !self.login && !self.sent.get() && self.keep.is_some_and(|until| until > Instant::now())
    }

    /// It goes out now.
    pub(crate) fn set_sent(&self) {
        self.sent.set(true);
    }

    /// Keeps the turn on a shared connection until the command is over.
    pub(crate) fn hold(&self, share: Share) {
        self.share.replace(Some(share));
    }

    /// It is its turn.
    pub(super) fn begin_turn(&self) {
        self.turn.set(true);
        self.wake();
    }

    /// Its turn is over.
    pub(super) fn end_turn(&self) {
        self.turn.set(false);
        self.share.replace(None);
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    pub(super) fn fail(&self, error: Error) {
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

    /// Waits until the command loses its turn again: it failed, or it waits for another.
    pub(crate) fn poll_lost(&self, context: &Context<'_>) -> Poll<Result> {
        if let Err(error) = self.failed() {
            return Poll::Ready(Err(error));
        }
        if self.turn.get() { self.wait(context) } else { Poll::Ready(Ok(())) }
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
    refusal: Option<Refusal>,
    /// Frames are offered from when it is sent until its reply is whole.
    listening: Cell<bool>,
    reply: RefCell<Option<Result<M::Output>>>,
}

impl<M: Matcher> Slot<M> {
    pub(crate) fn new(ticket: Ticket, matcher: M, refusal: Option<Refusal>) -> Slot<M> {
        Slot {
            ticket,
            matcher: RefCell::new(matcher),
            refusal,
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

    fn is_listening(&self) -> bool {
        self.listening.get()
    }

    fn offer(&self, frame: &[u8]) -> Match<()> {
        if !self.listening.get() {
            return Match::No;
        }
        let refused = self.refusal.and_then(|why| why(&String::from_utf8_lossy(frame)));
        let matched = match refused {
            Some(why) => Match::Done(Err(Error::device(why))),
            None => self.matcher.borrow_mut().offer(frame),
        };
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
