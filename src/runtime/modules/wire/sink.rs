//! What a module's link says, on its way to the driver process.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use drivers_sdk_protocol::Kind;
use drivers_sdk_protocol::message::Level;

use super::{Held, Place};
use crate::connections::{self, Form};
use crate::runtime::host::outgoing::Room;
use crate::runtime::modules::Entry;
use crate::runtime::{Shared, status};

/// How long a module may leave bytes of its device before the next come anyway.
const TAKEN_LIMIT: Duration = Duration::from_secs(3600);

/// The sink of a module's link.
pub(crate) struct ToModule {
    pub(crate) shared: Arc<Shared>,
    pub(crate) entry: Arc<Entry>,
    /// The number of the link.
    pub(crate) link: u64,
}

impl connections::Sink for ToModule {
    fn state(&self, next: &connections::State) {
        let mut state = self.entry.wire.0.lock();
        if state.links != self.link {
            return;
        }
        let up = match next {
            connections::State::Up { .. } | connections::State::Idle => true,
            // A make-break link that connects because there is something to send has not gone down.
            connections::State::Connecting { .. } => state.makebreak && state.up,
            connections::State::Down { .. } => false,
        };
        // The device may have closed it, or it was unused for long: no outage, but an end to what was sent over it.
        let ended = state.makebreak
            && matches!(state.last, Some(connections::State::Up { .. }))
            && matches!(next, connections::State::Idle);
        let number = match next {
            connections::State::Up { connection, .. } if !state.makebreak => Some(*connection),
            _ => None,
        };
        let news = (up != state.up || (up && number != state.link_connection)).then_some(up);
        if news == Some(true) || ended {
            state.connection += 1;
        }
        if news == Some(true) {
            state.held = Held::default();
            state.said = None;
        }
        state.up = up;
        state.link_connection = number;
        state.last = Some(next.clone());
        if let Some(place) = &state.place {
            if news == Some(true) {
                place.channel.send_json(Kind::LinkUp, place.handle, 0, &state.link_up());
            } else if news == Some(false) || next.reason().is_some() {
                place.tell_down(next);
            } else if ended {
                place.tell_ended(state.connection);
            }
        }
        // With the wire locked, so that whoever takes the link away has the last word.
        self.entry.set_status(&self.shared, status::CONNECTED, Some(status::boolean(state.connected())));
        drop(state);
        match (news, next) {
            (Some(true), _) => self.entry.say(&self.shared, Level::Info, "connected"),
            (_, connections::State::Down { detail, .. }) => {
                self.entry.say(&self.shared, Level::Warn, &format!("not connected: {detail}"));
            }
            _ => {}
        }
    }

    async fn received(&self, bytes: &[u8], form: Form) {
        loop {
            let (place, room) = match self.room(bytes.len()).await {
                Ok(found) => found,
                Err(ended) => return self.hold(bytes, form, ended.as_ref()),
            };
            let mut state = self.entry.wire.0.lock();
            let same = state
                .place
                .as_ref()
                .is_some_and(|now| now.handle == place.handle && Arc::ptr_eq(&now.channel, &place.channel));
            if !same {
                place.channel.out.give_back(room);
                continue;
            }
            let kind = place.received(form);
            let Place { channel, handle, .. } = place;
            state.unasked += bytes.len();
            let mut correlation = 0;
            if state.unasked >= self.shared.options.received_window_bytes
                && let Some((asked, answer)) = channel.ask_taken(handle, TAKEN_LIMIT)
            {
                state.unasked = 0;
                state.asked = Some(answer);
                correlation = asked;
            }
            channel.note_received(handle);
            channel.out.push_received(kind, handle, correlation, bytes, room);
            return;
        }
    }

    fn recorder(&self) -> Option<Arc<connections::Recorder>> {
        self.entry.recorder.clone()
    }

    fn label(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.entry.id)
    }
}

impl ToModule {
    /// Waits until the module, and the process it is in, can take bytes. Otherwise it is in no process, or in one that
    /// has ended.
    async fn room(&self, bytes: usize) -> Result<(Place, Room), Option<Place>> {
        loop {
            let (place, asked) = {
                let mut state = self.entry.wire.0.lock();
                (state.place.clone().ok_or(None)?, state.asked.take())
            };
            if let Some(asked) = asked {
                // However this ends, the bytes before are taken or nobody will take them any more.
                let _ = asked.await;
                continue;
            }
            return match place.channel.out.room(bytes).await {
                Ok(room) => Ok((place, room)),
                Err(_) => Err(Some(place)),
            };
        }
    }

    fn hold(&self, bytes: &[u8], form: Form, ended: Option<&Place>) {
        let mut state = self.entry.wire.0.lock();
        if let Some(place) = &state.place
            && ended.is_none_or(|ended| !Arc::ptr_eq(&ended.channel, &place.channel))
        {
            // It was put in another process in this very moment.
            place.channel.send(place.received(form), place.handle, 0, bytes);
            return;
        }
        let (messages, limit) = (state.messages, self.shared.options.held_bytes);
        state.held.push(bytes, form, messages, limit);
    }
}
