//! The checks that several resources share.

use std::collections::HashSet;
use std::net::IpAddr;
use std::str::FromStr;

use super::{Failure, INVALID, NOT_IN_LIST, REQUIRED, UNIQUE};

/// The reason of text that is no URI with a scheme and a host.
pub(super) const INVALID_URI: &str = "is an invalid URI";

/// How grave it is when a module fails, mildest first.
pub const ALERT_LEVELS: [&str; 4] = ["low", "medium", "high", "critical"];

pub(super) fn trim(text: &mut String) {
    let trimmed = text.trim();
    if trimmed.len() != text.len() {
        *text = trimmed.to_owned();
    }
}

/// Trims an optional text; a blank one is none.
pub(super) fn trim_option(text: &mut Option<String>) {
    if let Some(some) = text {
        trim(some);
        if some.is_empty() {
            *text = None;
        }
    }
}

/// Makes an ordered set of a list of texts: trimmed, without blanks, each once, at its first place.
pub(super) fn dedupe(texts: &mut Vec<String>) {
    texts.iter_mut().for_each(trim);
    let mut seen = HashSet::new();
    texts.retain(|text| !text.is_empty() && seen.insert(text.clone()));
}

/// What a resource breaks, as it is found.
#[derive(Default)]
pub(super) struct Failures(Vec<Failure>);

impl Failures {
    pub(super) fn add(&mut self, field: &str, reason: impl Into<String>) {
        self.0.push(Failure::new(field, reason));
    }

    /// Adds the failure unless `holds`.
    pub(super) fn check(&mut self, holds: bool, field: &str, reason: &str) {
        if !holds {
            self.add(field, reason);
        }
    }

    pub(super) fn required(&mut self, field: &str, text: &str) {
        self.check(!text.trim().is_empty(), field, REQUIRED);
    }

    pub(super) fn one_of(&mut self, field: &str, text: &str, list: &[&str]) {
        self.check(list.contains(&text), field, NOT_IN_LIST);
    }

    /// Blank is allowed.
    pub(super) fn uri(&mut self, field: &str, text: &str) {
        self.check(text.is_empty() || is_uri(text), field, INVALID_URI);
    }

    pub(super) fn timezone(&mut self, timezone: Option<&str>) {
        self.check(timezone.is_none_or(|name| chrono_tz::Tz::from_str(name).is_ok()), "timezone", INVALID);
    }

    pub(super) fn into_vec(self) -> Vec<Failure> {
        self.0
    }
}

/// Has it a scheme and a host?
pub fn is_uri(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| url.host_str().is_some_and(|host| !host.is_empty()))
}

/// Is it an IP address or a host name?
pub fn is_host(text: &str) -> bool {
    let (address, zone) = text.split_once('%').unwrap_or((text, "0"));
    if IpAddr::from_str(address).is_ok() {
        return !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_graphic());
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    // What consists of numbers only was meant as an address, and is none.
    let numeric = name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    name.len() <= 253 && !numeric && name.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=63).contains(&label.len())
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Is it a TCP or UDP port one can connect to?
pub fn is_port(port: i64) -> bool {
    (1..=65535).contains(&port)
}

/// The failure of `field` if one of `others` (id and value) that is not `id` itself has the same value.
/// Values are compared trimmed.
pub fn unique<'a>(
    field: &str,
    id: &str,
    value: &str,
    others: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Option<Failure> {
    let taken = others.into_iter().any(|(other, theirs)| other != id && theirs.trim() == value.trim());
    taken.then(|| Failure::new(field, UNIQUE))
}
