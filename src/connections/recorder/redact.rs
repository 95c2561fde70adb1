//! Secrets are taken out of what goes by before it is kept.
//!
//! Each direction is searched as one stream, so that a secret is found however it is split. The last bytes of a direction that
//! are the beginning of a secret are *held*: kept here, out of the ring, until what follows shows what they are. Then they
//! go into the room that was reserved for them in the records they came in; the first three bytes of a secret as `*`, its
//! others not at all, so that a secret becomes `***` and does not show its length.
//!
//! ```text
//!            ┌─ shown ──────────────────────┐  no secret any more
//! byte ──▶ held (the longest beginning of a secret that the stream ends with)
//!            └─ `***` ◀─────────────────────┘  a secret is complete, or the stream ends with four of its bytes
//! ```
//!
//! The search is that of Knuth, Morris and Pratt for each pattern: two bytes of state each, and nothing at all to do for a byte
//! that begins none while nothing is held.

use super::ring::Ring;
use std::collections::VecDeque;

/// A shorter secret is none: it would be found everywhere by chance, and show by that what it is.
pub(super) const LEAST: usize = 4;
/// A longer one is a key or a certificate, which is found by its beginning.
const MOST: usize = 512;
pub(super) const MASK: &[u8] = b"***";

pub(super) struct Redactor {
    patterns: Vec<Pattern>,
    /// Bytes that a pattern begins with.
    begins: Box<[bool; 256]>,
    streams: [Stream; 3],
}

struct Pattern {
    bytes: Box<[u8]>,
    /// How many bytes still fit when, after one more than the index, another comes than the next.
    fallback: Box<[u16]>,
}

/// What bytes belong to: a direction, which is searched as one stream, or a message that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Sent,
    Received,
    Whole,
}

#[derive(Default)]
struct Stream {
    /// How many bytes of each pattern the stream ends with.
    matched: Vec<u16>,
    held: VecDeque<Held>,
    /// The records that bytes which are held came in.
    parts: VecDeque<Part>,
    /// Hidden bytes since the last one that was shown, as far as they matter.
    hidden: usize,
}

#[derive(Clone, Copy)]
struct Held {
    byte: u8,
    secret: bool,
}

struct Part {
    position: u64,
    left: usize,
}

impl Redactor {
    /// `secrets` of less than [`LEAST`] bytes are left out. None if nothing is left.
    pub(super) fn new(secrets: impl IntoIterator<Item = Vec<u8>>) -> Option<Self> {
        let mut begins = Box::new([false; 256]);
        let mut bytes: Vec<Vec<u8>> = secrets.into_iter().filter(|bytes| bytes.len() >= LEAST).collect();
        bytes.iter_mut().for_each(|bytes| bytes.truncate(MOST));
        bytes.sort_unstable();
        bytes.dedup();
        for first in bytes.iter().filter_map(|bytes| bytes.first()) {
            if let Some(begins) = begins.get_mut(usize::from(*first)) {
                *begins = true;
            }
        }
        let patterns: Vec<Pattern> = bytes.into_iter().map(Pattern::new).collect();
        let stream = || Stream { matched: vec![0; patterns.len()], ..Stream::default() };
        let streams = [stream(), stream(), stream()];
        (!patterns.is_empty()).then_some(Self { patterns, begins, streams })
    }

    /// Goes on where another one was, with other secrets: what it held is looked at again.
    pub(super) fn follow(&mut self, before: Option<Self>, ring: &mut Ring) {
        for (stream, old) in self.streams.iter_mut().zip(before.into_iter().flat_map(|before| before.streams))
        {
            (stream.parts, stream.hidden) = (old.parts, old.hidden);
            for held in old.held {
                stream.take(held, &self.patterns, ring);
            }
        }
    }

    /// Looks through the bytes of a record that has just been given room in the ring; `last` of a message.
    pub(super) fn feed(&mut self, flow: Flow, position: u64, bytes: &[u8], last: bool, ring: &mut Ring) {
        self.search(flow, position, bytes, ring);
        if last
            && flow == Flow::Whole
            && let Some(stream) = self.streams.get_mut(flow as usize)
        {
            stream.end(ring);
        }
    }

    fn search(&mut self, flow: Flow, position: u64, bytes: &[u8], ring: &mut Ring) {
        let Some(stream) = self.streams.get_mut(flow as usize) else { return };
        if bytes.is_empty() {
            return;
        }
        stream.parts.push_back(Part { position, left: bytes.len() });
        let mut rest = bytes;
        loop {
            if stream.held.is_empty() {
                let begins = |byte: &u8| self.begins.get(usize::from(*byte)).copied().unwrap_or(true);
                let harmless = rest.iter().position(begins).unwrap_or(rest.len());
                let (harmless, behind) = rest.split_at_checked(harmless).unwrap_or_default();
                stream.show(harmless, ring);
                rest = behind;
            }
            let Some((byte, behind)) = rest.split_first() else { return };
            stream.take(Held { byte: *byte, secret: false }, &self.patterns, ring);
            rest = behind;
        }
    }

