//! Whether a command is one that was recorded, though values in it are others, and what the answer to it is then.
//!
//! - Text: the same but for numbers (`12`, `-3`, `0.5`) and hexadecimal values of at least four digits (`00ff`, the parts of
//!   a UUID). Words are never taken for one another. In the answer, values that the recorded command has too are exchanged
//!   for those of the command now: to `VOL 30` that was `VOL 12`, answered with `VOL=12`, it is `VOL=30`.
//! - Bytes that are no text: of the same length, and the same but for bytes that the answer repeats at the same places, as
//!   it does with sequence numbers and addresses in headers; there the answer gets those of the command now.
//! - What was hidden in the recording may be anything.
//!
//! Lengths and checksums are not made anew.

use std::borrow::Cow;

use super::commands::find;
use super::{Exchange, HIDDEN, Said};

/// How many values are others; `None`: it is another command.
pub(super) fn differences(exchange: &Exchange, command: &[u8]) -> Option<usize> {
    let command = masked(&exchange.sent, command);
    if *command == exchange.sent {
        return Some(0);
    }
    match (text(&exchange.sent), text(&command)) {
        (Some(recorded), Some(now)) => {
            Some(values(recorded, now)?.iter().filter(|(old, new)| old != new).count())
        }
        _ => repeated(exchange, &command).map(|places| places.len()),
    }
}

/// What was received, with the values of this command.
pub(super) fn answer(exchange: &Exchange, command: &[u8]) -> Vec<Said> {
    let mut said = exchange.received.clone();
    let command = masked(&exchange.sent, command);
    if let (Some(recorded), Some(now)) = (text(&exchange.sent), text(&command)) {
        let values = values(recorded, now).unwrap_or_default();
        if values.iter().any(|(old, new)| old != new) {
            for said in &mut said {
                if let Some(replaced) = text(&said.bytes).map(|answer| replace(answer, &values)) {
                    said.bytes = replaced.into_bytes();
                }
            }
        }
    } else if let Some(first) = said.first_mut() {
        for (place, byte) in repeated(exchange, &command).unwrap_or_default() {
            if let Some(there) = first.bytes.get_mut(place) {
                *there = byte;
            }
        }
    }
    said
}

/// The places of bytes that are others, which the answer repeats; `None` if it does not repeat one of them.
fn repeated(exchange: &Exchange, command: &[u8]) -> Option<Vec<(usize, u8)>> {
    let answer = &exchange.received.first()?.bytes;
    if command.len() != exchange.sent.len() {
        return None;
    }
    let pairs = exchange.sent.iter().zip(command).enumerate().filter(|(_, (old, new))| old != new);
    pairs.map(|(place, (old, new))| (answer.get(place) == Some(old)).then_some((place, *new))).collect()
}

/// The values of a recorded text and of another that differs from it in nothing else, one beside the other.
fn values<'a>(recorded: &'a str, now: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
    let (recorded, now) = (pieces(recorded), pieces(now));
    if recorded.len() != now.len() {
        return None;
    }
    let mut values = Vec::new();
    for (old, new) in recorded.into_iter().zip(now) {
        let number = is_number(old) && is_number(new);
        let digits = |text: &str| text.bytes().any(|byte| byte.is_ascii_digit());
        let hex = is_hex(old) && is_hex(new) && (digits(old) || digits(new));
        match old == new {
            _ if number || hex => values.push((old, new)),
            true => {}
            false => return None,
        }
    }
    Some(values)
}

/// The answer with new values for old ones: as often as an old value stands in the command, one after the other, then the
/// last of them.
fn replace(answer: &str, values: &[(&str, &str)]) -> String {
    let mut left: Vec<_> = values.iter().collect();
    let mut new_text = String::with_capacity(answer.len());
    for piece in pieces(answer) {
        let new = match left.iter().position(|(old, _)| *old == piece) {
            Some(at) => Some(left.remove(at).1),
            None => values.iter().rev().find(|(old, _)| *old == piece).map(|(_, new)| *new),
        };
        new_text.push_str(new.unwrap_or(piece));
    }
    new_text
}

/// A text cut into numbers, hexadecimal values, words, and whatever else there is, character by character.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut rest, mut before) = (text, ' ');
    while let Some(first) = rest.chars().next() {
        let run = |rest: &str, fits: fn(char) -> bool| rest.find(|char| !fits(char)).unwrap_or(rest.len());
        let name = run(rest, |char| char.is_alphanumeric());
        let digit = |char: char| char.is_ascii_digit();
        let signed = first == '-' && !before.is_alphanumeric();
        let length = if let Some(hex) =
            rest.get(..name).filter(|name| is_hex(name) && !name.bytes().all(|byte| byte.is_ascii_digit()))
        {
            hex.len()
        } else if first.is_ascii_digit()
            || signed && rest.get(1..).is_some_and(|rest| rest.starts_with(digit))
        {
            let whole = 1 + run(rest.get(1..).unwrap_or_default(), |char| char.is_ascii_digit());
            let fraction = rest.get(whole..).and_then(|rest| rest.strip_prefix('.'));
            let fraction = fraction.map_or(0, |rest| run(rest, |char| char.is_ascii_digit()));
            if fraction > 0 { whole + 1 + fraction } else { whole }
        } else {
            run(rest, char::is_alphabetic).max(first.len_utf8())
        };
        let Some((piece, behind)) = rest.split_at_checked(length) else { break };
        before = piece.chars().next_back().unwrap_or(' ');
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

fn is_number(piece: &str) -> bool {
    piece.trim_start_matches('-').starts_with(|char: char| char.is_ascii_digit())
        && piece.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.'))
}

fn is_hex(piece: &str) -> bool {
    piece.len() >= 4 && piece.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let odd =
        |char: char| char.is_control() && !matches!(char, '\r' | '\n' | '\t' | '\x1b' | '\x02' | '\x03');
    (!text.contains(odd)).then_some(text)
}

/// The command with that hidden which the recorded one hides: up to what stands behind it there.
fn masked<'a>(recorded: &[u8], command: &'a [u8]) -> Cow<'a, [u8]> {
    let Some(at) = find(recorded, HIDDEN) else { return Cow::Borrowed(command) };
    let behind = recorded.get(at + HIDDEN.len()..).unwrap_or_default();
    let next = behind.get(..behind.len().min(3)).unwrap_or_default();
    let rest = command.get(at..).unwrap_or_default();
    let end = if next.is_empty() { Some(rest.len()) } else { find(rest, next) };
    let (Some(end), Some(before)) = (end, command.get(..at)) else { return Cow::Borrowed(command) };
    let after = masked(behind, rest.get(end..).unwrap_or_default());
    Cow::Owned([before, HIDDEN, &after].concat())
}
