//! The next step of a module towards what it should be.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use drivers_sdk_protocol::Kind;
use drivers_sdk_protocol::message::{self, Level};
use tokio::time::Instant;

use super::lanes::LaneKey;
use super::links::close_link;
use super::slot::{Phase, Seat, hash};
use super::starting::{answered, raw};
use super::timers::Wake;
use super::wanted::{Desired, Wanted};
use super::{Event, Reconciler};
use crate::runtime::directory::Id;
use crate::runtime::host::channel::{Channel, write_json};
use crate::runtime::host::pending::Outcome;
use crate::runtime::status;
use crate::runtime::view::{self, State};

/// How often is looked whether a module that moves has finished what it was asked.
const FINISHING: Duration = Duration::from_millis(5);

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
        slot.entry.hide(wanted.secrets.as_ref());
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
    pub(super) fn unbind(&mut self, id: &Id, keep: Option<&LaneKey>) {
        let bound = self.slots.get_mut(id).and_then(|slot| slot.bound.take());
        if let Some(bound) = bound
            && Some(&bound) != keep
        {
            self.leave_lane(&bound, id);
        }
    }

    /// Tells a module to stop. `moving`: it runs again in a moment, and first finishes what it was asked.
    fn stop(&mut self, id: &Id, at: Seat, moving: bool) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        slot.phase = Phase::Stopping { at: at.clone() };
        slot.entry.wire.shut();
        slot.entry.publish(|life| {
            life.state = State::Stopping;
            life.coming = moving;
            life.next_attempt = None;
        });
        let Some(lane) = self.lanes.get(&at.lane) else { return };
        let (channel, entry) = (lane.process.channel.clone(), slot.entry.clone());
        let Seat { process, handle, .. } = at;
        let (shared, module) = (self.shared.clone(), id.clone());
        let limit = Duration::from_millis(self.shared.options.stop_grace_ms);
        let begun = Instant::now();
        let busy =
            move |channel: &Channel| moving && channel.pending.is_busy(handle) && begun.elapsed() < limit;
        let send = move |channel: &Channel| {
            entry.wire.leave_channel(channel);
            channel.request(
                Kind::Stop,
                handle,
                limit,
                |_| {},
                move |outcome| {
                    let late = matches!(outcome, Outcome::Late);
                    shared.tell(Event::Stopped { module, process, handle, late });
                },
            );
        };
        if !busy(&channel) {
            return send(&channel);
        }
        tokio::spawn(async move {
            while busy(&channel) {
                tokio::time::sleep(FINISHING).await;
            }
            send(&channel);
        });
    }

    /// It should run and cannot yet.
    pub(super) fn wait(&mut self, id: &Id, why: &str) {
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
        close_link(&self.shared, slot);
        slot.emulator = None;
        slot.entry.set_status(&self.shared, status::CONNECTED, Some("false"));
    }

    /// It should not run, and has no place any more.
    fn rest(&mut self, id: &Id) {
        self.unbind(id, None);
        let Some(slot) = self.slots.get_mut(id) else { return };
        close_link(&self.shared, slot);
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
