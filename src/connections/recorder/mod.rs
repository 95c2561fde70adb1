//! The flight recorder of a module: what went over its wire, as far back as a bounded memory reaches.
//!
//! ```text
//!   link ──sent, received, up, down──▶ redact ──▶ ring ──▶ records ──▶ text, hex, JSON, pcapng, a recording
//!                                        ▲                   ▲
//!   settings ──secrets──▶ hide ──────────┘                   └── followers, each at its own place
//! ```
//!
//! - Always on. A record costs a short lock and a copy; nothing is allocated once the ring has grown to what it needs, at
//!   most `recorder_bytes`. A module that has exchanged nothing has no more than the event that it is connected.
//! - The order is that of the wire: bytes are recorded with the lock held that they are handed to the system under
//!   ([`Recorder::sending`]), so that no answer comes before its question.
//! - Secrets never get into the ring, however they are split ([`redact`]). What is in it may be shown to whoever may read it.
//! - Readers copy what they want to see and look at it without the lock; they never hold up the wire.

pub mod commands;
mod follow;
pub mod format;
mod record;
mod redact;
mod ring;
mod secrets;
#[cfg(test)]
mod tests;

pub use commands::Call;
pub use follow::{Batch, Follower};
pub use record::{Command, Data, Event, Record};

use super::{Form, Payload, Reason};
use crate::secrets::Secret;
use parking_lot::{Mutex, MutexGuard};
use record::{DATAGRAMS, DOWN, FROM, MORE, RECEIVED, SENT, TEXT, UP};
use redact::{Flow, Redactor};
use ring::{Head, Place, Raw, Ring};
use std::{
    fmt::{self, Display},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU32, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::Notify;

/// One for each module, for as long as there is the module.
pub struct Recorder {
    tape: Mutex<Tape>,
    /// The tag of what was sent last, until its call is answered.
    command: AtomicU32,
    followers: AtomicUsize,
    news: Notify,
    closed: AtomicBool,
}

struct Tape {
    ring: Ring,
    redactor: Option<Box<Redactor>>,
    hidden: Option<Box<secrets::Hidden>>,
    connection: u32,
    /// How that began, which the ring may have lost.
    began: Option<Began>,
}

#[derive(Clone)]
struct Began {
    number: u64,
    head: Head,
    text: Box<str>,
}

/// The lock under which bytes are handed to the system.
pub(super) struct Sending<'a> {
    recorder: &'a Recorder,
    tape: Option<MutexGuard<'a, Tape>>,
    time: u64,
}

/// Where whole messages are recorded that go beside the link's stream, for a command.
#[derive(Clone, Copy)]
pub(super) struct Aside<'a> {
    recorder: &'a Recorder,
    command: u32,
}

// === impl Recorder ===

impl Recorder {
    /// `None` if there is no memory for it: it is switched off.
    pub fn new(bytes: usize) -> Option<Arc<Self>> {
        let tape = Tape { ring: Ring::new(bytes), redactor: None, hidden: None, connection: 0, began: None };
        (bytes > 0).then(|| {
            Arc::new(Self {
                tape: Mutex::new(tape),
                command: AtomicU32::new(0),
                followers: AtomicUsize::new(0),
                news: Notify::new(),
                closed: AtomicBool::new(false),
            })
        })
    }

    /// These, and those before, are hidden from now on. Those of less than 4 bytes are not.
    pub fn hide(&self, secrets: Vec<Secret>) {
        let mut tape = self.tape.lock();
        if (!secrets.is_empty() || tape.hidden.is_some()) && tape.hidden.get_or_insert_default().set(secrets)
        {
            tape.redact();
        }
    }

    /// Something that the driver has made of a secret is hidden too, as long as there is this connection.
    pub fn hide_also(&self, secret: Secret) {
        let mut tape = self.tape.lock();
        if tape.hidden.get_or_insert_default().add(secret) {
            tape.redact();
        }
    }

