//! What comes of `connected`, and the polls that begin when it worked.
//!
//! ```text
//!   link up, login done               done             the period is over, new settings, or `poll_soon`
//!  ─────────────────────▶ Meeting ───────────▶ Polling ◀──────────────────────────────────────────────┐
//!                          ▲   │                 │        done, or an error                           │
//!     the pause is over,   │   │ an error,       └──────────────────────────────────────────────▶ Waiting
//!     or new settings      │   ▼ or no answer
//!                        Paused: 1 s, then 2, 4, 8, 16, 30, 30 …
//!
//!   from anywhere: link down, or the module stops ──▶ (none); another connection ──▶ Meeting
//! ```
//!
//! Each run of `connected` is an event, so it takes turns with the other handlers and the pause holds up none of them. What a
//! failed run has scheduled and listens to ends when the next begins. Each poll is a task, so it is never under way twice. A
//! make-break link that is down is tried by commands alone: there all this goes on without a link, else the module would never
//! hear of the device again.

use std::pin::pin;
use std::rc::Rc;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{Event, Instance};
use crate::driver::Driver;
use crate::module::tasks::Scope;
use crate::schedule::{LONGEST, mark_after};

/// Until `connected` runs again; doubled after each failure.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

impl<D: Driver> Instance<D> {
    /// Runs `connected`; if it fails, again after this pause.
    pub(super) async fn meet(self: &Rc<Self>, connection: u64, pause: Duration) {
        let core = &self.core;
        if core.link.connection.get() != connection {
            return;
        }
        core.end_meeting();
        let mut connected = pin!(self.driver.connected(&self.cx));
        let handler = |context: &mut Context<'_>| connected.as_mut().poll(context);
        let result = self.while_connected(connection, Scope::Meeting, handler).await;
        let result = match result {
            Some(result) => result,
            None if core.link.makebreak && !core.link.is_up() => Err(core.offline()),
            None => return,
        };
        let met = result.is_ok();
        self.meeting.borrow_mut().report(core, "connected", result);
        if met {
            for poll in 0..self.polls.len() {
                self.spawn(Scope::Connection, self.clone().poll(poll));
            }
        } else {
            let this = self.clone();
            self.spawn(Scope::Connection, async move {
                let _ = timeout(pause, this.changed.notified()).await;
                let connection = this.core.link.connection.get();
                this.event(Event::Again(connection, (2 * pause).min(LONGEST_PAUSE)));
            });
        }
    }

    /// Has the polls run after this delay, once.
    pub(crate) fn poll_soon(self: &Rc<Self>, delay: Duration) {
        if self.poll_soon.replace(true) || self.core.is_over() {
            return;
        }
        let this = self.clone();
        self.spawn(Scope::Module, async move {
            sleep(delay.min(LONGEST)).await;
            this.poll_soon.set(false);
            this.changed.notify_waiters();
        });
    }

    /// Polls, again and again.
    async fn poll(self: Rc<Self>, poll: usize) {
        let mut mark = Instant::now();
        loop {
            // Made now, so that it hears also of what changes while the poll runs.
            let changed = self.changed.notified();
            let result = self.driver.poll(&self.cx, poll).await;
            if let (Some(trouble), Some(name)) = (self.polls.get(poll), D::DECLARATION.polls.get(poll)) {
                trouble.borrow_mut().report(&self.core, name, result);
            }
            let Some(period) = D::period(&self.cx.settings(), poll) else {
                changed.await;
                mark = Instant::now();
                continue;
            };
            let next = mark_after(mark, period);
            mark = tokio::select! {
                biased;
                () = changed => Instant::now(),
                () = sleep_until(next) => next,
            };
        }
    }
}
