//! Between a module's link and its driver process.
//!
//! The link outlives the process: while no process holds the module, what the device sends is kept, up to a bound, for
//! the one that comes next. All frames about the link are sent with the wire locked, so that they are in order: `Start`
//! says how the link is, then come the bytes and the changes after that.
//!
//! ```text
//!            LinkUp (a connection of its own number)
//!   ┌──────┐ ──────────────▶ ┌────┐
//!   │ down │                 │ up │   make-break: up while the device can be reached when needed
//!   └──────┘ ◀────────────── └────┘
//!                 LinkDown
//! ```

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use drivers_sdk_protocol::Kind;
use drivers_sdk_protocol::message::{self, Failure, Level, LinkDown, LinkUp, code};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Entry;
use crate::connections::{self, Link};
use crate::runtime::Shared;
use crate::runtime::host::channel::Channel;
use crate::runtime::host::outgoing::Room;
use crate::runtime::host::pending::Outcome;
use crate::runtime::program::Program;
use crate::runtime::status;

/// How long a module may leave bytes of its device before the next come anyway.
const TAKEN_LIMIT: Duration = Duration::from_secs(3600);

/// Where a module runs.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) channel: Arc<Channel>,
    pub(crate) handle: u32,
    pub(crate) program: Arc<Program>,
}

#[derive(Default)]
pub(crate) struct Wire(Mutex<State>);

#[derive(Default)]
struct State {
    place: Option<Place>,
    /// It has started, and takes calls.
    open: bool,
    link: Option<Link>,
    /// Links it has had; what one says that was taken away meanwhile is late.
    links: u64,
    makebreak: bool,
    /// What the link last said.
    last: Option<connections::State>,
    up: bool,
    /// Connections counted so far; the number of the one that is up.
    connection: u64,
    /// The link's own number of that connection.
    link_connection: Option<u64>,
    held: BytesMut,
    /// Bytes handed on since the module was last asked whether it has taken them.
    unasked: usize,
    asked: Option<oneshot::Receiver<Outcome>>,
}

impl Place {
    /// Tells the driver why it cannot reach its device, which is what its callers will read.
    fn tell_down(&self, state: &connections::State) {
        let reason = state.reason().map_or("connecting", connections::Reason::as_str);
        let down = LinkDown { reason: reason.into(), detail: state.detail().unwrap_or_default().into() };
        self.channel.send_json(Kind::LinkDown, self.handle, 0, &down);
    }
}

impl Wire {
    /// Puts the module in a process: `start` sends `Start` with the link as it is, then what was held follows.
    pub(crate) fn settle(&self, place: Place, start: impl FnOnce(Option<LinkUp>)) {
        let mut state = self.0.lock();
        start(state.up.then_some(LinkUp { connection: state.connection, ..LinkUp::default() }));
        if let Some(last) = state.last.as_ref().filter(|last| !state.up && last.reason().is_some()) {
            place.tell_down(last);
        }
        let held = std::mem::take(&mut state.held);
        if !held.is_empty() {
            place.channel.send(Kind::Received, place.handle, 0, &held);
        }
        state.unasked = 0;
        state.asked = None;
        state.place = Some(place);
        state.open = false;
    }

    /// The module has started, and takes calls from now on.
    pub(crate) fn open(&self) {
        self.0.lock().open = true;
    }

    /// The module takes no more calls. What its device says still reaches it.
    pub(crate) fn shut(&self) {
        self.0.lock().open = false;
    }

    /// Takes the module out of its process, if that is the one at the end of this channel.
    pub(crate) fn leave_channel(&self, channel: &Channel) -> bool {
        let mut state = self.0.lock();
        let there = state.place.as_ref().is_some_and(|place| std::ptr::eq(&*place.channel, channel));
        if there {
            state.leave();
        }
        there
    }

    /// Takes the module out of its process.
    pub(crate) fn leave(&self) {
        self.0.lock().leave();
    }

    /// Where the module takes calls.
    pub(crate) fn running(&self) -> Option<Place> {
        let state = self.0.lock();
        state.place.as_ref().filter(|_| state.open).cloned()
    }

    /// Somebody wants the device: if it cannot be reached, that is tried at once.
    pub(crate) fn wake(&self) {
        let state = self.0.lock();
        let down = state.link.clone().filter(|_| !state.up);
        drop(state);
        if let Some(link) = down {
            link.attempt();
        }
    }

    pub(crate) fn link(&self) -> Option<Link> {
        self.0.lock().link.clone()
    }

    /// Opens a link, which is given its number. It says nothing before it is known here.
    pub(crate) fn open_link(&self, open: impl FnOnce(u64) -> Link) {
        let mut state = self.0.lock();
        state.links += 1;
        state.link = Some(open(state.links));
    }

