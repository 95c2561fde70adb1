//! The recording: JSON, one object a line, for reading back. Described in `docs/recording.md`, where its version is kept.

use super::{
    super::{Command, Data, Event, Record},
    About,
};
use crate::connections::Form;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, net::SocketAddr, sync::Arc};

/// What readers must know to understand a recording. Keys that are added do not change it.
pub const VERSION: u32 = 1;

/// A recording that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    pub about: About,
    pub items: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Record(Record),
    /// So many records are missing here.
    Missed(u64),
}

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "this is no recording: its first line must be like {{\"recording\":{VERSION},\"module\":\"mod-1\"}}, not: {0}"
    )]
    Head(String),
    #[error("this recording is of version {0}; this program reads version {VERSION}")]
    Version(u32),
    #[error("line {line} of the recording: {problem}")]
    Line { line: usize, problem: String },
}

#[derive(Serialize, Deserialize)]
struct Head<'a> {
    recording: u32,
    #[serde(flatten)]
    about: Cow<'a, About>,
    /// What secrets were replaced by.
    #[serde(default)]
    hidden: Cow<'a, str>,
    #[serde(default)]
    by: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    number: u64,
    time: u64,
    connection: u32,
    event: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    call: Option<u16>,
    /// `text` of a message of text; nothing: bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    form: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    /// Of bytes that are no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    more: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    peer: Option<SocketAddr>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    datagrams: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Missed {
    missed: u64,
}

/// The first line.
pub(super) fn head(about: &About, out: &mut Vec<u8>) {
    let by = concat!("headend ", env!("CARGO_PKG_VERSION")).into();
    let head = Head { recording: VERSION, about: Cow::Borrowed(about), hidden: "***".into(), by };
    write(&head, out);
    out.push(b'\n');
}

/// A record as an object, without the end of the line.
pub(super) fn record(record: &Record, out: &mut Vec<u8>) {
    let mut line = Line {
        number: record.number,
        time: record.time,
        connection: record.connection,
        event: record.word().into(),
        command: None,
        call: None,
        form: None,
        text: None,
        base64: None,
        more: false,
        address: None,
        peer: None,
        datagrams: false,
        reason: None,
        detail: None,
    };
    match &record.event {
        Event::Up { address, peer, datagrams } => {
            (line.address, line.peer, line.datagrams) = (Some(address.into()), *peer, *datagrams);
        }
        Event::Down { reason, detail } => {
            line.reason = (!reason.is_empty()).then(|| reason.into());
            line.detail = Some(detail.into());
        }
        Event::Sent(data) | Event::Received(data) => {
            line.command = data.command.as_ref().map(|command| command.name.clone());
            line.call = data.command.as_ref().map(|command| command.call);
            line.form = (data.form == Form::Text).then(|| "text".into());
            (line.more, line.peer) = (data.more, data.from);
            match readable(&data.bytes) {
                Some(text) => line.text = Some(text.into()),
                None => line.base64 = Some(STANDARD.encode(&data.bytes)),
            }
        }
    }
    write(&line, out);
}

/// Text that people can read in JSON.
fn readable(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let odd = |char: char| char.is_control() && !matches!(char, '\r' | '\n' | '\t' | '\x1b');
    (!text.contains(odd)).then_some(text)
}

fn write(value: &impl Serialize, out: &mut Vec<u8>) {
    // Writing to memory does not fail, and neither do these types.
    let _ = serde_json::to_writer(out, value);
}

/// Reads a recording. Empty lines, and keys that are unknown, are passed over.
pub fn read(text: &str) -> Result<Recording, Error> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let (_, first) = lines.next().ok_or_else(|| Error::Head("nothing".into()))?;
    let head: Head<'_> =
        serde_json::from_str(first).map_err(|_| Error::Head(first.chars().take(80).collect()))?;
    if head.recording != VERSION {
        return Err(Error::Version(head.recording));
    }
    let about = head.about.into_owned();
    let items = lines
        .map(|(at, line)| item(line).map_err(|problem| Error::Line { line: at + 1, problem }))
        .collect::<Result<_, _>>()?;
    Ok(Recording { about, items })
}

