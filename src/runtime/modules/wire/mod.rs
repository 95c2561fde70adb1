//! Between a module's link and its driver process: `requests` is what the driver asks of the link, `sink` what the link says.
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

mod held;
mod requests;
mod sink;

use std::sync::Arc;

use drivers_sdk_protocol::message::{self, LinkDown, LinkUp};
use drivers_sdk_protocol::{Kind, feature};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::connections::{self, Form, Link, Mode, Target};
use crate::runtime::host::channel::Channel;
use crate::runtime::host::pending::Outcome;
use crate::runtime::program::Program;

use held::Held;
pub(crate) use sink::ToModule;

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
    /// It has messages, which are never merged or cut.
    messages: bool,
    /// Whether TLS that is started on it verifies the device; none where that is no TLS.
    start_tls_verifies: Option<bool>,
    /// It is shared with other modules, which take turns.
    turns: bool,
    /// What the link last said.
    last: Option<connections::State>,
    up: bool,
    /// What its driver says of the device, where it knows better than the link.
    said: Option<Said>,
    /// Connections counted so far; the number of the one that is up, or that a make-break link makes next.
    connection: u64,
    /// The link's own number of that connection.
    link_connection: Option<u64>,
    held: Held,
    /// Bytes handed on since the module was last asked whether it has taken them.
    unasked: usize,
    asked: Option<oneshot::Receiver<Outcome>>,
}

/// Whether the device can be used, as its driver says, and why.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) connected: bool,
    pub(crate) why: Arc<str>,
}

impl Place {
    /// Tells the driver why it cannot reach its device, which is what its callers will read.
    fn tell_down(&self, state: &connections::State) {
        let reason = state.reason().map_or("connecting", connections::Reason::as_str);
        let detail = state.detail().unwrap_or_default().into();
        let down = LinkDown { reason: reason.into(), detail, connection: 0 };
        self.channel.send_json(Kind::LinkDown, self.handle, 0, &down);
    }

    /// Tells the driver that its make-break connection is over; the device counts as reachable.
    fn tell_ended(&self, next: u64) {
        let detail = "the connection ended before the device answered".to_owned();
        let ended =
            LinkDown { reason: connections::Reason::Closed.as_str().into(), detail, connection: next };
        self.channel.send_json(Kind::ConnectionEnded, self.handle, 0, &ended);
    }

    /// The kind of frame in which the driver is told what came.
    fn received(&self, form: Form) -> Kind {
        match form {
            Form::Text if self.channel.has(feature::SEND) => Kind::ReceivedText,
            _ => Kind::Received,
        }
    }
}

impl Wire {
    /// Puts the module in a process: `start` sends `Start` with the link as it is, then what was held follows.
    pub(crate) fn settle(&self, place: Place, start: impl FnOnce(Option<LinkUp>)) {
        let mut state = self.0.lock();
        state.said = None;
        start(state.up.then(|| state.link_up()));
        if let Some(last) = state.last.as_ref().filter(|last| !state.up && last.reason().is_some()) {
            place.tell_down(last);
        }
        for (form, bytes) in state.held.take() {
            place.channel.send(place.received(form), place.handle, 0, &bytes);
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
    pub(crate) fn expect(&self, target: &Target) {
        let mut state = self.0.lock();
        state.makebreak = matches!(target.mode, Mode::MakeBreak { .. });
        state.start_tls_verifies = target.start_tls_verifies();
        state.messages = target.address.messages();
        state.turns = target.address.turns();
    }

    /// Takes the link away, to be closed. What was held of it is dropped.
    pub(crate) fn take_link(&self) -> Option<Link> {
        let mut state = self.0.lock();
        state.held = Held::default();
        state.links += 1;
        state.up = false;
        state.said = None;
        state.last = None;
        state.link_connection = None;
        state.link.take()
    }

    /// What the link last said; `None` without a link.
    pub(crate) fn last(&self) -> Option<connections::State> {
        self.0.lock().last.clone()
    }

    /// What the driver says of its device, if it says something.
    pub(crate) fn said(&self) -> Option<Said> {
        self.0.lock().said.clone()
    }

    /// The driver says whether its device can be used. `show` is told what that makes it, unless this is late; with the
    /// wire locked, so that the last word is shown.
    pub(crate) fn say(&self, online: message::Online, show: impl FnOnce(bool)) {
        let mut state = self.0.lock();
        let late = online.connection != 0 && online.connection != state.connection;
        if late || state.place.is_none() {
            return;
        }
        let why = Arc::from(online.reason);
        state.said = online.connected.map(|connected| Said { connected, why });
        show(state.connected());
    }

    /// Shows whether the device can be used.
    pub(crate) fn show(&self, show: impl FnOnce(bool)) {
        let state = self.0.lock();
        show(state.connected());
    }

    /// Whether commands can be sent.
    pub(crate) fn is_up(&self) -> bool {
        self.0.lock().up
    }
}

impl State {
    /// Gives back the turn on a shared connection, so that a module that is gone holds nobody up.
    fn release(&self) {
        if let Some(link) = self.link.as_ref().filter(|_| self.turns) {
            link.release();
        }
    }

    fn leave(&mut self) {
        self.release();
        self.asked = None;
        self.place = None;
        self.open = false;
    }

    /// Whether the device can be used. Without a link it can while the module runs.
    fn connected(&self) -> bool {
        self.said.as_ref().map_or(self.up || self.link.is_none(), |said| said.connected)
    }

    fn link_up(&self) -> LinkUp {
        LinkUp { connection: self.connection, messages: self.messages, turns: self.turns }
    }
}
