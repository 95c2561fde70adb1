//! Frames: a 16-byte little-endian header and a payload.
//!
//! ```text
//! 0        4      6      8          12            16
//! ┌────────┬──────┬──────┬──────────┬─────────────┬───────────┐
//! │ length │ kind │ zero │ module   │ correlation │ payload … │
//! │ u32    │ u16  │ u16  │ u32      │ u32         │ length B  │
//! └────────┴──────┴──────┴──────────┴─────────────┴───────────┘
//! ```
//!
//! `module` is the handle the daemon gave the module in [`Kind::Start`]; 0 addresses the process itself.
//! `correlation` pairs a request with its answer, which carries the same `module`. Each side numbers its own requests,
//! from 1; 0 asks for no answer. Numbers wrap: skip 0 and those still in use (requests unanswered, subscriptions).
//! A receiver ignores kinds it does not know, so that a later version can add some; a request of such a kind is only
//! sent where both sides agreed on the feature it belongs to.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{MAX_PAYLOAD, feature};

/// Bytes in a header.
pub const HEADER: usize = 16;

macro_rules! kinds {
    ($(#[$attributes:meta])* pub enum Kind { $($(#[$doc:meta])* $name:ident = $number:literal,)* }) => {
        $(#[$attributes])*
        pub enum Kind { $($(#[$doc])* $name = $number,)* }

        impl Kind {
            /// Every kind, for tests and documentation.
            pub const ALL: &'static [Kind] = &[$(Kind::$name),*];

            /// The kind with this number, if this version knows it.
            pub fn from_number(number: u16) -> Option<Kind> {
                match number {
                    $($number => Some(Kind::$name),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
/// What a frame is. The comment says who sends it, what the payload is and how it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
#[non_exhaustive]
pub enum Kind {
    /// Daemon, first frame: [`message::Hello`](crate::message::Hello). Answered by [`Kind::Welcome`].
    Hello = 1,
    /// Driver, first frame: [`message::Welcome`](crate::message::Welcome).
    Welcome = 2,
    /// Daemon: are you alive? Answered by [`Kind::Pong`] with the same correlation.
    Ping = 3,
    /// Driver: yes.
    Pong = 4,
    /// Daemon: stop every module and exit. End-of-file on the channel means the same.
    Shutdown = 5,
    /// Either: the sender closes the channel; UTF-8 reason.
    Goodbye = 6,

    /// Daemon: run a module; [`message::Start`](crate::message::Start). Answered by [`Kind::Done`] or [`Kind::Failed`].
    Start = 16,
    /// Daemon: end the module. Its calls still in flight are answered first, then this by [`Kind::Done`], the last
    /// frame of that handle. A driver that does not know the handle (the module just failed) answers `Done` too.
    Stop = 17,
    /// Daemon: new merged settings; [`message::Settings`](crate::message::Settings). Answered by `Done` or `Failed`.
    Settings = 18,
    /// Driver: the module ended by itself; [`message::Failure`](crate::message::Failure). The last frame of that
    /// handle, but for answers to requests that were under way: those fail with `stopped`.
    ModuleFailed = 19,
    /// Daemon, logic modules: the modules of the system changed; [`message::System`](crate::message::System).
    System = 20,

    /// Daemon: the link to the device is up; [`message::LinkUp`](crate::message::LinkUp).
    LinkUp = 32,
    /// Daemon: the link is down; [`message::LinkDown`](crate::message::LinkDown).
    LinkDown = 33,
    /// Daemon: bytes from the device, in order, as they came (not framed). With a correlation, answered by `Done`
    /// once the module has taken them and all before them: the daemon asks now and then, and stops reading from a
    /// device whose module lags.
    Received = 34,
    /// Driver: bytes for a connection; [`message::Transmit`](crate::message::Transmit) (binary). With a correlation,
    /// answered by `Done` once the operating system has taken them, or `Failed`; without one a failure is reported
    /// by [`Kind::LinkDown`] alone.
    Transmit = 35,
    /// Driver: drop a connection and make another; [`message::Disconnect`](crate::message::Disconnect) (binary).
    Disconnect = 36,
    /// Driver, feature [`SEND`](feature::SEND): as [`Kind::Transmit`], and says for which call and in what form;
    /// [`message::Send`](crate::message::Send) (binary). Answered like `Transmit`.
    Send = 37,
    /// Daemon, feature [`SEND`](feature::SEND): a WebSocket's text message; UTF-8. Everything else is as for
    /// [`Kind::Received`].
    ReceivedText = 38,
    /// Driver, feature [`STARTTLS`](feature::STARTTLS): go on in TLS; [`message::StartTls`](crate::message::StartTls)
    /// (binary). Answered by `Done` when the handshake is over, or `Failed`.
    StartTls = 39,
    /// Driver, feature [`HTTP`](feature::HTTP): an HTTP request; [`message::Headed`](crate::message::Headed) with a
    /// [`message::HttpRequest`](crate::message::HttpRequest) and the body. Answered by `Done` with a
    /// [`message::HttpResponse`](crate::message::HttpResponse) and the body, or `Failed`.
    Http = 40,
    /// Driver, feature [`SSH`](feature::SSH): run a command; [`message::SshExec`](crate::message::SshExec). Answered by
    /// `Done` with a [`message::SshOutput`](crate::message::SshOutput) and what it wrote, or `Failed`.
    SshExec = 41,
    /// Driver, feature [`TURNS`](feature::TURNS): the module wants its turn on a connection that it shares. Answered by
    /// `Done` when it has it, or `Failed`.
    Acquire = 42,
    /// Driver, feature [`TURNS`](feature::TURNS): the module gives its turn back, or does not wait for it any more.
    Release = 43,
    /// Driver, feature [`AUTH`](feature::AUTH): as [`Kind::Disconnect`], because the device refused the login.
    LoginFailed = 44,
    /// Driver, feature [`HIDE`](feature::HIDE): what the daemon records of the wire is not to show this as long as the
    /// connection lasts; UTF-8.
    Hide = 45,
    /// Daemon, make-break links: the connection is over, and the device still counts as reachable;
    /// [`message::LinkDown`](crate::message::LinkDown) says why. What was sent on it and not answered will not be.
    ConnectionEnded = 46,
    /// Driver, feature [`ONLINE`](feature::ONLINE): whether the device can be used, where the link does not tell;
    /// [`message::Online`](crate::message::Online).
    Online = 47,

    /// Daemon: call a function; [`message::Call`](crate::message::Call).
    /// Answered by [`Kind::Done`] with the JSON result, or [`Kind::Failed`].
    Call = 48,
    /// Daemon: nobody waits for the call of this correlation any more: stop working on it. An answer is ignored.
    Cancel = 49,

    /// Either: the request of this correlation succeeded; JSON result (empty means `null`).
    Done = 64,
    /// Either: it failed; [`message::Failure`](crate::message::Failure).
    Failed = 65,

    /// Driver: a status value; [`message::Status`](crate::message::Status) (binary).
    Status = 80,
    /// Driver: a log line; [`message::Log`](crate::message::Log) (binary).
    Log = 81,
    /// Driver: change one of the module's own settings; [`message::SaveSetting`](crate::message::SaveSetting).
    /// Answered by `Done` once it is on disk, or `Failed`; new [`Kind::Settings`] follow.
    SaveSetting = 82,

    /// Driver: call another module; [`message::CallModule`](crate::message::CallModule). Answered by `Done` with the
    /// JSON result, or `Failed`.
    CallModule = 96,
    /// Driver: read another module's status value; [`message::StatusOf`](crate::message::StatusOf). Answered by
    /// `Done` with the value, or nothing but `Done` if it has none.
    ReadStatus = 97,
    /// Driver: follow another module's status value; [`message::StatusOf`](crate::message::StatusOf). Answered by
    /// `Done`; then one [`Kind::Notify`] with the same correlation for the current value and for every change, also
    /// when another module takes that name and index. A module that does not exist has no values.
    Subscribe = 98,
    /// Driver: end the subscription of this correlation. No answer; a `Notify` already under way is ignored.
    Unsubscribe = 99,
    /// Daemon: the JSON value of the subscription of this correlation; empty means that there is none now.
    Notify = 100,
    /// Driver, feature [`CHANNELS`](feature::CHANNELS): says something to whoever monitors a channel;
    /// [`message::Publish`](crate::message::Publish). No answer.
    Publish = 101,
    /// Driver, feature [`CHANNELS`](feature::CHANNELS): hear a channel; [`message::Monitor`](crate::message::Monitor).
    /// Answered by `Done`; then one [`Kind::Notify`] with the same correlation for every value published from now on, until
    /// [`Kind::Unsubscribe`].
    Monitor = 102,
}
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The number of the kind; kept as a number so that unknown kinds can be skipped.
    pub kind: u16,
    /// Module handle; 0 for the process.
    pub module: u32,
    /// Pairs a request with its answer; 0 for none.
    pub correlation: u32,
}

/// A frame as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its header.
    pub header: Header,
    /// What it carries; the kind says how to read it.
    pub payload: Bytes,
}

/// Why a channel cannot go on. The receiver says so in a [`Kind::Goodbye`] and closes this channel, nothing else.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// A header announced more than the limit.
    #[error("frame of {length} bytes (kind {kind}, module {module}) is over the limit of {limit} bytes")]
    TooLarge {
        /// Announced payload length, bytes.
        length: usize,
        /// The limit in force, bytes.
        limit: usize,
        /// The kind's number.
        kind: u16,
        /// The module's handle.
        module: u32,
    },
    /// The reserved bytes of a header were not zero: the stream is out of step.
    #[error("malformed frame header: reserved bytes are {0:#06x}, not zero")]
    Malformed(u16),
}

/// Appends a frame to `out`.
///
/// A payload over [`MAX_PAYLOAD`] is refused and `out` is left as it was: the peer would close the channel.
pub fn encode(
    out: &mut BytesMut,
    kind: Kind,
    module: u32,
    correlation: u32,
    payload: &[u8],
) -> Result<(), Error> {
    encode_with(out, kind, module, correlation, |out| out.put_slice(payload))
}

/// Appends a frame whose payload `write` appends to the buffer it is given, without a copy in between.
pub fn encode_with(
    out: &mut BytesMut,
    kind: Kind,
    module: u32,
    correlation: u32,
    write: impl FnOnce(&mut BytesMut),
) -> Result<(), Error> {
    let start = out.len();
    out.put_bytes(0, 4);
    out.put_u16_le(kind as u16);
    out.put_u16_le(0);
    out.put_u32_le(module);
    out.put_u32_le(correlation);
    write(out);
    let length = out.len().saturating_sub(start + HEADER);
    match u32::try_from(length) {
        Ok(prefix) if length <= MAX_PAYLOAD => {
            if let Some(place) = out.get_mut(start..start + 4) {
                place.copy_from_slice(&prefix.to_le_bytes());
            }
            Ok(())
        }
        _ => {
            out.truncate(start);
            Err(Error::TooLarge { length, limit: MAX_PAYLOAD, kind: kind as u16, module })
        }
    }
}

/// Takes frames out of a byte stream.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder { limit: MAX_PAYLOAD }
    }
}

impl Decoder {
    /// A decoder that refuses payloads of more than `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Decoder { limit }
    }

    /// The next whole frame at the front of `buffer`, which it consumes; `None` if more bytes are needed.
    ///
    /// The payload shares the buffer's memory: copy what is kept for long, or it keeps the whole buffer.
    /// After an error the stream has no meaning any more: close it.
    pub fn decode(&self, buffer: &mut BytesMut) -> Result<Option<Frame>, Error> {
        let Some((header, payload)) = self.peek(buffer)? else { return Ok(None) };
        let length = payload.len();
        buffer.advance(HEADER);
        Ok(Some(Frame { header, payload: buffer.split_to(length).freeze() }))
    }

    /// The header and payload of the frame at the front of `buffer`, which is `HEADER + payload.len()` bytes long;
    /// `None` if more bytes are needed. For a reader that handles frames in place, without a reference count.
    pub fn peek<'a>(&self, buffer: &'a [u8]) -> Result<Option<(Header, &'a [u8])>, Error> {
        let Some((mut front, rest)) = buffer.split_at_checked(HEADER) else { return Ok(None) };
        let length = front.get_u32_le() as usize;
        let kind = front.get_u16_le();
        let reserved = front.get_u16_le();
        let module = front.get_u32_le();
        let correlation = front.get_u32_le();
        if reserved != 0 {
            return Err(Error::Malformed(reserved));
        }
        if length > self.limit {
            return Err(Error::TooLarge { length, limit: self.limit, kind, module });
        }
        Ok(rest.get(..length).map(|payload| (Header { kind, module, correlation }, payload)))
    }
}

impl Kind {
    /// The feature that both sides must have named before a frame of this kind is sent.
    pub fn feature(self) -> Option<&'static str> {
        match self {
            Kind::Send | Kind::ReceivedText => Some(feature::SEND),
            Kind::StartTls => Some(feature::STARTTLS),
            Kind::Http => Some(feature::HTTP),
            Kind::SshExec => Some(feature::SSH),
            Kind::Acquire | Kind::Release => Some(feature::TURNS),
            Kind::LoginFailed => Some(feature::AUTH),
            Kind::Hide => Some(feature::HIDE),
            Kind::Online => Some(feature::ONLINE),
            Kind::Publish | Kind::Monitor => Some(feature::CHANNELS),
            _ => None,
        }
    }
}

impl Header {
    /// The kind, or `None` for one that this version does not know and must ignore.
    pub fn kind(&self) -> Option<Kind> {
        Kind::from_number(self.kind)
    }
}

impl Frame {
    /// The kind, or `None` for one that this version does not know and must ignore.
    pub fn kind(&self) -> Option<Kind> {
        self.header.kind()
    }
}