fn item(line: &str) -> Result<Item, String> {
    if let Ok(Missed { missed }) = serde_json::from_str(line) {
        return Ok(Item::Missed(missed));
    }
    let line: Line<'_> = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let data = |line: Line<'_>| {
        let bytes = match (line.text, line.base64) {
            (Some(text), None) => text.into_owned().into_bytes(),
            (None, Some(text)) => STANDARD.decode(text).map_err(|error| format!("base64: {error}"))?,
            (Some(_), Some(_)) => return Err("it has both text and base64".to_owned()),
            (None, None) => return Err("it has neither text nor base64".to_owned()),
        };
        let form = match line.form.as_deref() {
            None => Form::Bytes,
            Some("text") => Form::Text,
            Some(other) => return Err(format!("{other:?} is no form")),
        };
        let command = line.command.map(|name| Command { name, call: line.call.unwrap_or(0) });
        Ok(Data { bytes, form, more: line.more, command, from: line.peer })
    };
    let (number, time, connection) = (line.number, line.time, line.connection);
    let event = match &*line.event {
        "up" => Event::Up {
            address: line.address.unwrap_or_default().into_owned(),
            peer: line.peer,
            datagrams: line.datagrams,
        },
        "down" => Event::Down {
            reason: line.reason.unwrap_or_default().into_owned(),
            detail: line.detail.unwrap_or_default().into_owned(),
        },
        "sent" => Event::Sent(data(line)?),
        "received" => Event::Received(data(line)?),
        other => return Err(format!("{other:?} is no event")),
    };
    Ok(Item::Record(Record { number, time, connection, event }))
}

#[cfg(test)]
pub(in crate::connections::recorder) mod tests {
    use super::super::{Format, Writer};
    use super::*;
    use proptest::prelude::*;

    pub(in crate::connections::recorder) fn any_record() -> impl Strategy<Value = Record> {
        let command = prop::option::of(("[a-z_]{1,12}", any::<u16>()))
            .prop_map(|command| command.map(|(name, call)| Command { name: name.as_str().into(), call }));
        let bytes = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            "\\PC{0,20}\r\n".prop_map(|text: String| text.into_bytes()),
        ];
        let form = prop::sample::select(vec![Form::Bytes, Form::Text]);
        let peer =
            || prop::sample::select(vec![None, "10.1.2.3:23".parse().ok(), "[fe80::1]:4352".parse().ok()]);
        let data = (bytes, form, any::<bool>(), command, peer());
        let data =
            data.prop_map(|(bytes, form, more, command, from)| Data { bytes, form, more, command, from });
        let event = prop_oneof![
            ("\\PC{0,20}", peer(), any::<bool>()).prop_map(|(address, peer, datagrams)| Event::Up {
                address,
                peer,
                datagrams
            }),
            ("[a-z]{0,8}", "\\PC{0,30}").prop_map(|(reason, detail)| Event::Down { reason, detail }),
            data.clone().prop_map(Event::Sent),
            data.prop_map(Event::Received),
        ];
        (any::<u32>(), any::<u32>(), any::<u32>(), event).prop_map(|(number, time, connection, event)| {
            Record { number: number.into(), time: u64::from(time) * 500_000, connection, event }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(items in prop::collection::vec(
            prop_oneof![9 => any_record().prop_map(Item::Record), 1 => any::<u64>().prop_map(Item::Missed)], 0..20
        )) {
            let about = About { module: "mod-1".into(), name: "Display \"1\"".into(), driver: "PJLink".into() };
            let mut writer = Writer::new(Format::Recording, &about, false);
            for item in &items {
                match item {
                    Item::Record(record) => writer.record(record),
                    Item::Missed(count) => writer.missed(*count),
                }
            }
            let text = String::from_utf8(writer.finish()).unwrap();
            prop_assert_eq!(read(&text).unwrap(), Recording { about, items });
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let head = r#"{"recording":1,"module":"mod-1","new":true}"#;
        let sent = r#""number":1,"time":2,"connection":1,"event":"sent""#;
        for (text, said) in [
            ("", "this is no recording"),
            ("{}", "this is no recording"),
            (r#"{"recording":2,"module":"m"}"#, "of version 2"),
            (&format!("{head}\n\n{{}}"), "line 3 of the recording: missing field `number`"),
            (&format!("{head}\n{{{sent}}}"), "line 2 of the recording: it has neither text nor base64"),
            (&format!("{head}\n{{{sent},\"base64\":\"?\"}}"), "line 2 of the recording: base64"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        let good = format!("{head}\n{{{sent},\"text\":\"\",\"new\":[]}}\n");
        assert_eq!(read(&good).unwrap().items.len(), 1);
    }
}
