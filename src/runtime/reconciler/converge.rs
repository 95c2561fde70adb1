//! The next step of a module towards what it should be.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use drivers_sdk_protocol::Kind;
use drivers_sdk_protocol::message::{self, Failure, Level, code};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::lanes::{LaneKey, LaneState};
use super::slot::{Phase, Seat, Slot, Told, hash};
use super::timers::Wake;
use super::wanted::{Desired, Wanted, Way};
use super::{Event, Reconciler};
use crate::connections::Target;
use crate::runtime::directory::Id;
use crate::runtime::emulator::Emulator;
use crate::runtime::host::channel::{Channel, write_json};
use crate::runtime::host::pending::Outcome;
use crate::runtime::modules::{self, ToModule};
use crate::runtime::status;
use crate::runtime::view::{self, State};

impl Reconciler {
    /// Looks at what a module should be and does the next step. Safe to call at any time.
    pub(super) fn converge(&mut self, id: &Id) {
        let Some(slot) = self.slots.get(id) else { return };
        let phase = slot.phase.clone();
        match (self.desired(id), phase) {
            (_, Phase::Stopping { .. }) => {}
            (Desired::Rest, Phase::Starting { at } | Phase::Running { at }) => self.stop(id, at, false),
            (Desired::Rest, Phase::Placing { lane }) => {
                self.leave_lane(&lane, id);
                self.rest(id);
            }
            (Desired::Rest, _) => self.rest(id),
            (Desired::Blocked(_), Phase::Starting { at } | Phase::Running { at }) => self.stop(id, at, false),
            (Desired::Blocked(why), Phase::Placing { lane }) => {
                self.leave_lane(&lane, id);
                self.wait(id, &why);
            }
            (Desired::Blocked(why), _) => self.wait(id, &why),
            (Desired::Run(wanted), Phase::Placing { lane })
                if lane != wanted.lane || wanted.settings.is_err() =>
            {
                self.leave_lane(&lane, id);
                self.place(id, &wanted);
            }
            (Desired::Run(wanted), Phase::Stopped | Phase::Waiting | Phase::Placing { .. }) => {
                self.place(id, &wanted);
            }
            (Desired::Run(wanted), Phase::Failed { until }) => {
                let untried = self.slots.get(id).is_some_and(|slot| slot.told.attempt != wanted.attempt);
                if untried || until <= Instant::now() {
                    self.place(id, &wanted);
                }
            }
            (Desired::Run(wanted), Phase::Starting { at } | Phase::Running { at }) => {
                if at.lane == wanted.lane {
                    self.update(id, &at, &wanted);
                } else {
                    self.relocate(id, at, &wanted);
                }
            }
        }
    }

    /// Puts a module in its lane, and starts it if that is ready.
    fn place(&mut self, id: &Id, wanted: &Wanted) {
        let settings = match &wanted.settings {
            Ok(settings) => settings.clone(),
            Err(why) => return self.wait(id, why),
        };
        self.unbind(id, Some(&wanted.lane));
        self.join_lane(&wanted.lane, &wanted.program, id);
        let Some(lane) = self.lanes.get(&wanted.lane) else { return };
        let Some(slot) = self.slots.get_mut(id) else { return };
        let state = lane.state;
        let Some((process, pid)) = lane.ready() else {
            slot.phase = Phase::Placing { lane: wanted.lane.clone() };
            slot.entry.publish(|life| {
                life.program = Some(wanted.program.clone());
                life.process = None;
                match state {
                    LaneState::Down { until } => {
                        life.state = State::Failed;
                        life.coming = false;
                        life.next_attempt = Some(view::at(until));
                    }
                    _ => {
                        life.state = State::Starting;
                        life.detail = None;
                        life.next_attempt = None;
                        life.coming = true;
                    }
                }
            });
            return;
        };
        let (process, pid) = (process.clone(), pid);
        let handle = process.channel.enlist(&slot.entry);
        let seat = Seat { lane: wanted.lane.clone(), process: process.id, handle };
        slot.phase = Phase::Starting { at: seat };
        slot.told = Told {
            settings: hash(&settings),
            system: wanted.system.clone(),
            attempt: wanted.attempt,
            makebreak: wanted.link.makebreak(),
        };
        slot.entry.publish(|life| {
            life.state = State::Starting;
            life.detail = None;
            life.coming = true;
            life.next_attempt = None;
            life.process = Some(pid);
            life.program = Some(wanted.program.clone());
            life.emulated = matches!(wanted.link, Way::Emulator { .. });
            life.quarantined = matches!(wanted.lane.company, super::lanes::Company::Suspects(_));
            life.system = wanted.system.as_ref().map(|system| system.id.as_str().into());
        });
        let entry = slot.entry.clone();
        let there =
            modules::Place { channel: process.channel.clone(), handle, program: wanted.program.clone() };
        let start = Start { id: id.clone(), settings, wanted, process: process.id };
        entry.wire.settle(there, |link| self.send_start(&process.channel, handle, start, link));
        self.open_link(id, wanted);
    }

