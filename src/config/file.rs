//! The TOML file: typed reading, and which line a key stands on.

use std::net::SocketAddr;

use serde::{Deserialize, Deserializer, de::Error as _};
use toml::de::{DeTable, DeValue};

use super::{Config, Error};

/// Something wrong at a place: `config.toml:12: unknown field …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// File and line, an environment variable, or a flag. May be empty.
    pub place: String,
    pub message: String,
}

/// A file that has been read.
pub(super) struct Document<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

impl std::fmt::Display for Located {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.place.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.place, self.message)
        }
    }
}

impl Located {
    /// Something wrong in the file `name` with this `text`, at a byte offset.
    pub fn at(name: &str, text: &str, offset: usize, message: impl Into<String>) -> Self {
        let line = 1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
        Located { place: format!("{name}:{line}"), message: message.into() }
    }

    /// What the TOML reader refused.
    pub fn toml(name: &str, text: &str, error: &toml::de::Error) -> Self {
        Self::at(name, text, error.span().map_or(0, |span| span.start), plain(error.message()))
    }
}

impl Document<'_> {
    pub(super) fn parse(&self) -> Result<Config, Error> {
        toml::from_str(self.text).map_err(|error| Error::Refused(Located::toml(self.name, self.text, &error)))
    }

    /// Where `section.key` is written, if it is.
    pub(super) fn place(&self, section: &str, key: &str) -> Option<String> {
        let table = DeTable::parse(self.text).ok()?;
        let DeValue::Table(section) = table.get_ref().get(section)?.get_ref() else { return None };
        let span = section.iter().find(|(name, _)| name.get_ref() == key)?.0.span();
        Some(Located::at(self.name, self.text, span.start, "").place)
    }
}

/// Rust's type names mean nothing to the person who wrote the file.
pub(super) fn plain(message: &str) -> String {
    let mut message = message.trim().to_owned();
    for (from, to) in [
        ("expected usize", "expected a whole number, not negative"),
        ("expected u64", "expected a whole number, not negative"),
        ("expected u32", "expected a whole number, not negative"),
        ("expected u16", "expected a whole number from 0 to 65535"),
        ("expected i64", "expected a whole number"),
        ("expected a boolean", "expected true or false"),
        ("expected path string", "expected a path, in quotes"),
    ] {
        if message.ends_with(from) {
            message.truncate(message.len() - from.len());
            message.push_str(to);
        }
    }
    message
}

pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        D::Error::custom(format!("`{text}` is not an address and port, such as 127.0.0.1:8090 or [::]:8090"))
    })
}

pub(super) fn directives<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match tracing_subscriber::EnvFilter::try_new(&text) {
        Ok(_) if !text.trim().is_empty() => Ok(text),
        _ => Err(D::Error::custom(format!(
            "`{text}` is not a log level: expected error, warn, info, debug, trace, or directives such as \
             info,headend::connections=debug"
        ))),
    }
}
