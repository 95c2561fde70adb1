//! The link to the device: what the daemon says of it, and what goes over it.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use drivers_sdk_protocol::message::{
    Disconnect, Form, Level, LinkDown, LinkUp, Online, Send, StartTls, Transmit,
};
use drivers_sdk_protocol::{Kind, feature};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Core;
use super::inbox::Arrived;
use crate::channel::{Pending, Request};
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::framing::{Fault, Framer, Framing};

/// The link to the device, as the daemon told it last.
#[derive(Debug)]
pub(crate) struct Link {
    /// Connect to send: a command may always be sent, and its answer says whether that worked.
    pub(crate) makebreak: bool,
    /// The connection, 0 while there is none.
    pub(crate) connection: Cell<u64>,
    /// It is shared: commands take turns with those of other modules.
    pub(crate) turns: Cell<bool>,
    /// It has messages, not a stream.
    messages: Cell<bool>,
    /// TLS begins: what still comes was not encrypted, and is nobody's.
    handshake: Cell<bool>,
    /// Why there is none.
    down: RefCell<Option<LinkDown>>,
    framer: RefCell<Framer>,
    /// When the frame under way ends if the device goes on being silent, and the task that waits for it.
    pub(super) silent_at: Cell<Option<Instant>>,
    pub(super) listener: Cell<u32>,
}

impl Link {
    pub(crate) fn new(makebreak: bool, framing: Framing) -> Link {
        Link {
            makebreak,
            connection: Cell::new(0),
            turns: Cell::new(false),
            messages: Cell::new(false),
            handshake: Cell::new(false),
            down: RefCell::new(None),
            framer: RefCell::new(Framer::new(framing)),
            silent_at: Cell::new(None),
            listener: Cell::new(0),
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.connection.get() != 0
    }

    /// A command can be sent, or the daemon connects for it.
    pub(crate) fn takes_commands(&self) -> bool {
        self.makebreak || self.is_up()
    }

    /// Makes a frame of a message.
    pub(super) fn encode<'a>(&self, message: &'a [u8]) -> Result<Cow<'a, [u8]>> {
        let mut framer = self.framer.borrow_mut();
        if framer.framing().splits(message) {
            let why = "a command cannot hold the end of a line: what follows would be another command";
            return Err(Error::bad_request(why));
        }
        framer.encode(message)
    }

    /// Another stream, or none: what was half read means nothing.
    fn reset(&self, connection: u64, down: Option<LinkDown>) -> u64 {
        self.down.replace(down);
        self.handshake.set(false);
        self.framer.borrow_mut().reset();
        self.connection.replace(connection)
    }
}

// === What the daemon says ===

impl Core {
    /// A connection is up.
    pub(crate) fn link_up(&self, up: &LinkUp) {
        self.link.reset(up.connection, None);
        self.link.messages.set(up.messages);
        self.link.turns.set(up.turns);
        if self.declaration.handlers.login && !self.link.makebreak {
            self.queue.close();
            // What the last connection said must not be taken for this one's greeting.
            self.empty_inbox();
        }
        self.queue.online();
    }

    /// The connection is gone: commands in flight fail at once. False if there was none.
    pub(crate) fn link_down(&self, why: LinkDown) -> bool {
        self.end_frame();
        let was_up = self.link.reset(0, Some(why)) != 0;
        self.require_login();
        self.queue.link_down(&self.offline(), self.link.makebreak);
        was_up
    }

    /// Make-break: a connection is over, and the next command makes another. What was sent on it fails at once.
    pub(crate) fn connection_ended(&self, why: &LinkDown) {
        self.end_frame();
        self.link.handshake.set(false);
        self.link.framer.borrow_mut().reset();
        if why.connection != 0 && self.link.is_up() {
            self.link.connection.set(why.connection);
        }
        self.require_login();
        let error = Error::offline(format!("{}: {}", self.name, why.detail));
        self.queue.connection_ended(&error, |transmit| !self.channel.waits(transmit));
    }

    /// Whether each connection has to be logged in to before the command that it is made for.
    pub(crate) fn logs_in_to_each(&self) -> bool {
        self.declaration.handlers.login && self.link.makebreak
    }

    /// Make-break: the next connection has to be logged in to, if this driver does that.
    pub(crate) fn require_login(&self) {
        if !self.logs_in_to_each() {
            return;
        }
        if self.queue.require_login() {
            return self.inbox.end();
        }
        // What a connection said before its login must not be taken for the greeting of the next one.
        for correlation in self.inbox.forget() {
            self.done(correlation);
        }
    }

    /// The error of a command that cannot reach the device.
    pub(crate) fn offline(&self) -> Error {
        Error::offline(match &*self.link.down.borrow() {
            Some(LinkDown { reason, detail, .. }) if detail.is_empty() => {
                format!("{} is offline: {reason}", self.name)
            }
            Some(LinkDown { detail, .. }) => format!("{} is offline: {detail}", self.name),
            None => format!("{} is offline: it has not been connected yet", self.name),
        })
    }

    /// What the device sent: replies go to the command in flight, everything else into the inbox.
    pub(crate) fn received(&self, bytes: &[u8], form: Form, acknowledge: u32) {
        if !self.link.handshake.get() {
            self.cut(bytes, form);
        }
        if acknowledge != 0 {
            let at_once = self.inbox.is_empty() || (self.queue.listens() && !self.inbox.is_full());
            if at_once { self.done(acknowledge) } else { self.inbox.push(Arrived::Acknowledge(acknowledge)) }
        }
    }

    /// A whole frame.
    fn take(&self, frame: &[u8], form: Form) {
        if !self.queue.offer(frame) {
            self.inbox.push(Arrived::Frame(Frame::of_form(frame, form)));
        }
    }

