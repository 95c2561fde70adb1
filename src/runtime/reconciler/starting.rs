//! Putting a module in a process.

use std::time::Duration;

use bytes::BytesMut;
use drivers_sdk_protocol::Kind;
use drivers_sdk_protocol::message::{self, Failure, code};
use serde_json::value::RawValue;

use super::lanes::{Company, LaneState};
use super::slot::{Phase, Seat, Told, hash};
use super::wanted::Wanted;
use super::way::Way;
use super::{Event, Reconciler};
use crate::runtime::directory::Id;
use crate::runtime::host::channel::{Channel, write_json};
use crate::runtime::host::pending::Outcome;
use crate::runtime::modules;
use crate::runtime::view::{self, State};

impl Reconciler {
    /// Puts a module in its lane, and starts it if that is ready.
    pub(super) fn place(&mut self, id: &Id, wanted: &Wanted) {
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
            life.quarantined = matches!(wanted.lane.company, Company::Suspects(_));
            life.system = wanted.system.as_ref().map(|system| system.id.as_str().into());
        });
        let entry = slot.entry.clone();
        entry.hide(wanted.secrets.as_ref());
        let there =
            modules::Place { channel: process.channel.clone(), handle, program: wanted.program.clone() };
        let start = Start { id: id.clone(), settings, wanted, process: process.id };
        entry.wire.settle(there, |link| self.send_start(&process.channel, handle, start, link));
        if entry.wire.link().is_some() {
            entry.show_connected(&self.shared);
        }
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
}

struct Start<'a> {
    id: Id,
    settings: String,
    wanted: &'a Wanted,
    process: u64,
}

pub(super) fn raw(json: String) -> Box<RawValue> {
    // The merge wrote it.
    RawValue::from_string(json).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// `None`: the instance is gone, and its end is told by an event of its own. That a driver says `stopped` is no such end:
/// it may pass on what a call of another module came to.
pub(super) fn answered(outcome: Outcome, late: &str) -> Option<Result<(), Failure>> {
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
