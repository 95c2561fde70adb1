//! When the reconciler looks at something again.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::lanes::LaneKey;
use crate::runtime::directory::Id;

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wake {
    Module(Id),
    Lane(LaneKey),
    /// A module that was started then has held.
    Held(Id, Instant),
}

#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Instant, Wake)>);

impl Timers {
    pub(super) fn set(&mut self, at: Instant, wake: Wake) {
        self.0.insert((at, wake));
    }

    /// When something is due; far away if nothing is.
    pub(super) fn next(&self) -> Instant {
        self.0.first().map_or_else(|| Instant::now() + Duration::from_secs(86_400), |(at, _)| *at)
    }

    /// Takes what is due.
    pub(super) fn due(&mut self) -> Vec<Wake> {
        let now = Instant::now();
        let mut due = Vec::new();
        while self.0.first().is_some_and(|(at, _)| *at <= now) {
            due.extend(self.0.pop_first().map(|(_, wake)| wake));
        }
        due
    }
}
