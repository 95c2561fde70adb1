//! Whose turn it is on a shared connection. No I/O, and no clock but the caller's.
//!
//! ```text
//!                 the next that waits
//!   Free ─────────────────────────────────▶ Held
//!    ▲  ▲                                    │ given back, or its one payload is sent,
//!    │  └──────────── answered ──────────────┤ or it took too long, or its member left
//!    │                                       ▼
//!    └───────── `settle` is over ─────── Settling
//!               (or its member asks next)
//! ```
//!
//! - At most one member has the turn. Those that wait get it in the order in which they asked, each once before anybody
//!   has it twice.
//! - A turn ends after `limit`, whatever its member does; not in the middle of a payload, which nobody could follow.
//! - What was sent last in a turn may still be answered when it ends. The line is left alone for `settle` then, so that a late
//!   reply is not taken for the next member's.

use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

pub(super) type Member = u64;

/// What a member waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// A turn, until it is given back.
    Turn,
    /// To send one payload.
    Word,
}

/// Who hears what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    All,
    One(Member),
}

pub(super) struct Turns {
    limit: Duration,
    settle: Duration,
    state: State,
    /// Each member once.
    waiting: VecDeque<(Member, Wish)>,
}

enum State {
    Free,
    Held {
        by: Member,
        wish: Wish,
        until: Instant,
        /// In the middle of a payload.
        sending: bool,
        /// Something was sent, and nothing has come since.
        unanswered: bool,
    },
    Settling {
        by: Member,
        until: Instant,
    },
}

impl Turns {
    pub(super) fn new(limit: Duration, settle: Duration) -> Self {
        Self { limit, settle, state: State::Free, waiting: VecDeque::new() }
    }

    /// Nothing, if it has the turn or waits already.
    pub(super) fn ask(&mut self, member: Member, wish: Wish) {
        let waits = self.waiting.iter().any(|(other, _)| *other == member);
        if !waits && !self.holds(member) {
            self.waiting.push_back((member, wish));
        }
    }

    /// Does what time does, and gives a free turn to the next. Whose turn was taken back, if it was.
    pub(super) fn advance(&mut self, now: Instant) -> Option<Member> {
        let mut overdue = None;
        match self.state {
            State::Held { by, until, sending: false, .. } if until <= now => {
                overdue = Some(by);
                self.end(now);
            }
            _ => {}
        }
        if let State::Settling { by, until } = self.state {
            let again = self.waiting.front().is_some_and(|(next, _)| *next == by);
            if again || until <= now {
                self.state = State::Free;
            }
        }
        if matches!(self.state, State::Free)
            && let Some((by, wish)) = self.waiting.pop_front()
        {
            let until = now + self.limit;
            self.state = State::Held { by, wish, until, sending: false, unanswered: false };
        }
        overdue
    }

    pub(super) fn holds(&self, member: Member) -> bool {
        self.holder() == Some(member)
    }

    pub(super) fn holder(&self) -> Option<Member> {
        match self.state {
            State::Held { by, .. } => Some(by),
            _ => None,
        }
    }

    /// Who has the turn has begun to send.
    pub(super) fn begun(&mut self) {
        if let State::Held { sending, .. } = &mut self.state {
            *sending = true;
        }
    }

    /// Who has the turn has sent a whole payload.
    pub(super) fn sent(&mut self, now: Instant) {
        if let State::Held { wish, sending, unanswered, .. } = &mut self.state {
            (*sending, *unanswered) = (false, true);
            if *wish == Wish::Word {
                self.end(now);
            }
        }
    }

    /// Something came.
    pub(super) fn heard(&mut self) {
        if let State::Held { unanswered, .. } = &mut self.state {
            *unanswered = false;
        }
    }

    /// Gives the turn back, or stops waiting for it. What is being sent is sent first.
    pub(super) fn release(&mut self, member: Member, now: Instant) {
        self.waiting.retain(|(other, _)| *other != member);
        match &mut self.state {
            State::Held { by, wish, sending: true, .. } if *by == member => *wish = Wish::Word,
            State::Held { by, .. } if *by == member => self.end(now),
            _ => {}
        }
    }

    /// There is no such member any more.
    pub(super) fn leave(&mut self, member: Member, now: Instant) {
        self.waiting.retain(|(other, _)| *other != member);
        if self.holds(member) {
            self.end(now);
        }
    }

    pub(super) fn audience(&self) -> Audience {
        match self.state {
            State::Free => Audience::All,
            State::Held { by, .. } | State::Settling { by, .. } => Audience::One(by),
        }
    }

    /// When [`Turns::advance`] has something to do, if nothing happens before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Held { until, sending: false, .. } | State::Settling { until, .. } => Some(until),
            _ => None,
        }
    }

    fn end(&mut self, now: Instant) {
        self.state = match self.state {
            State::Held { by, unanswered: true, .. } => State::Settling { by, until: now + self.settle },
            _ => State::Free,
        };
    }
}
