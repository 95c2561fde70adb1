//! What modules and processes answer, and what follows from it.

use std::collections::BTreeSet;
use std::time::Duration;

use drivers_sdk_protocol::Kind;
use drivers_sdk_protocol::message::{Failure, Level, code};
use tokio::time::Instant;

use super::lanes::{Company, LaneKey};
use super::records;
use super::slot::Phase;
use super::timers::Wake;
use super::{Event, Reconciler};
use crate::runtime::directory::Id;
use crate::runtime::host::Ended;
use crate::runtime::view::{self, Fault, State};

/// A module that ran this long counts as mended.
const MENDED: Duration = Duration::from_secs(2);

impl Reconciler {
    pub(super) fn handle(&mut self, event: Event) {
        match event {
            Event::DriverChanged { driver } => {
                let modules = self.directory.modules_of(&driver);
                let beside = modules.iter().flat_map(|id| self.directory.logic_beside(id));
                let affected: BTreeSet<Id> = modules.iter().cloned().chain(beside).collect();
                for id in affected {
                    self.converge(&id);
                }
            }
            Event::ProcessReady { process, pid } => self.lane_ready(process, pid),
            Event::ProcessEnded { process, ended } => self.process_ended(process, &ended),
            Event::ModuleFailed { module, process, handle, failure } => {
                self.module_failed(&module, process, handle, failure);
            }
            Event::Started { module, process, handle, result } => {
                self.module_started(&module, process, handle, result);
            }
            Event::Stopped { module, process, handle, late } => {
                self.module_stopped(&module, process, handle, late);
            }
            Event::SettingsTaken { module, process, handle, result } => {
                self.settings_taken(&module, process, handle, result);
            }
            Event::SaveSetting { module, key, value, answer } => {
                let mut documents = self.directory.settings_documents(&module);
                let (store, vault) = (self.store.clone(), self.vault.clone());
                let Some(slot) = self.slots.get_mut(&module) else { return };
                let before = slot.saving.take();
                // One after the other, and each knows of the document that the one before made: the store's feed may
                // not have told of it yet.
                slot.saving = Some(tokio::spawn(async move {
                    let made = match before {
                        Some(before) => before.await.ok().flatten(),
                        None => None,
                    };
                    documents.extend(made.clone());
                    match records::save_setting(store, vault, module, documents, key, value).await {
                        Ok(new) => {
                            answer.done(&[]);
                            new.or(made)
                        }
                        Err(message) => {
                            let code = code::BAD_REQUEST.into();
                            answer.failed(&Failure { code, message, ..Failure::default() });
                            made
                        }
                    }
                }));
            }
            Event::End { ended } => {
                self.ending = Some(ended);
                let ids: Vec<Id> = self.slots.keys().cloned().collect();
                for id in ids {
                    self.converge(&id);
                }
            }
        }
    }

    fn module_started(&mut self, id: &Id, process: u64, handle: u32, result: Result<(), Failure>) {
        let Some(slot) = self.slots.get_mut(id).filter(|slot| slot.sits(process, handle)) else { return };
        let Phase::Starting { at } = &slot.phase else { return };
        let at = at.clone();
        let failure = match result {
            Ok(()) => {
                let now = Instant::now();
                slot.phase = Phase::Running { at };
                slot.started = Some(now);
                let entry = slot.entry.clone();
                entry.wire.open();
                entry.publish(|life| {
                    life.state = State::Running;
                    life.coming = false;
                });
                if entry.wire.link().is_none() {
                    entry.show_connected(&self.shared);
                }
                entry.say(&self.shared, Level::Info, "started");
                self.shared.metrics.modules_started.inc();
                self.timers.set(now + MENDED, Wake::Held(id.clone(), now));
                return;
            }
            Err(failure) => failure,
        };
        let late = failure.code == code::TIMEOUT;
        slot.entry.wire.leave();
        if let Some(lane) = self.lanes.get(&at.lane) {
            let channel = &lane.process.channel;
            channel.discharge(handle, &failure.message.as_str().into());
            if late {
                channel.send(Kind::Stop, handle, 0, &[]);
            }
        }
        self.fail(id, fault("start", format!("it did not start: {}", failure.message), failure));
    }

    fn module_failed(&mut self, id: &Id, process: u64, handle: u32, failure: Failure) {
        let Some(slot) = self.slots.get_mut(id).filter(|slot| slot.sits(process, handle)) else { return };
        // One that is told to stop gets there this way too.
        if matches!(slot.phase, Phase::Stopping { .. }) {
            return;
        }
        slot.entry.wire.leave();
        let message = match &failure.place {
            Some(place) => format!("{} (at {place})", failure.message),
            None => failure.message.clone(),
        };
        self.fail(id, fault(&failure.code.clone(), message, failure));
    }

