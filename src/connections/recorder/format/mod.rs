//! How records are shown and kept: for people as text, for programs as JSON, for Wireshark as pcapng, and as a recording that
//! can be read back.

pub mod pcapng;
pub mod recording;
mod text;

use super::Record;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON array; while following, an object a line.
    Json,
    /// A line for each record.
    Text,
    /// As text, with the bytes below in hexadecimal.
    Hex,
    /// For Wireshark and its like.
    Pcapng,
    /// For reading back.
    Recording,
}

/// What is recorded, and by whom: for the heads of files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The module's id, its name, and its driver's.
    pub module: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub driver: String,
}

/// Writes records in one format, to memory.
pub struct Writer {
    format: Inner,
    out: Vec<u8>,
}

enum Inner {
    /// Whether it is an array, and has no item yet.
    Json {
        array: bool,
        first: bool,
    },
    Text(text::Text),
    Pcapng(pcapng::Pcapng),
    Recording,
}

impl Format {
    pub const ALL: [(&'static str, Self); 5] = [
        ("json", Self::Json),
        ("text", Self::Text),
        ("hex", Self::Hex),
        ("pcapng", Self::Pcapng),
        ("recording", Self::Recording),
    ];

    /// `following`: JSON comes line by line.
    pub fn media_type(self, following: bool) -> &'static str {
        match self {
            Self::Json if following => "application/jsonl",
            Self::Json => "application/json",
            Self::Text | Self::Hex => "text/plain; charset=utf-8",
            Self::Pcapng => "application/x-pcapng",
            Self::Recording => "application/jsonl",
        }
    }
}

impl FromStr for Format {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|(known, _)| *known == word).map(|(_, format)| format).ok_or(())
    }
}

impl Writer {
    /// Begins with what stands before all records. `following`: there is no end to come.
    pub fn new(format: Format, about: &About, following: bool) -> Self {
        let mut out = Vec::new();
        let format = match format {
            Format::Json if following => Inner::Json { array: false, first: true },
            Format::Json => {
                out.push(b'[');
                Inner::Json { array: true, first: true }
            }
            Format::Text => Inner::Text(text::Text::new(false)),
            Format::Hex => Inner::Text(text::Text::new(true)),
            Format::Pcapng => Inner::Pcapng(pcapng::Pcapng::new(about, &mut out)),
            Format::Recording => {
                recording::head(about, &mut out);
                Inner::Recording
            }
        };
        Self { format, out }
    }

    pub fn record(&mut self, record: &Record) {
        let out = &mut self.out;
        match &mut self.format {
            Inner::Json { array, first } => {
                if *array && !std::mem::take(first) {
                    out.push(b',');
                }
                recording::record(record, out);
                if !*array {
                    out.push(b'\n');
                }
            }
            Inner::Text(text) => text.record(record, out),
            Inner::Pcapng(pcapng) => pcapng.record(record, out),
            Inner::Recording => {
                recording::record(record, out);
                out.push(b'\n');
            }
        }
    }

    /// A record that is not to be shown, but that others which are may need: how their connection began.
    pub fn context(&mut self, record: &Record) {
        if let Inner::Pcapng(pcapng) = &mut self.format {
            pcapng.context(record);
        }
    }

    /// So many records are missing here.
    pub fn missed(&mut self, count: u64) {
        match &mut self.format {
            // What is missing from an array is missing before its first item, whose number says so.
            Inner::Json { array: true, .. } => {}
            Inner::Json { .. } | Inner::Recording => {
                self.out.extend_from_slice(format!("{{\"missed\":{count}}}\n").as_bytes());
            }
            Inner::Text(text) => text.missed(count, &mut self.out),
            Inner::Pcapng(pcapng) => pcapng.missed(count),
        }
    }

    /// What has been written since the last time.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// There are no more records; the rest.
    pub fn finish(mut self) -> Vec<u8> {
        if let Inner::Json { array: true, .. } = self.format {
            self.out.push(b']');
        }
        self.out
    }
}
