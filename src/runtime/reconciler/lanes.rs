//! Lanes: a lane is where modules of one program run together, one process after another.
//!
//! ```text
//!            first module        Welcome              
//!   (none) ───────────────▶ starting ──────▶ ready    last module gone: the process is drained, the lane forgotten
//!                             ▲   │            │
//!             pause is over   │   └──── down ◀─┘ process ended; the pause grows until one has held
//!                             └───────────┘
//! ```
//!
//! Every driver has one shared lane for all its modules, or with `isolation = "module"` one lane for each. When a process
//! dies, the modules that were at work are the suspects: they are divided among lanes of their own, one each if there are
//! not too many, so that who brought it down cannot take its siblings along again. They stay there until they are
//! stopped or their driver changes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Reconciler, Wake};
use crate::runtime::backoff::Backoff;
use crate::runtime::directory::Id;
use crate::runtime::host::{self, Process};
use crate::runtime::program::Program;
use crate::runtime::view::{self, ProcessView};

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LaneKey {
    pub(crate) program: u64,
    /// With whom.
    pub(crate) company: Company,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Company {
    Siblings,
    /// `isolation = "module"`.
    Alone(Id),
    /// A group of suspects.
    Suspects(u64),
}

pub(super) struct Lane {
    pub(super) program: Arc<Program>,
    pub(super) process: Process,
    pub(super) state: LaneState,
    pub(super) backoff: Backoff,
    /// Who is in it, or waits for it.
    pub(super) members: BTreeSet<Id>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LaneState {
    Starting,
    Ready { pid: u32, since: Instant },
    Down { until: Instant },
}

#[derive(Default)]
pub(super) struct Lanes {
    all: HashMap<LaneKey, Lane>,
    by_process: HashMap<u64, LaneKey>,
    last_process: u64,
    last_group: u64,
}

impl Lanes {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn get(&self, key: &LaneKey) -> Option<&Lane> {
        self.all.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &LaneKey) -> Option<&mut Lane> {
        self.all.get_mut(key)
    }

    /// The lane of a process that has not been drained.
    pub(super) fn of_process(&self, process: u64) -> Option<LaneKey> {
        self.by_process.get(&process).cloned()
    }

    pub(super) fn new_group(&mut self) -> u64 {
        self.last_group += 1;
        self.last_group
    }
}

impl Lane {
    /// Its process, if that can be given modules.
    pub(super) fn ready(&self) -> Option<(&Process, u32)> {
        match self.state {
            LaneState::Ready { pid, .. } => Some((&self.process, pid)),
            _ => None,
        }
    }

    fn view(&self, key: &LaneKey) -> ProcessView {
        let (pid, state, until) = match self.state {
            LaneState::Starting => (None, "starting", None),
            LaneState::Ready { pid, .. } => (Some(pid), "ready", None),
            LaneState::Down { until } => (None, "down", Some(until)),
        };
        ProcessView {
            pid,
            driver: self.program.driver.clone(),
            commit: self.program.commit.clone(),
            state,
            since: view::now(),
            modules: Vec::new(),
            quarantine: matches!(key.company, Company::Suspects(_)),
            failures: self.backoff.failures(),
            next_attempt: until.map(view::at),
        }
    }
}

impl Reconciler {
    /// Puts a module on a lane's list, and opens the lane if need be.
    pub(super) fn join_lane(&mut self, key: &LaneKey, program: &Arc<Program>, id: &Id) {
        if !self.lanes.all.contains_key(key) {
            let lane = Lane {
                program: program.clone(),
                process: self.start_process(program, key),
                state: LaneState::Starting,
                backoff: Backoff::default(),
                members: BTreeSet::new(),
            };
            self.lanes.all.insert(key.clone(), lane);
            self.show_lane(key);
        }
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.members.insert(id.clone());
        }
    }

    /// Takes a module off a lane's list. A lane that nobody needs is closed.
    pub(super) fn leave_lane(&mut self, key: &LaneKey, id: &Id) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        lane.members.remove(id);
        if lane.members.is_empty()
            && let Some(lane) = self.lanes.all.remove(key)
        {
            self.lanes.by_process.remove(&lane.process.id);
            self.shared.lanes.remove(key);
            lane.process.drain();
        }
    }

    fn start_process(&mut self, program: &Arc<Program>, key: &LaneKey) -> Process {
        self.lanes.last_process += 1;
        let id = self.lanes.last_process;
        self.lanes.by_process.insert(id, key.clone());
        host::start(&self.shared, id, program.clone())
    }

    /// The pause of a lane is over.
    pub(super) fn restart_lane(&mut self, key: &LaneKey) {
        let Some(lane) = self.lanes.get(key) else { return };
        if !matches!(lane.state, LaneState::Down { until } if until <= Instant::now()) {
            return;
        }
        let program = lane.program.clone();
        let process = self.start_process(&program, key);
        let Some(lane) = self.lanes.get_mut(key) else { return };
        lane.process = process;
        lane.state = LaneState::Starting;
        let members: Vec<Id> = lane.members.iter().cloned().collect();
        self.show_lane(key);
        for id in members {
            self.converge(&id);
        }
    }

    /// The process of a lane has answered.
    pub(super) fn lane_ready(&mut self, process: u64, pid: u32) {
        let Some(key) = self.lanes.of_process(process) else { return };
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        lane.state = LaneState::Ready { pid, since: Instant::now() };
        let members: Vec<Id> = lane.members.iter().cloned().collect();
        self.show_lane(&key);
        for id in members {
            self.converge(&id);
        }
    }

    /// The process of a lane has ended: when is the next? `None`: it was drained, or is long forgotten.
    pub(super) fn lane_down(&mut self, process: u64) -> Option<(LaneKey, Instant, Vec<Id>)> {
        let key = self.lanes.by_process.remove(&process)?;
        let options = &self.shared.options;
        let first = Duration::from_millis(options.restart_ms);
        let longest = Duration::from_millis(options.restart_max_ms);
        let reset = Duration::from_millis(options.restart_reset_ms);
        let lane = self.lanes.get_mut(&key)?;
        if matches!(lane.state, LaneState::Ready { since, .. } if since.elapsed() >= reset) {
            lane.backoff.reset();
        }
        let until = Instant::now() + lane.backoff.next(first, longest);
        lane.state = LaneState::Down { until };
        let members = lane.members.iter().cloned().collect();
        self.timers.set(until, Wake::Lane(key.clone()));
        self.show_lane(&key);
        Some((key, until, members))
    }

    fn show_lane(&self, key: &LaneKey) {
        if let Some(lane) = self.lanes.get(key) {
            self.shared.lanes.insert(key.clone(), lane.view(key));
        }
    }
}