    /// To be told before a link is opened or changed.
    pub(crate) fn expect(&self, mode: connections::Mode) {
        self.0.lock().makebreak = matches!(mode, connections::Mode::MakeBreak { .. });
    }

    /// Takes the link away, to be closed. What was held of it is dropped.
    pub(crate) fn take_link(&self) -> Option<Link> {
        let mut state = self.0.lock();
        state.held = BytesMut::new();
        state.links += 1;
        state.up = false;
        state.last = None;
        state.link_connection = None;
        state.link.take()
    }

    /// What the link last said; `None` without a link.
    pub(crate) fn last(&self) -> Option<connections::State> {
        self.0.lock().last.clone()
    }

    /// Whether commands can be sent.
    pub(crate) fn is_up(&self) -> bool {
        self.0.lock().up
    }

    /// Sends what the driver wants on the wire; the request of `correlation`, if not 0, is answered.
    pub(crate) fn transmit(&self, from: &Arc<Channel>, handle: u32, correlation: u32, payload: &[u8]) {
        let refuse = |why: &str| {
            if correlation != 0 {
                let failure =
                    Failure { code: code::OFFLINE.into(), message: why.into(), ..Failure::default() };
                from.send_json(Kind::Failed, handle, correlation, &failure);
            }
        };
        let Some(transmit) = message::Transmit::read(payload) else {
            return refuse("malformed transmit: 8 bytes of connection, then the bytes");
        };
        let link = {
            let state = self.0.lock();
            let gone = !state.up || transmit.connection != state.connection;
            if transmit.connection != 0 && gone {
                drop(state);
                return refuse("the connection these bytes were meant for is gone");
            }
            state.link.clone()
        };
        let Some(link) = link else { return refuse("this module has no device") };
        let receipt = (correlation != 0).then(|| {
            let from = from.clone();
            Box::new(move |sent: Result<(), connections::Error>| match sent {
                Ok(()) => from.send(Kind::Done, handle, correlation, &[]),
                Err(error) => {
                    let failure = Failure {
                        code: code::OFFLINE.into(),
                        message: error.to_string(),
                        ..Failure::default()
                    };
                    from.send_json(Kind::Failed, handle, correlation, &failure);
                }
            }) as connections::Receipt
        });
        link.transmit(Bytes::copy_from_slice(transmit.bytes), receipt);
    }

    /// Drops a connection because the driver asks for that.
    pub(crate) fn disconnect(&self, payload: &[u8]) {
        let Some(message::Disconnect { connection, reason }) = message::Disconnect::read(payload) else {
            return;
        };
        let state = self.0.lock();
        let link = state.link.clone().filter(|_| connection == 0 || connection == state.connection);
        drop(state);
        if let Some(link) = link {
            link.disconnect(reason);
        }
    }
}

impl State {
    fn leave(&mut self) {
        self.asked = None;
        self.place = None;
        self.open = false;
    }
}

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
        let number = match next {
            connections::State::Up { connection, .. } if !state.makebreak => Some(*connection),
            _ => None,
        };
        let news = (up != state.up || (up && number != state.link_connection)).then_some(up);
        if news == Some(true) {
            state.connection += 1;
            state.held = BytesMut::new();
        }
        state.up = up;
        state.link_connection = number;
        state.last = Some(next.clone());
        if let Some(place) = &state.place {
            if news == Some(true) {
                let up = LinkUp { connection: state.connection, ..LinkUp::default() };
                place.channel.send_json(Kind::LinkUp, place.handle, 0, &up);
            } else if news == Some(false) || next.reason().is_some() {
                place.tell_down(next);
            }
        }
        // With the wire locked, so that whoever takes the link away has the last word.
        self.entry.set_status(&self.shared, status::CONNECTED, Some(if up { "true" } else { "false" }));
        drop(state);
        match (news, next) {
            (Some(true), _) => self.entry.say(&self.shared, Level::Info, "connected"),
            (_, connections::State::Down { detail, .. }) => {
                self.entry.say(&self.shared, Level::Warn, &format!("not connected: {detail}"));
            }
            _ => {}
        }
    }

    async fn received(&self, bytes: &[u8], _form: connections::Form) {
        loop {
            let (place, room) = match self.room(bytes.len()).await {
                Ok(found) => found,
                Err(ended) => return self.hold(bytes, ended.as_ref()),
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
            channel.out.push_received(handle, correlation, bytes, room);
            return;
        }
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

    fn hold(&self, bytes: &[u8], ended: Option<&Place>) {
        let mut state = self.entry.wire.0.lock();
        if let Some(place) = &state.place
            && ended.is_none_or(|ended| !Arc::ptr_eq(&ended.channel, &place.channel))
        {
            // It was put in another process in this very moment.
            place.channel.send(Kind::Received, place.handle, 0, bytes);
            return;
        }
        let room = self.shared.options.held_bytes.saturating_sub(state.held.len());
        state.held.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }
}
