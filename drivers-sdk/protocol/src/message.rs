//! The payloads of frames. All are JSON but those of [`binary`], which a busy driver sends by the thousand, and those of
//! [`exchange`], which are JSON with bytes behind it.
//!
//! Fields that a version does not know are ignored and optional ones that are absent take their default, so either
//! side may be newer than the other. JSON that only passes through (arguments, results, status values) stays raw text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub mod binary;
pub mod exchange;

pub use binary::{Disconnect, Form, Level, Log, Send, StartTls, Status, Transmit};
pub use exchange::{Headed, HttpRequest, HttpResponse, SshExec, SshOutput};

/// Opens the channel: what the daemon speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Oldest and newest protocol version the daemon speaks.
    pub versions: (u16, u16),
    /// Optional features the daemon offers, by name.
    #[serde(default)]
    pub features: Vec<String>,
    /// The daemon's name and version, for logs.
    #[serde(default)]
    pub daemon: String,
}

/// Answers [`Hello`]: what both will use. A driver that shares no version says [`Kind::Goodbye`](crate::Kind::Goodbye).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The version the channel uses from now on: the newest both speak.
    pub version: u16,
    /// The offered features that the driver will use.
    #[serde(default)]
    pub features: Vec<String>,
    /// The SDK's name and version, for logs.
    #[serde(default)]
    pub sdk: String,
}

/// Runs a module. The frame's `module` is the handle that names it until it stops or fails; a channel never uses a
/// handle twice.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Start {
    /// The module's id (`mod-…`).
    pub id: String,
    /// The name it is found by in its system, e.g. `Display`.
    pub name: String,
    /// Its merged settings: a JSON object.
    pub settings: Box<RawValue>,
    /// The system of a logic module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<System>,
    /// The link connects to send, then disconnects: transmit at any time, the answer says whether it worked.
    #[serde(default, skip_serializing_if = "is_false")]
    pub makebreak: bool,
    /// The link, if it is up at this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkUp>,
}

/// The system of a logic module, as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// Its id (`sys-…`).
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// How many modules of each name it has: `{"Display": 2}`.
    #[serde(default)]
    pub modules: BTreeMap<String, u32>,
    /// Which of the other modules implement an interface, by name and index, in the system's order:
    /// `{"Powerable": [["Display", 1], ["Lights", 1]]}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub interfaces: BTreeMap<String, Vec<(String, u32)>>,
    /// IANA name of the time zone that it is in: its own, or else that of the last of its zones that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
}

/// New merged settings for a running module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// A JSON object.
    pub settings: Box<RawValue>,
}

/// The link is up. A make-break link counts as up while the device can be reached when needed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkUp {
    /// Counts the connections of this module since the daemon started, from 1. [`Transmit`] and [`Disconnect`] name
    /// it, so that what was meant for a connection that is gone never reaches the next one.
    pub connection: u64,
    /// The link has messages (UDP, WebSocket), not a stream of bytes: each [`Received`](crate::Kind::Received) is exactly
    /// one, which may be empty, and each [`Transmit`] or [`Send`] becomes one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub messages: bool,
    /// The connection is shared with other modules: take a turn before asking the device for something.
    #[serde(default, skip_serializing_if = "is_false")]
    pub turns: bool,
}

/// The link is down; commands in flight have failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkDown {
    /// A word programs can rely on: `refused`, `timeout`, `dns`, `unreachable`, `reset`, `closed`, …
    pub reason: String,
    /// A sentence for a person.
    #[serde(default)]
    pub detail: String,
    /// In [`ConnectionEnded`](crate::Kind::ConnectionEnded): the number of the connection that comes next.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub connection: u64,
}

/// Whether the device can be used, where the driver knows better than the link. It holds until the driver says otherwise,
/// another connection comes up, or the module ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Online {
    /// Absent: as the link says again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected: Option<bool>,
    /// Why, as a sentence for a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The [`LinkUp::connection`] it is said of: if that is not the one that is up, it is late. 0 for whichever is.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub connection: u64,
}

/// Calls a function of a module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call<'a> {
    /// The function's name.
    #[serde(borrow)]
    pub function: Cow<'a, str>,
    /// A JSON array of positional arguments, or an object of named ones.
    #[serde(borrow)]
    pub args: &'a RawValue,
    /// Id of the user who calls, if a user does.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Cow<'a, str>>,
}

/// Why a request failed, or a module ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A word programs can rely on: see [`code`].
    pub code: String,
    /// A sentence for a person.
    pub message: String,
    /// HTTP-like number for the caller; 0 means the code's default.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub status: u16,
    /// File, line and column of a panic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Backtrace of a panic, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backtrace: Vec<String>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_zero<N: Default + PartialEq>(number: &N) -> bool {
    *number == N::default()
}

/// The codes that the daemon and the SDK give failures. A driver may add its own.
pub mod code {
    /// The function does not exist.
    pub const UNKNOWN_FUNCTION: &str = "unknown_function";
    /// The arguments or settings do not have the shape declared.
    pub const BAD_REQUEST: &str = "bad_request";
    /// The link is down, or went down while the command was in flight.
    pub const OFFLINE: &str = "offline";
    /// No answer in time.
    pub const TIMEOUT: &str = "timeout";
    /// The device refused, or answered something unexpected.
    pub const DEVICE: &str = "device";
    /// A newer command of the same name replaced this one, or the queue was cleared.
    pub const REPLACED: &str = "replaced";
    /// The driver returned an error of its own.
    pub const DRIVER: &str = "driver";
    /// The driver panicked.
    pub const PANIC: &str = "panic";
    /// The module stopped, or its process ended.
    pub const STOPPED: &str = "stopped";
    /// No such module.
    pub const NOT_FOUND: &str = "not_found";
    /// The make-break connection that bytes were meant for is over. Nothing was sent.
    pub const ENDED: &str = "ended";
}

/// Changes one of the module's own settings, durably.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SaveSetting<'a> {
    /// Top-level key.
    #[serde(borrow)]
    pub key: Cow<'a, str>,
    /// Its new value.
    #[serde(borrow)]
    pub value: &'a RawValue,
}

/// Calls a function of another module, found by system, name and index.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CallModule<'a> {
    /// System id; absent for the caller's own.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub system: Option<Cow<'a, str>>,
    /// Module name, e.g. `Display`.
    #[serde(borrow)]
    pub module: Cow<'a, str>,
    /// Index among the modules of that name, from 1.
    pub index: u32,
    /// The function's name.
    #[serde(borrow)]
    pub function: Cow<'a, str>,
    /// JSON array or object of arguments.
    #[serde(borrow)]
    pub args: &'a RawValue,
    /// Correlation of the `Call` that the caller is working on, whose deadline is then this call's too; 0 for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub call: u32,
}

/// A status value of another module, found by system, name and index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusOf {
    /// System id; absent for the asker's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Module name.
    pub module: String,
    /// Index among the modules of that name, from 1.
    pub index: u32,
    /// Status key.
    pub key: String,
}

/// Says something to whoever monitors a channel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Publish<'a> {
    /// The channel's name, of at most [`MAX_CHANNEL`](crate::MAX_CHANNEL) bytes. Channels are the daemon's, not a system's.
    #[serde(borrow)]
    pub channel: Cow<'a, str>,
    /// JSON of at most [`MAX_PUBLISHED`](crate::MAX_PUBLISHED) bytes.
    #[serde(borrow)]
    pub value: &'a RawValue,
}

/// Hears a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Monitor {
    /// The channel's name.
    pub channel: String,
}