    /// The streams end here. What is held is hidden if it could be told from chance.
    pub(super) fn end(&mut self, ring: &mut Ring) {
        self.streams.iter_mut().for_each(|stream| stream.end(ring));
    }

    /// Positions of the records that wait for bytes which are held, in each direction, oldest first.
    pub(super) fn waiting(&self) -> impl Iterator<Item = u64> {
        self.streams.iter().flat_map(|stream| stream.parts.iter().map(|part| part.position))
    }

    /// Text that is no part of a stream.
    pub(super) fn clean(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        // The longest first: one secret may be a part of another.
        let mut patterns: Vec<&[u8]> = self.patterns.iter().map(|pattern| &*pattern.bytes).collect();
        patterns.sort_by_key(|pattern| std::cmp::Reverse(pattern.len()));
        for pattern in patterns.into_iter().filter_map(|pattern| std::str::from_utf8(pattern).ok()) {
            if clean.contains(pattern) {
                clean = clean.replace(pattern, "***");
            }
        }
        clean
    }
}

impl Stream {
    /// Takes the next byte of the stream.
    fn take(&mut self, held: Held, patterns: &[Pattern], ring: &mut Ring) {
        let (mut depth, mut found) = (0, 0);
        for (pattern, matched) in patterns.iter().zip(&mut self.matched) {
            if pattern.step(matched, held.byte) {
                found = found.max(pattern.bytes.len());
            }
            depth = depth.max(usize::from(*matched));
        }
        self.held.push_back(held);
        for held in self.held.iter_mut().rev().take(found) {
            held.secret = true;
        }
        while self.held.len() > depth {
            let Some(held) = self.held.pop_front() else { return };
            self.decide(held, ring);
        }
    }

    /// The oldest byte that is held can be no part of a secret that is still to be found.
    fn decide(&mut self, held: Held, ring: &mut Ring) {
        if !held.secret {
            return self.show(&[held.byte], ring);
        }
        if self.hidden < MASK.len() {
            self.hidden += 1;
            self.put(b"*", 1, ring);
        } else {
            self.put(b"", 1, ring);
        }
    }

    fn end(&mut self, ring: &mut Ring) {
        let hide = self.held.len() >= LEAST;
        for held in std::mem::take(&mut self.held) {
            self.decide(Held { secret: held.secret || hide, ..held }, ring);
        }
        self.matched.fill(0);
        self.hidden = 0;
    }

    fn show(&mut self, bytes: &[u8], ring: &mut Ring) {
        if !bytes.is_empty() {
            self.hidden = 0;
            self.put(bytes, bytes.len(), ring);
        }
    }

    /// `bytes` stand for the next `count` bytes of the stream, all of which came in one record.
    fn put(&mut self, bytes: &[u8], count: usize, ring: &mut Ring) {
        let Some(part) = self.parts.front_mut() else { return };
        ring.append(part.position, bytes);
        part.left = part.left.saturating_sub(count);
        if part.left == 0 {
            self.parts.pop_front();
        }
    }
}

impl Pattern {
    fn new(bytes: Vec<u8>) -> Self {
        // The longest end of the first bytes that is also their beginning, for each count of bytes.
        let mut fallback: Vec<u16> = vec![0];
        let mut matched = 0_u16;
        for byte in bytes.iter().skip(1) {
            while matched > 0 && bytes.get(usize::from(matched)) != Some(byte) {
                matched = fallback.get(usize::from(matched) - 1).copied().unwrap_or(0);
            }
            matched += u16::from(bytes.get(usize::from(matched)) == Some(byte));
            fallback.push(matched);
        }
        Self { bytes: bytes.into(), fallback: fallback.into() }
    }

    /// Whether the pattern is complete with this byte. It is no more than begun again then.
    fn step(&self, matched: &mut u16, byte: u8) -> bool {
        let fallback = |length: u16| self.fallback.get(usize::from(length) - 1).copied().unwrap_or(0);
        while *matched > 0 && self.bytes.get(usize::from(*matched)) != Some(&byte) {
            *matched = fallback(*matched);
        }
        if self.bytes.get(usize::from(*matched)) == Some(&byte) {
            *matched += 1;
        }
        let complete = usize::from(*matched) == self.bytes.len();
        if complete {
            *matched = fallback(*matched);
        }
        complete
    }
}
