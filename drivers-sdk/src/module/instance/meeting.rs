//! What comes of `connected`.
//!
//! ```text
//!   link up, login done                     done
//!  ─────────────────────▶ Meeting ───────────────────────▶ Met
//!                          ▲   │ an error, or no answer
//!     the pause is over,   │   ▼
//!     or new settings    Paused: 1 s, then 2, 4, 8, 16, 30, 30 …
//!
//!   from anywhere: link down, or the module stops ──▶ (none); another connection ──▶ Meeting
//! ```
//!
//! Each run is an event, so it takes turns with the other handlers and the pause holds up none of them. What a failed run has
//! scheduled ends when the next begins. A make-break link that is down is tried by its commands alone: there the module goes on
//! without a link, else it would never hear of the device again.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::timeout;

use super::{Event, Instance};
use crate::driver::Driver;
use crate::module::tasks::Scope;

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
        core.tasks.abort_connection();
        let mut connected = pin!(self.driver.connected(&self.cx));
        let result = self.while_connected(connection, |context| connected.as_mut().poll(context)).await;
        let result = match result {
            Some(result) => result,
            None if core.link.makebreak && !core.link.is_up() => Err(core.offline()),
            None => return,
        };
        let failed = result.is_err();
        self.meeting.borrow_mut().report(core, "connected", result);
        if failed {
            let this = self.clone();
            self.spawn(Scope::Connection, async move {
                let _ = timeout(pause, this.settled.notified()).await;
                let connection = this.core.link.connection.get();
                this.event(Event::Again(connection, (2 * pause).min(LONGEST_PAUSE)));
            });
        }
    }
}
