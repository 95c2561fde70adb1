//! The payloads that are not JSON, because they are frequent or because they are bytes. Integers are little-endian.

use bytes::{BufMut, BytesMut};
use serde::{Deserialize, Serialize};

/// Bytes for the device: `u64` connection, then the bytes as they go over the wire.
///
/// To keep the bytes without a copy, read the payload and take `payload.slice_ref(transmit.bytes)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// The [`LinkUp::connection`](super::LinkUp::connection) they are meant for; 0 means whichever is up.
    pub connection: u64,
    /// At least one byte.
    pub bytes: &'a [u8],
}

impl<'a> Transmit<'a> {
    /// Appends the payload to `out`.
    pub fn write(&self, out: &mut BytesMut) {
        out.put_u64_le(self.connection);
        out.put_slice(self.bytes);
    }

    /// Reads a payload; `None` if it is malformed.
    pub fn read(payload: &'a [u8]) -> Option<Transmit<'a>> {
        let (connection, bytes) = payload.split_first_chunk()?;
        Some(Transmit { connection: u64::from_le_bytes(*connection), bytes })
    }
}

/// In what form bytes go over the wire; the numbers are those of the channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Form {
    /// As they are; on a WebSocket, a binary message.
    #[default]
    Bytes = 0,
    /// A WebSocket's text message. Other kinds of connection send the text's bytes.
    Text = 1,
}

/// Bytes for the device: `u64` connection, `u32` call, one byte of form, then the bytes as they go over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Send<'a> {
    /// The [`LinkUp::connection`](super::LinkUp::connection) they are meant for; 0 means whichever is up.
    pub connection: u64,
    /// The correlation of the [`Call`](super::Call) they are sent for; 0 for none.
    pub call: u32,
    /// Their form.
    pub form: Form,
    /// At least one byte, unless the link has messages. As [`Form::Text`] they are UTF-8.
    pub bytes: &'a [u8],
}

impl<'a> Send<'a> {
    /// Appends the payload to `out`.
    pub fn write(&self, out: &mut BytesMut) {
        out.put_u64_le(self.connection);
        out.put_u32_le(self.call);
        out.put_u8(self.form as u8);
        out.put_slice(self.bytes);
    }

    /// Reads a payload; `None` if it is malformed.
    pub fn read(payload: &'a [u8]) -> Option<Send<'a>> {
        let (connection, rest) = payload.split_first_chunk()?;
        let (call, rest) = rest.split_first_chunk()?;
        let (form, bytes) = rest.split_first()?;
        let form = match form {
            0 => Form::Bytes,
            1 if std::str::from_utf8(bytes).is_ok() => Form::Text,
            _ => return None,
        };
        Some(Send {
            connection: u64::from_le_bytes(*connection),
            call: u32::from_le_bytes(*call),
            form,
            bytes,
        })
    }
}

/// Begins TLS on a connection: `u64` connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartTls {
    /// The [`LinkUp::connection`](super::LinkUp::connection) that goes on in TLS; 0 means whichever is up.
    pub connection: u64,
}

impl StartTls {
    /// Appends the payload to `out`.
    pub fn write(&self, out: &mut BytesMut) {
        out.put_u64_le(self.connection);
    }

    /// Reads a payload; `None` if it is malformed.
    pub fn read(payload: &[u8]) -> Option<StartTls> {
        let (connection, []) = payload.split_first_chunk()? else { return None };
        Some(StartTls { connection: u64::from_le_bytes(*connection) })
    }
}

/// Drops a connection: `u64` connection, then a UTF-8 reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// The [`LinkUp::connection`](super::LinkUp::connection) to drop; 0 means whichever is up.
    pub connection: u64,
    /// A sentence for a person.
    pub reason: &'a str,
}

impl<'a> Disconnect<'a> {
    /// Appends the payload to `out`.
    pub fn write(&self, out: &mut BytesMut) {
        out.put_u64_le(self.connection);
        out.put_slice(self.reason.as_bytes());
    }

    /// Reads a payload; `None` if it is malformed.
    pub fn read(payload: &'a [u8]) -> Option<Disconnect<'a>> {
        let (connection, reason) = payload.split_first_chunk()?;
        Some(Disconnect {
            connection: u64::from_le_bytes(*connection),
            reason: std::str::from_utf8(reason).ok()?,
        })
    }
}

/// A status value: `u16` length of the key, the key, then the JSON text of the value. No text removes the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status<'a> {
    /// The key.
    pub key: &'a str,
    /// JSON text; empty to remove the key.
    pub value: &'a str,
}

impl<'a> Status<'a> {
    /// Appends the payload to `out`. A key over 65 535 bytes is cut at a character.
    pub fn write(&self, out: &mut BytesMut) {
        let mut end = self.key.len().min(usize::from(u16::MAX));
        while !self.key.is_char_boundary(end) {
            end -= 1;
        }
        out.put_u16_le(end as u16);
        out.put_slice(self.key.as_bytes().get(..end).unwrap_or_default());
        out.put_slice(self.value.as_bytes());
    }

    /// Reads a payload; `None` if it is malformed. The value is not checked to be JSON.
    pub fn read(payload: &'a [u8]) -> Option<Status<'a>> {
        let (length, rest) = payload.split_first_chunk()?;
        let (key, value) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        Some(Status { key: std::str::from_utf8(key).ok()?, value: std::str::from_utf8(value).ok()? })
    }
}

/// Severity of a log line; the numbers are those of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Level {
    /// Every step.
    Trace = 0,
    /// For whoever mends the driver.
    Debug = 1,
    /// What happened.
    Info = 2,
    /// Unusual, and fine.
    Notice = 3,
    /// Something is wrong and was coped with.
    Warn = 4,
    /// Something failed.
    Error = 5,
    /// The module cannot go on.
    Fatal = 6,
}

impl Level {
    /// The level's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Notice => "notice",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Fatal => "fatal",
        }
    }

    fn from_number(number: u8) -> Level {
        match number {
            0 => Level::Trace,
            1 => Level::Debug,
            2 => Level::Info,
            3 => Level::Notice,
            4 => Level::Warn,
            5 => Level::Error,
            _ => Level::Fatal,
        }
    }
}

/// A log line: one byte of level, then UTF-8 text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log<'a> {
    /// Severity.
    pub level: Level,
    /// The text; may hold several lines.
    pub text: &'a str,
}

impl<'a> Log<'a> {
    /// Appends the payload to `out`.
    pub fn write(&self, out: &mut BytesMut) {
        out.put_u8(self.level as u8);
        out.put_slice(self.text.as_bytes());
    }

    /// Reads a payload; `None` if it is malformed.
    pub fn read(payload: &'a [u8]) -> Option<Log<'a>> {
        let (level, text) = payload.split_first()?;
        Some(Log { level: Level::from_number(*level), text: std::str::from_utf8(text).ok()? })
    }
}