    /// The module is gone: followers come to an end.
    pub fn close(&self) {
        self.closed.store(true, Release);
        self.news.notify_waiters();
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Acquire)
    }

    fn answered(&self, tag: u32) {
        let _ = self.command.compare_exchange(tag, 0, AcqRel, Relaxed);
    }

    /// Tells followers, without the lock.
    fn tell(&self) {
        if self.followers.load(Relaxed) > 0 {
            self.news.notify_waiters();
        }
    }
}

// === impl Recorder: for its link ===

impl Recorder {
    /// A connection was made.
    pub(super) fn up(&self, address: &impl Display, peer: Option<SocketAddr>, datagrams: bool) {
        let mut tape = self.tape.lock();
        tape.end();
        tape.connection = tape.connection.saturating_add(1);
        let peer = peer.map_or_else(|| "-".to_owned(), |peer| peer.to_string());
        tape.event(if datagrams { UP | DATAGRAMS } else { UP }, &format!("{peer} {address}"));
        drop(tape);
        self.tell();
    }

    /// The connection ended. No reason: it had served its purpose.
    pub(super) fn down(&self, reason: Option<Reason>, detail: Option<&str>) {
        self.command.store(0, Relaxed);
        let mut tape = self.tape.lock();
        tape.end();
        let reason = reason.map_or("", Reason::as_str);
        tape.event(DOWN, &format!("{reason} {}", detail.unwrap_or("closed on this side")));
        if tape.hidden.as_mut().is_some_and(|hidden| hidden.end()) {
            tape.redact();
        }
        drop(tape);
        self.tell();
    }

    /// To be held while bytes are handed to the system.
    pub(super) fn sending(&self) -> Sending<'_> {
        Sending { recorder: self, tape: Some(self.tape.lock()), time: now() }
    }

    /// For what is exchanged beside the link's stream.
    pub(super) fn aside(&self, command: u32) -> Aside<'_> {
        Aside { recorder: self, command }
    }

    /// The system gave these bytes. `from`: of a datagram that is not from the connection's peer.
    pub(super) fn received(&self, form: Form, bytes: &[u8], from: Option<SocketAddr>) {
        let time = now();
        let command = self.command.load(Acquire);
        self.tape.lock().data(RECEIVED | text(form), Flow::Received, time, command, bytes, from);
        self.tell();
    }
}

impl Aside<'_> {
    pub(super) fn sent(self, message: &[u8]) {
        self.record(SENT, message);
    }

    pub(super) fn received(self, message: &[u8]) {
        self.record(RECEIVED, message);
    }

    /// The most bytes that one part of an exchange should take, so that it leaves something of what was before.
    pub(super) fn share(self) -> usize {
        self.recorder.tape.lock().ring.limit() / 4
    }

    fn record(self, kind: u8, message: &[u8]) {
        self.recorder.tape.lock().data(kind, Flow::Whole, now(), self.command, message, None);
        self.recorder.tell();
    }
}

impl Sending<'_> {
    /// The system, or a connection that is more than a socket, took so many bytes of a payload.
    pub(super) fn sent(&mut self, payload: &Payload, count: usize) {
        let Payload { bytes, form, command, .. } = payload;
        self.recorder.command.store(*command, Release);
        if let Some(tape) = &mut self.tape {
            let bytes = bytes.get(..count).unwrap_or(bytes);
            tape.data(SENT | text(*form), Flow::Sent, self.time, *command, bytes, None);
        }
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.tape = None;
        self.recorder.tell();
    }
}

// === impl Recorder: for readers ===

impl Recorder {
    /// Everything that is kept, oldest first.
    pub fn records(&self) -> Vec<Record> {
        self.read(Place::START, false).0
    }

