//! Payloads that are JSON with bytes behind it: requests the daemon makes for a driver, and their answers.

use bytes::{BufMut, BytesMut};
use serde::{Deserialize, Serialize};

/// `u32` length of the head (little-endian), the head as JSON, then bytes that it speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headed<'a> {
    /// JSON text.
    pub head: &'a [u8],
    /// What comes after it.
    pub body: &'a [u8],
}

impl<'a> Headed<'a> {
    /// Appends the payload to `out`. One over [`MAX_PAYLOAD`](crate::MAX_PAYLOAD) is no frame, so the length fits.
    pub fn write(&self, out: &mut BytesMut) {
        out.put_u32_le(self.head.len() as u32);
        out.put_slice(self.head);
        out.put_slice(self.body);
    }

    /// Reads a payload; `None` if it is malformed. The head is not checked to be JSON.
    pub fn read(payload: &'a [u8]) -> Option<Headed<'a>> {
        let (length, rest) = payload.split_first_chunk()?;
        let (head, body) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        Some(Headed { head, body })
    }
}

/// An HTTP request; its body comes after it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRequest {
    /// `GET`, `POST`, ….
    pub method: String,
    /// An absolute URL, or a path below the module's base URI.
    pub url: String,
    /// Name and value of each header, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// How long the whole exchange may take, milliseconds; absent for the module's setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// The correlation of the [`Call`](super::Call) it is made for; 0, or absent, for none.
    #[serde(default, skip_serializing_if = "is_none")]
    pub call: u32,
}

fn is_none(call: &u32) -> bool {
    *call == 0
}

/// What came back; its body comes after it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpResponse {
    /// 200, 404, ….
    pub status: u16,
    /// Name and value of each header, in order. What is not text in a value is replaced by U+FFFD.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
}

/// A command for the shell of an SSH server, in a channel of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshExec {
    /// As the server's shell reads it.
    pub command: String,
    /// How long it may take, milliseconds; absent for the module's setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// The correlation of the [`Call`](super::Call) it is run for; 0, or absent, for none.
    #[serde(default, skip_serializing_if = "is_none")]
    pub call: u32,
}

/// How a command ended. What it wrote comes after it: standard output, then standard error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshOutput {
    /// Its exit status; absent if it ended by a signal, or the server does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u32>,
    /// The signal that ended it, such as `TERM`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// How many of the bytes are standard output.
    pub stdout: u64,
}
