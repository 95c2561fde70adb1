//! Reading a recording for its exchanges. What is written, and what keys mean: `docs/recording.md`.

use std::time::Duration;

use serde::Deserialize;

use super::commands::{End, essence};
use super::{Exchange, PAUSE, Player, Said, Transport};
use crate::message::Form;

/// What is understood of recordings.
const VERSION: u32 = 1;

/// Why a recording cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It does not begin as a recording does.
    #[error(
        "this is no recording: its first line is not like {{\"recording\":{VERSION},…}}. `headend record MODULE --save FILE` makes one"
    )]
    Head,
    /// It is of another version.
    #[error("this recording is of version {0}, and version {VERSION} is what can be read")]
    Version(u32),
    /// A line that is not the last cannot be read.
    #[error("line {line} of the recording: {problem}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// Nothing was sent in it and nothing received.
    #[error(
        "there is nothing in the recording that could be played: nothing was sent or received while it was made"
    )]
    Empty,
}

#[derive(Deserialize)]
struct Head {
    recording: u32,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Line {
    time: u64,
    connection: u32,
    event: String,
    call: Option<u16>,
    form: Option<String>,
    text: Option<String>,
    base64: Option<String>,
    more: bool,
    datagrams: bool,
    address: String,
}

pub(super) fn read(text: &str) -> Result<Player, Error> {
    let mut lines = text.split_inclusive('\n').enumerate();
    let (_, first) = lines.next().ok_or(Error::Head)?;
    let head: Head = serde_json::from_str(first).map_err(|_| Error::Head)?;
    if head.recording != VERSION {
        return Err(Error::Version(head.recording));
    }
    let mut tape = Tape::default();
    for (at, line) in lines.filter(|(_, line)| line.ends_with('\n') && !line.trim().is_empty()) {
        let problem = |problem: String| Error::Line { line: at + 1, problem };
        let line: Line = serde_json::from_str(line).map_err(|error| problem(error.to_string()))?;
        tape.line(line).map_err(problem)?;
    }
    tape.player()
}

/// What has been read.
#[derive(Default)]
struct Tape {
    /// Number of the connection that the last record was of.
    connection: Option<u32>,
    greetings: Vec<Vec<Said>>,
    exchanges: Vec<Exchange>,
    /// When something was sent or received last.
    last: u64,
    /// The last of each direction goes on.
    sent_more: bool,
    received_more: bool,
    datagrams: bool,
    messages: bool,
}

impl Tape {
    fn line(&mut self, line: Line) -> Result<(), String> {
        self.datagrams |= line.datagrams;
        self.messages |= ["ws://", "wss://"].iter().any(|scheme| line.address.starts_with(scheme));
        let is_sent = line.event == "sent";
        if !is_sent && line.event != "received" {
            // `up`, `down`, or that records are missing.
            return Ok(());
        }
        if self.connection != Some(line.connection) {
            self.connection = Some(line.connection);
            self.greetings.push(Vec::new());
            (self.last, self.sent_more, self.received_more) = (line.time, false, false);
        }
        let bytes = match (line.text, line.base64) {
            (Some(text), _) => text.into_bytes(),
            (None, Some(text)) => decode(&text).ok_or("its base64 cannot be read")?,
            (None, None) => return Err("it has neither text nor base64".into()),
        };
        let form = if line.form.as_deref() == Some("text") { Form::Text } else { Form::Bytes };
        self.messages |= form == Form::Text;
        let after = Duration::from_micros(line.time.saturating_sub(self.last)).min(PAUSE);
        self.last = line.time;
        let connection = self.greetings.len() - 1;
        if is_sent {
            let more = std::mem::replace(&mut self.sent_more, line.more);
            match self.exchanges.last_mut().filter(|_| more) {
                Some(exchange) => exchange.sent.extend(bytes),
                None => {
                    let called = line.call.is_some();
                    let exchange = Exchange { connection, sent: bytes, called, received: Vec::new() };
                    self.exchanges.push(exchange);
                }
            }
            return Ok(());
        }
        let more = std::mem::replace(&mut self.received_more, line.more);
        let exchange = self.exchanges.last_mut().filter(|exchange| exchange.connection == connection);
        let place = exchange.map(|exchange| &mut exchange.received).or(self.greetings.last_mut());
        let Some(place) = place else { return Ok(()) };
        match place.last_mut().filter(|_| more) {
            Some(said) => said.bytes.extend(bytes),
            None => place.push(Said { after, form, bytes }),
        }
        Ok(())
    }

    fn player(self) -> Result<Player, Error> {
        if self.greetings.is_empty() {
            return Err(Error::Empty);
        }
        let transport = match (self.datagrams, self.messages) {
            (true, _) => Transport::Datagrams,
            (_, true) => Transport::Messages,
            _ => Transport::Stream,
        };
        let mut exchanges = self.exchanges;
        let end = End::of(&exchanges);
        if transport == Transport::Stream {
            exchanges = exchanges.into_iter().flat_map(|exchange| exchange.split(&end)).collect();
        }
        if matches!(end, End::Http) {
            exchanges.iter_mut().for_each(|exchange| exchange.sent = essence(&exchange.sent));
        }
        let greetings = self.greetings;
        Ok(Player { transport, end, greetings, exchanges, next: 0, connections: 0 })
    }
}

impl Exchange {
    /// Several commands that were sent at once; what was received is put down to the last.
    fn split(mut self, end: &End) -> Vec<Exchange> {
        let mut split = Vec::new();
        while let Some(length) = end.first(&self.sent).filter(|length| *length < self.sent.len()) {
            let sent = self.sent.drain(..length).collect();
            split.push(Exchange { sent, received: Vec::new(), ..self.clone() });
        }
        split.push(self);
        split
    }
}

/// RFC 4648, with padding.
fn decode(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        Some(match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        })
    };
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        bits = bits << 6 | u32::from(digit(byte)?);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(bytes)
}
