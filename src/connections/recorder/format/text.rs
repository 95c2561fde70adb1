//! For people: when, on which connection, which way, for which command, what.
//!
//! ```text
//! -- 2026-11-22, UTC --
//! 12:30:01.123456  1  up                  unix:/run/projector (no address)
//! 12:30:01.125012  1  sent      power     %1POWR 1\r
//! 12:30:01.126400  1  received  power     %1POWR=OK\r
//! ```
//!
//! What a terminal could take for an order is escaped, and so is the backslash.

use super::super::{Event, Record};
use crate::connections::Form;
use std::fmt::Write as _;

const DAY: u64 = 86_400_000_000;
/// Bytes in a line of hexadecimal digits.
const ROW: usize = 16;

pub(super) struct Text {
    hex: bool,
    /// The day that has been named last, counted from 1970.
    day: Option<u64>,
}

impl Text {
    pub(super) fn new(hex: bool) -> Self {
        Self { hex, day: None }
    }

    pub(super) fn record(&mut self, record: &Record, out: &mut Vec<u8>) {
        let mut line = String::new();
        let (day, micros) = (record.time / DAY, record.time % DAY);
        if self.day != Some(day) {
            self.day = Some(day);
            let (year, month, day) = civil(day);
            let _ = writeln!(line, "-- {year}-{month:02}-{day:02}, UTC --");
        }
        let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let (connection, word) = (record.connection, record.word());
        let command = record.command().unwrap_or_default();
        let _ = write!(
            line,
            "{hours:02}:{minutes:02}:{seconds:02}.{micros:06}  {connection}  {word:<8}  {command:<12}  "
        );
        match &record.event {
            Event::Up { address, peer, .. } => {
                let peer = peer.map(|peer| peer.to_string()).filter(|peer| peer != address);
                escape(address.as_bytes(), &mut line);
                let _ = peer.map(|peer| write!(line, " ({peer})"));
            }
            Event::Down { reason, detail } => {
                let between = if reason.is_empty() { "" } else { ": " };
                let _ = write!(line, "{reason}{between}");
                escape(detail.as_bytes(), &mut line);
            }
            Event::Sent(data) | Event::Received(data) => {
                let (count, more) = (data.bytes.len(), if data.more { ", goes on" } else { "" });
                let form = if data.form == Form::Text { " of text" } else { "" };
                if let Some(from) = data.from {
                    let _ = write!(line, "({from}) ");
                }
                if self.hex {
                    let _ = write!(line, "{count} bytes{form}{more}");
                    dump(&data.bytes, &mut line);
                } else {
                    escape(&data.bytes, &mut line);
                }
            }
        }
        line.truncate(line.trim_end_matches(' ').len());
        line.push('\n');
        out.extend_from_slice(line.as_bytes());
    }

    pub(super) fn missed(&self, count: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(
            format!("-- {count} records are missing: they came faster than they were read --\n").as_bytes(),
        );
    }
}

/// Year, month and day of the proleptic Gregorian calendar, by days since 1970-01-01
/// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// Appends text with everything escaped that is not to be seen.
fn escape(bytes: &[u8], line: &mut String) {
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '\r' => line.push_str("\\r"),
                '\n' => line.push_str("\\n"),
                '\t' => line.push_str("\\t"),
                '\\' => line.push_str("\\\\"),
                // Controls, and what turns the direction of writing.
                char if char.is_control() || ('\u{200b}'..='\u{206f}').contains(&char) => {
                    let _ = match u32::from(char) {
                        code @ 0..0x80 => write!(line, "\\x{code:02x}"),
                        code => write!(line, "\\u{{{code:x}}}"),
                    };
                }
                char => line.push(char),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(line, "\\x{byte:02x}");
        }
    }
}

fn dump(bytes: &[u8], line: &mut String) {
    for (row, bytes) in bytes.chunks(ROW).enumerate() {
        let _ = write!(line, "\n    {:04x} ", row * ROW);
        for at in 0..ROW {
            let _ = match bytes.get(at) {
                Some(byte) => write!(line, " {byte:02x}"),
                None => line.write_str("   "),
            };
        }
        line.push_str("  ");
        let seen = |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' };
        line.extend(bytes.iter().map(seen));
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Command, Data};
    use super::*;
    use std::net::SocketAddr;

    fn show(hex: bool, events: Vec<Event>) -> String {
        let (mut text, mut out) = (Text::new(hex), Vec::new());
        let times = (0..).map(|number| 1_795_350_601_123_456 + number * DAY / 2);
        for (event, time) in events.into_iter().zip(times) {
            text.record(&Record { number: 1, time, connection: 1, event }, &mut out);
        }
        text.missed(3, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn data(bytes: &[u8], command: Option<&str>) -> Data {
        let command = command.map(|name| Command { name: name.into(), call: 1 });
        Data { bytes: bytes.into(), form: Form::Bytes, more: false, command, from: None }
    }

    #[test]
    fn a_record_is_a_line_in_which_nothing_is_an_order_to_the_terminal() {
        let peer: SocketAddr = "10.0.0.9:4352".parse().unwrap();
        let text = show(
            false,
            vec![
                Event::Up { address: "projector:4352".into(), peer: Some(peer), datagrams: false },
                Event::Sent(data(b"%1POWR 1\r", Some("power"))),
                Event::Received(data("ä\x1b[2J\\\u{202e}\x7f\n".as_bytes(), None)),
                Event::Received(Data { from: Some(peer), ..data(b"\xff\xc3", None) }),
                Event::Down { reason: "closed".into(), detail: "projector:4352 closed".into() },
            ],
        );
        let expected = "\
-- 2026-11-22, UTC --
12:30:01.123456  1  up                      projector:4352 (10.0.0.9:4352)
-- 2026-11-23, UTC --
00:30:01.123456  1  sent      power         %1POWR 1\\r
12:30:01.123456  1  received                ä\\x1b[2J\\\\\\u{202e}\\x7f\\n
-- 2026-11-24, UTC --
00:30:01.123456  1  received                (10.0.0.9:4352) \\xff\\xc3
12:30:01.123456  1  down                    closed: projector:4352 closed
-- 3 records are missing: they came faster than they were read --
";
        assert_eq!(text, expected);
    }

    #[test]
    fn hexadecimal_stands_below() {
        let text = show(true, vec![Event::Sent(data(b"0123456789abcdef\r\n", None))]);
        let expected = "\
-- 2026-11-22, UTC --
12:30:01.123456  1  sent                    18 bytes
    0000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  0123456789abcdef
    0010  0d 0a                                            ..
";
        assert!(text.starts_with(expected), "{text}");
    }
}