    fn send_start(&self, channel: &Channel, handle: u32, start: Start<'_>, link: Option<message::LinkUp>) {
        let Start { id, settings, wanted, process } = start;
        let message = message::Start {
            id: id.to_string(),
            name: wanted.name.clone(),
            settings: raw(settings),
            system: wanted.system.clone(),
            link,
            makebreak: wanted.link.makebreak(),
        };
        let shared = self.shared.clone();
        let limit = Duration::from_millis(self.shared.options.process_start_ms);
        let write = |out: &mut BytesMut| write_json(out, &message);
        channel.request(Kind::Start, handle, limit, write, move |outcome| {
            if let Some(result) = answered(outcome, "it did not answer its start in time") {
                shared.tell(Event::Started { module: id, process, handle, result });
            }
        });
    }

    /// Opens or changes the link of a module.
    fn open_link(&mut self, id: &Id, wanted: &Wanted) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        let target = match &wanted.link {
            Way::None => {
                slot.target = None;
                slot.emulator = None;
                return close_link(slot);
            }
            Way::Link(target) => {
                slot.emulator = None;
                target.clone()
            }
            Way::Emulator { makebreak } => {
                if slot.emulator.as_ref().is_none_or(|emulator| emulator.program() != wanted.program.id) {
                    let settings = wanted.settings.clone().unwrap_or_default();
                    // The one before has to be gone before the next takes its socket.
                    slot.emulator = None;
                    slot.emulator =
                        Some(Emulator::start(&self.shared, &slot.entry, &wanted.program, settings));
                }
                let path = slot.emulator.as_ref().map(|emulator| emulator.path().to_owned());
                let target = Target::unix(path.unwrap_or_default());
                if *makebreak { target.make_break(super::wanted::MAKE_BREAK_HOLD) } else { target }
            }
        };
        if slot.target.as_ref() == Some(&target) {
            return;
        }
        slot.target = Some(target.clone());
        slot.entry.wire.expect(target.mode);
        match slot.entry.wire.link() {
            Some(link) => link.retarget(target),
            None => {
                let (shared, entry) = (self.shared.clone(), slot.entry.clone());
                slot.entry.wire.open_link(|number| {
                    self.connections.open(target, ToModule { shared, entry, link: number })
                });
            }
        }
    }

    /// Tells a running module what is new.
    fn update(&mut self, id: &Id, at: &Seat, wanted: &Wanted) {
        self.unbind(id, None);
        let Some(lane) = self.lanes.get(&at.lane) else { return };
        let channel = lane.process.channel.clone();
        let Some(slot) = self.slots.get_mut(id) else { return };
        if slot.told.makebreak != wanted.link.makebreak() {
            // Only `Start` says so.
            return self.stop(id, at.clone(), true);
        }
        slot.told.attempt = wanted.attempt;
        match &wanted.settings {
            Ok(settings) if slot.told.settings != hash(settings) => {
                slot.told.settings = hash(settings);
                let shared = self.shared.clone();
                let limit = Duration::from_millis(self.shared.options.process_start_ms);
                let message = message::Settings { settings: raw(settings.clone()) };
                let (module, process, handle) = (id.clone(), at.process, at.handle);
                let write = |out: &mut BytesMut| write_json(out, &message);
                channel.request(Kind::Settings, handle, limit, write, move |outcome| {
                    if let Some(result) = answered(outcome, "it did not answer its new settings in time") {
                        shared.tell(Event::SettingsTaken { module, process, handle, result });
                    }
                });
            }
            Ok(_) => {}
            // The API refuses such settings; what runs goes on with those it has.
            Err(why) => slot.entry.say(&self.shared, Level::Error, why),
        }
        if let Some(system) = &wanted.system
            && slot.told.system.as_ref() != Some(system)
        {
            slot.told.system = Some(system.clone());
            // What the module names without a system is looked for there from now on.
            slot.entry.publish(|life| life.system = Some(system.id.as_str().into()));
            channel.send_json(Kind::System, at.handle, 0, system);
        }
        self.open_link(id, wanted);
    }

    /// Moves a module to another lane: not before that is ready, so that what runs goes on running if it never is.
    fn relocate(&mut self, id: &Id, at: Seat, wanted: &Wanted) {
        self.unbind(id, Some(&wanted.lane));
        self.join_lane(&wanted.lane, &wanted.program, id);
        if let Some(slot) = self.slots.get_mut(id) {
            slot.bound = Some(wanted.lane.clone());
        }
        if self.lanes.get(&wanted.lane).is_some_and(|lane| lane.ready().is_some()) {
            self.stop(id, at, true);
        }
    }

    /// It does not move any more, or moves to `keep`.
    fn unbind(&mut self, id: &Id, keep: Option<&LaneKey>) {
        let bound = self.slots.get_mut(id).and_then(|slot| slot.bound.take());
        if let Some(bound) = bound
            && Some(&bound) != keep
        {
            self.leave_lane(&bound, id);
        }
    }

    /// Tells a module to stop. `moving`: it runs again in a moment.
    fn stop(&mut self, id: &Id, at: Seat, moving: bool) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        slot.entry.wire.leave();
        slot.phase = Phase::Stopping { at: at.clone() };
        slot.entry.publish(|life| {
            life.state = State::Stopping;
            life.coming = moving;
            life.next_attempt = None;
        });
        let Some(lane) = self.lanes.get(&at.lane) else { return };
        let Seat { process, handle, .. } = at;
        let (shared, module) = (self.shared.clone(), id.clone());
        let limit = Duration::from_millis(self.shared.options.stop_grace_ms);
        lane.process.channel.request(
            Kind::Stop,
            handle,
            limit,
            |_| {},
            move |outcome| {
                let late = matches!(outcome, Outcome::Late);
                shared.tell(Event::Stopped { module, process, handle, late });
            },
        );
    }

    /// It should run and cannot yet.
    fn wait(&mut self, id: &Id, why: &str) {
        self.unbind(id, None);
        let Some(slot) = self.slots.get_mut(id) else { return };
        slot.phase = Phase::Waiting;
        slot.backoff.reset();
        slot.entry.publish(|life| {
            life.state = State::Waiting;
            life.detail = Some(why.into());
            life.coming = false;
            life.next_attempt = None;
            life.process = None;
        });
        // What it ran with is no longer wanted: an address that was taken away is not held on to.
        close_link(slot);
        slot.emulator = None;
        slot.entry.set_status(&self.shared, status::CONNECTED, Some("false"));
    }

    /// It should not run, and has no place any more.
    fn rest(&mut self, id: &Id) {
        self.unbind(id, None);
        let Some(slot) = self.slots.get_mut(id) else { return };
        close_link(slot);
        slot.phase = Phase::Stopped;
        slot.emulator = None;
        slot.quarantine = None;
        slot.backoff.reset();
        let entry = slot.entry.clone();
        entry.board.clear(&self.shared.publisher);
        entry.set_status(&self.shared, status::CONNECTED, None);
        entry.publish(|life| {
            life.state = State::Stopped;
            life.detail = None;
            life.coming = false;
            life.next_attempt = None;
            life.process = None;
            life.quarantined = false;
        });
        if !self.directory.modules.contains_key(id) {
            self.slots.remove(id);
            self.shared.modules.remove(id);
            self.shared.registry.forget(id);
        }
    }

    /// A module failed: shows why, and plans the next attempt.
    pub(super) fn fail(&mut self, id: &Id, fault: view::Fault) {
        let options = &self.shared.options;
        let first = Duration::from_millis(options.restart_ms);
        let longest = Duration::from_millis(options.restart_max_ms);
        let reset = Duration::from_millis(options.restart_reset_ms);
        let Some(slot) = self.slots.get_mut(id) else { return };
        if slot.started.take().is_some_and(|started| started.elapsed() >= reset) {
            slot.backoff.reset();
        }
        let until = Instant::now() + slot.backoff.next(first, longest);
        // It keeps its place on the lane's list: the process should not end meanwhile.
        slot.bound = slot.seat().map(|seat| seat.lane.clone());
        slot.phase = Phase::Failed { until };
        self.timers.set(until, Wake::Module(id.clone()));
        self.show_failure(id, fault, until);
    }

    /// Publishes a failure everywhere it is looked for.
    pub(super) fn show_failure(&mut self, id: &Id, fault: view::Fault, until: Instant) {
        let Some(slot) = self.slots.get(id) else { return };
        self.shared.metrics.modules_failed.inc();
        let entry = &slot.entry;
        entry.say(&self.shared, Level::Fatal, &fault.message);
        self.recorder.failed(id, fault.at);
        entry.board.clear(&self.shared.publisher);
        if entry.wire.link().is_none() {
            entry.set_status(&self.shared, status::CONNECTED, Some("false"));
        }
        let fault = Arc::new(fault);
        entry.publish(|life| {
            life.state = State::Failed;
            life.detail = Some(fault.message.as_str().into());
            life.last_error = Some(fault);
            life.coming = false;
            life.next_attempt = Some(view::at(until));
            life.process = None;
        });
    }
}

struct Start<'a> {
    id: Id,
    settings: String,
    wanted: &'a Wanted,
    process: u64,
}

fn close_link(slot: &mut Slot) {
    slot.target = None;
    if let Some(link) = slot.entry.wire.take_link() {
        tokio::spawn(async move { link.close().await });
    }
}

fn raw(json: String) -> Box<RawValue> {
    // The merge wrote it.
    RawValue::from_string(json).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// `None`: the instance is gone, and its end is told by an event of its own. That a driver says `stopped` is no such end:
/// it may pass on what a call of another module came to.
fn answered(outcome: Outcome, late: &str) -> Option<Result<(), Failure>> {
    match outcome {
        Outcome::Done(_) => Some(Ok(())),
        Outcome::Failed(reason) => Some(Err(reason)),
        Outcome::Late => {
            let code = code::TIMEOUT.into();
            Some(Err(Failure { code, message: late.into(), ..Failure::default() }))
        }
        Outcome::Gone(_) => None,
    }
}