    /// The device is silent, or this is the end of its connection, which may end a frame.
    pub(crate) fn end_frame(&self) {
        self.link.framer.borrow_mut().end(|frame| self.take(frame, Form::Bytes));
    }

    /// What comes from now on is cut in another way, and what was half received is dropped.
    pub(crate) fn reframe(&self, framing: Framing) {
        self.link.framer.replace(Framer::new(framing));
    }

    fn cut(&self, bytes: &[u8], form: Form) {
        let take = |frame: &[u8]| self.take(frame, form);
        let messages = self.link.messages.get();
        let mut framer = self.link.framer.borrow_mut();
        let result = if messages { framer.push_message(bytes, take) } else { framer.push(bytes, take) };
        self.link.silent_at.set(framer.gap().map(|gap| Instant::now() + gap));
        let Err(fault) = result else { return };
        if matches!(fault, Fault::OutOfStep { .. }) {
            framer.reset();
        }
        drop(framer);
        let text = fault.to_string();
        self.log(Level::Warn, &text);
        if matches!(fault, Fault::OutOfStep { .. }) && !messages {
            self.disconnect(&text);
        }
    }
}

// === What the module sends ===

impl Core {
    /// Hands bytes to the connection that is up; on a make-break link, to whichever comes.
    pub(crate) fn transmit(&self, bytes: &[u8], form: Form, acknowledged: bool) -> Result<Option<Request>> {
        if self.is_over() {
            return Err(Error::stopped());
        }
        // On a make-break link whichever comes will do, unless it was connected to log in to.
        let connected = self.logs_in_to_each() && !self.link.messages.get() && !bytes.is_empty();
        let connects = self.link.makebreak && !connected;
        let connection = if connects { 0 } else { self.link.connection.get() };
        let call = self.tasks.call();
        let kind = if self.channel.has(feature::SEND) { Kind::Send } else { Kind::Transmit };
        let write = |out: &mut bytes::BytesMut| match kind {
            Kind::Send => Send { connection, call, form, bytes }.write(out),
            _ => Transmit { connection, bytes }.write(out),
        };
        if acknowledged {
            self.channel.request(kind, self.handle, write).map(Some)
        } else {
            self.channel.send(kind, self.handle, 0, write)?;
            Ok(None)
        }
    }

    /// Make-break: done when there is a connection. Sending nothing makes one; where that would be a message, whatever
    /// is sent first does.
    pub(crate) async fn connect(&self) -> Result {
        if self.link.messages.get() {
            return Ok(());
        }
        match self.transmit(&[], Form::Bytes, true)? {
            Some(connected) => connected.await.map(drop),
            None => Ok(()),
        }
    }

    /// Asks the daemon to make the connection anew.
    pub(crate) fn disconnect(&self, reason: &str) {
        self.give_up(Kind::Disconnect, self.link.connection.get(), reason);
    }

    /// As `disconnect`, because the device does not let this module in.
    pub(crate) fn login_failed(&self, reason: &str) {
        self.login_ended(self.link.connection.get(), &Error::device(reason));
    }

    /// `#[login]` failed on this connection, which may be over. A device that did not answer has refused nobody: it can be
    /// asked again soon.
    pub(crate) fn login_ended(&self, connection: u64, error: &Error) {
        let why = error.message();
        if error.is_timeout() {
            self.give_up(Kind::Disconnect, connection, &format!("the login was not answered: {why}"));
        } else if self.channel.has(feature::AUTH) {
            self.give_up(Kind::LoginFailed, connection, why);
        } else {
            self.give_up(Kind::Disconnect, connection, &format!("login failed: {why}"));
        }
    }

    /// Asks the daemon not to show `text` in what it records of this connection.
    pub(crate) fn hide(&self, text: &str) {
        if self.channel.has(feature::HIDE) && !self.is_over() {
            let _ =
                self.channel.send(Kind::Hide, self.handle, 0, |out| out.extend_from_slice(text.as_bytes()));
        }
    }

    /// Tells the daemon whether the device can be used, or that the link says it.
    pub(crate) fn online(&self, connected: Option<bool>, reason: &str) {
        let online = Online { connected, reason: reason.into(), connection: self.link.connection.get() };
        let said = self
            .has_feature(Kind::Online)
            .and_then(|()| self.channel.send_json(Kind::Online, self.handle, 0, &online));
        if let Err(error) = said {
            self.log(Level::Warn, &format!("`connected` is what the link says: {error}"));
        }
    }

    fn give_up(&self, kind: Kind, connection: u64, reason: &str) {
        if !self.is_over() {
            let _ =
                self.channel.send(kind, self.handle, 0, |out| Disconnect { connection, reason }.write(out));
        }
    }

    /// Asks the daemon to go on in TLS. What comes before its answer is dropped: whoever sits on the wire could have
    /// written it.
    pub(crate) fn start_tls(self: &Rc<Self>) -> Result<oneshot::Receiver<Result>> {
        let connection = self.link.connection.get();
        let (tell, told) = oneshot::channel();
        let core = self.clone();
        // Not a `Request`: the answer ends the handshake also if nobody waits for it any more.
        let pending = Pending::Then(Box::new(move |answer| {
            if core.link.connection.get() == connection {
                core.link.handshake.set(false);
            }
            let _ = tell.send(answer);
        }));
        self.has_feature(Kind::StartTls)?;
        let number = self.channel.register(pending);
        self.channel.send(Kind::StartTls, self.handle, number, |out| StartTls { connection }.write(out))?;
        self.link.handshake.set(true);
        self.link.framer.borrow_mut().reset();
        self.empty_inbox();
        Ok(told)
    }
}