    /// How the connection began that is, or was the last to be, up; the ring may have lost that.
    pub fn connection(&self) -> Option<Record> {
        let Began { number, head, text } = self.tape.lock().began.clone()?;
        let place = Place { number, ..Place::START };
        Some(Record::read(&Raw { place, head, bytes: text.as_bytes() }, false))
    }

    /// Follows from the oldest record on that is kept.
    pub fn follow(self: &Arc<Self>) -> Follower {
        let (place, ..) = self.tape.lock().ring.since(Place::START);
        Follower::new(self.clone(), place)
    }

    /// The records from `place` on, with `whole` only those before the first that waits; the place behind them; how many
    /// had gone before; whether there are more, which wait.
    fn read(&self, place: Place, whole: bool) -> (Vec<Record>, Place, u64, bool) {
        let tape = self.tape.lock();
        let mut next = tape.ring.now();
        let (from, copy, missed) = tape.ring.since(place);
        let waiting: Vec<u64> = tape.redactor.iter().flat_map(|redactor| redactor.waiting()).collect();
        drop(tape);
        let mut records = Vec::new();
        let mut waits = false;
        for raw in ring::records(from, &copy) {
            let incomplete = waiting.contains(&raw.place.position);
            if incomplete && whole {
                (next, waits) = (raw.place, true);
                break;
            }
            records.push(Record::read(&raw, incomplete));
        }
        (records, next, missed, waits)
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorder")
    }
}

// === impl Tape ===

impl Tape {
    fn data(
        &mut self,
        kind: u8,
        flow: Flow,
        time: u64,
        command: u32,
        bytes: &[u8],
        from: Option<SocketAddr>,
    ) {
        let origin = from.map(record::address);
        let (origin, known) = origin.as_ref().map_or((&[][..], 0), |origin| (&origin[..], FROM));
        let mut rest = bytes;
        loop {
            let (piece, behind) = rest.split_at_checked(self.ring.piece()).unwrap_or((rest, &[]));
            let more = if behind.is_empty() { 0 } else { MORE };
            let kind = kind | known | more;
            let head = Head { time, command, connection: self.connection, kind };
            if self.redactor.is_none() && origin.is_empty() {
                self.ring.push(head, piece);
            } else {
                let position = self.ring.reserve(head, origin.len() + piece.len());
                self.ring.append(position, origin);
                match &mut self.redactor {
                    None => self.ring.append(position, piece),
                    Some(redactor) => {
                        redactor.feed(flow, position, piece, behind.is_empty(), &mut self.ring);
                    }
                }
            }
            if behind.is_empty() {
                return;
            }
            rest = behind;
        }
    }

    fn event(&mut self, kind: u8, text: &str) {
        let clean = self.redactor.as_ref().map(|redactor| redactor.clean(text));
        let text = clean.as_deref().unwrap_or(text);
        let text = text.get(..text.floor_char_boundary(self.ring.piece())).unwrap_or_default();
        let head = Head { time: now(), command: 0, connection: self.connection, kind };
        if kind != DOWN {
            self.began = Some(Began { number: self.ring.now().number, head, text: text.into() });
        }
        self.ring.push(head, text.as_bytes());
    }

    /// What comes next is no part of the streams so far.
    fn end(&mut self) {
        if let Some(redactor) = &mut self.redactor {
            redactor.end(&mut self.ring);
        }
    }

    /// What is hidden has changed.
    fn redact(&mut self) {
        let before = self.redactor.take().map(|redactor| *redactor);
        match Redactor::new(self.hidden.iter().flat_map(|hidden| hidden.forms())) {
            Some(mut redactor) => {
                redactor.follow(before, &mut self.ring);
                self.redactor = Some(Box::new(redactor));
            }
            None => {
                if let Some(mut before) = before {
                    before.end(&mut self.ring);
                }
            }
        }
    }
}

fn text(form: Form) -> u8 {
    if form == Form::Text { TEXT } else { 0 }
}

/// Unix microseconds.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs().saturating_mul(1_000_000).saturating_add(since.subsec_micros().into())
}
