//! What a failed test says: expected and seen side by side, what went over the wire before, and the driver's log.

use std::fmt::Write;

use super::daemon::State;
use crate::frame::Printable;

/// Bytes in a row of the comparison.
const ROW: usize = 8;
/// Rows and lines that are shown of what may be long.
const SHOWN: usize = 24;

/// Expected and seen side by side, as text and in hexadecimal.
pub(super) fn compare(expected: &[u8], seen: &[u8]) -> String {
    let mut out = format!("  expected {}\n  seen     {}\n", text(expected), text(seen));
    if seen.is_empty() {
        return out;
    }
    let column = ROW * 3 + 2 + ROW;
    let _ = writeln!(out, "\n         {:column$}   seen", "expected");
    let rows = expected.len().max(seen.len()).div_ceil(ROW);
    let row =
        |bytes: &[u8], at: usize| -> Vec<u8> { bytes.iter().skip(at * ROW).take(ROW).copied().collect() };
    // A long beginning that is equal says nothing.
    let first = (0..rows).find(|at| row(expected, *at) != row(seen, *at)).unwrap_or(0).saturating_sub(2);
    for at in (first..rows).take(SHOWN) {
        let (left, right) = (row(expected, at), row(seen, at));
        let mark = if left == right { ' ' } else { '>' };
        let _ = writeln!(out, "  {mark} {:04x} {:column$}   {}", at * ROW, dump(&left), dump(&right));
    }
    if rows > first + SHOWN {
        let _ = writeln!(out, "    … {} rows more", rows - first - SHOWN);
    }
    out
}

/// `4c 41  LA`.
fn dump(bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x} ")).collect();
    let visible = |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' };
    let text: String = bytes.iter().map(visible).collect();
    format!("{hex:width$} {text}", width = ROW * 3)
}

/// As a quoted string, or that there is nothing.
pub(super) fn text(bytes: &[u8]) -> String {
    if bytes.is_empty() { "nothing".into() } else { Printable(bytes).to_string() }
}

/// Why a test failed, with what led to it.
pub(super) fn report(why: &str, state: &State) -> String {
    let mut out = why.trim_end().to_owned();
    let wire = &state.transcript;
    section(&mut out, "on the wire (< from the device, > from the driver)", wire.len(), wire.iter());
    let log = state.log.iter().map(|(level, text)| format!("{}: {text}", level.as_str()));
    section(&mut out, "the driver's log", state.log.len(), log);
    out
}

fn section(out: &mut String, title: &str, count: usize, lines: impl Iterator<Item = impl AsRef<str>>) {
    if count == 0 {
        let _ = write!(out, "\n\n{title}: nothing");
        return;
    }
    let _ = write!(out, "\n\n{title}:");
    if count > SHOWN {
        let _ = write!(out, "\n  … {} before", count - SHOWN);
    }
    for line in lines.skip(count.saturating_sub(SHOWN)) {
        let _ = write!(out, "\n  {}", line.as_ref().replace('\n', "\n    "));
    }
}