    fn module_stopped(&mut self, id: &Id, process: u64, handle: u32, late: bool) {
        let Some(slot) = self.slots.get_mut(id).filter(|slot| slot.sits(process, handle)) else { return };
        let Phase::Stopping { at } = &slot.phase else { return };
        let lane = at.lane.clone();
        if late {
            slot.entry.say(&self.shared, Level::Warn, "it did not stop in time, and counts as stopped");
        }
        slot.phase = Phase::Stopped;
        slot.entry.board.clear(&self.shared.publisher);
        if let Some(there) = self.lanes.get(&lane)
            && there.process.id == process
        {
            there.process.channel.discharge(handle, &"the module stopped".into());
        }
        self.leave_lane(&lane, id);
        self.converge(id);
    }

    fn settings_taken(&mut self, id: &Id, process: u64, handle: u32, result: Result<(), Failure>) {
        let Some(slot) = self.slots.get(id).filter(|slot| slot.sits(process, handle)) else { return };
        let Err(failure) = result else { return };
        if failure.code == code::STOPPED {
            return;
        }
        let message = format!("it refused its new settings and goes on with the old: {}", failure.message);
        let fault = fault("settings", message, failure);
        slot.entry.say(&self.shared, Level::Error, &fault.message);
        self.recorder.failed(id, fault.at);
        slot.entry.publish(|life| life.last_error = Some(fault.into()));
    }

    /// A process is gone: its modules are told, the suspects set apart, the rest wait for the next.
    fn process_ended(&mut self, process: u64, ended: &Ended) {
        let Some((key, until, members)) = self.lane_down(process) else { return };
        self.shared.metrics.processes_failed.inc();
        tracing::warn!(why = %ended.message, modules = members.len(), "driver process ended");
        let seated: Vec<Id> = members
            .into_iter()
            .filter(|id| {
                self.slots.get(id).is_some_and(|slot| match &slot.phase {
                    Phase::Placing { lane } => *lane == key,
                    _ => slot.seat().is_some_and(|seat| seat.process == process),
                })
            })
            .collect();
        for id in &seated {
            self.unseat(id, &key, ended, until);
        }
        self.set_apart(&key, ended, seated.len());
        for id in &seated {
            self.converge(id);
        }
    }

    fn unseat(&mut self, id: &Id, key: &LaneKey, ended: &Ended, until: Instant) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        slot.entry.wire.leave();
        if matches!(slot.phase, Phase::Stopping { .. }) {
            // Its stop was answered by the end of the process.
            return;
        }
        slot.phase = Phase::Placing { lane: key.clone() };
        let fault = Fault {
            at: view::now(),
            code: ended.code.into(),
            message: ended.message.clone(),
            output: ended.output.clone(),
            ..Fault::default()
        };
        self.show_failure(id, fault, until);
    }

    /// Divides the suspects among lanes of their own.
    fn set_apart(&mut self, key: &LaneKey, ended: &Ended, companions: usize) {
        let alone = companions < 2 || matches!(key.company, Company::Alone(_));
        if alone || ended.code == "start" {
            return;
        }
        let most = self.shared.options.quarantine_processes.max(1);
        let mut groups = Vec::new();
        for (number, suspect) in ended.suspects.iter().enumerate() {
            if number < most {
                groups.push(self.lanes.new_group());
            }
            let Some(group) = groups.get(number % most).copied() else { continue };
            if let Some(slot) = self.slots.get_mut(&suspect.id) {
                slot.quarantine = Some((group, key.program));
                slot.entry.say(
                    &self.shared,
                    Level::Warn,
                    "it was busy when its process died, and runs apart now",
                );
            }
        }
    }

    /// A module that was started then: if it still runs, its error is history.
    pub(super) fn held(&mut self, id: &Id, started: Instant) {
        let Some(slot) = self.slots.get(id) else { return };
        let marked = self.directory.modules.get(id).is_some_and(|module| module.has_runtime_error);
        if slot.started == Some(started) && matches!(slot.phase, Phase::Running { .. }) && marked {
            self.recorder.mended(id);
        }
    }
}

fn fault(code: &str, message: String, failure: Failure) -> Fault {
    Fault {
        at: view::now(),
        code: code.into(),
        message,
        place: failure.place,
        backtrace: failure.backtrace,
        output: Vec::new(),
    }
}
