//! What the log says of a link: one line when an outage begins, one when it ends, however many attempts lie between.
//!
//! ```text
//!        down                up                 held / down later
//! Fine ────────▶ Out ─────────────▶ Back ───────────────────▶ Fine (and then Out again)
//!                                    │ down before the connection has held
//!                                    ▼
//!                                 Flapping ──────── held ────▶ Fine
//! ```
//!
//! A link that connects and is lost again and again is one outage: that is said once, and then once when it holds.

use super::{Address, Failure};
use tokio::time::Instant;
use tracing::{debug, info, warn};

#[cfg(test)]
mod tests;

pub(super) enum Journal {
    Fine,
    Out { since: Instant },
    Back { since: Instant },
    Flapping { since: Instant, flaps: u32 },
}

impl Journal {
    /// `held`: a connection was lost that had been good.
    pub(super) fn down(&mut self, link: &str, address: &Address, failure: &Failure, held: bool) {
        match self {
            Self::Back { since } if !held => {
                warn!(link, %address, reason = %failure.reason, "connected and lost again: {failure} Further changes are not logged until a connection holds.");
                *self = Self::Flapping { since: *since, flaps: 0 };
            }
            Self::Flapping { .. } if !held => {}
            Self::Out { .. } => {}
            Self::Fine | Self::Back { .. } | Self::Flapping { .. } => {
                warn!(link, %address, reason = %failure.reason, "down: {failure}");
                *self = Self::Out { since: Instant::now() };
            }
        }
    }

    pub(super) fn up(&mut self, link: &str, address: &Address) {
        match self {
            Self::Out { since } => {
                info!(link, %address, "up again after {:.1?}", since.elapsed());
                *self = Self::Back { since: *since };
            }
            Self::Flapping { flaps, .. } => *flaps += 1,
            Self::Fine | Self::Back { .. } => debug!(link, %address, "up"),
        }
    }

    /// The connection has held, or ended as it should.
    pub(super) fn held(&mut self, link: &str, address: &Address) {
        if let Self::Flapping { since, flaps } = self {
            info!(link, %address, "up and holding: {flaps} more connections were made within {:.1?}", since.elapsed());
        }
        *self = Self::Fine;
    }

    /// Whether somebody has to call [`Journal::held`] in time.
    pub(super) fn waits(&self) -> bool {
        matches!(self, Self::Flapping { .. })
    }
}
