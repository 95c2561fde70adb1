//! The memory of a recorder: records one behind the other, the oldest of which make room for the newest.
//!
//! It grows by doubling from nothing to its limit, and allocates nothing from then on. A record may be given its room first
//! and its bytes later ([`Ring::reserve`], [`Ring::append`]): what of the room is never used stays empty.

use std::collections::VecDeque;

/// What stands before the bytes of a record.
const HEAD: usize = 21;
/// Where in it the room and the bytes in use are.
const ROOM: usize = 16;
const USED: usize = 18;
/// First allocation: the event that a link is up, and a little more.
const LEAST: usize = 256;

pub(super) struct Ring {
    bytes: VecDeque<u8>,
    limit: usize,
    /// Bytes that have left so far: a position is where a byte would be if none ever left.
    start: u64,
    /// Number of the oldest record.
    first: u64,
    /// Number of the record to come.
    next: u64,
}

/// Everything of a record but its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Unix microseconds.
    pub(super) time: u64,
    pub(super) command: u32,
    pub(super) connection: u32,
    pub(super) kind: u8,
}

/// A place between two records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) position: u64,
    /// Of the record that begins there.
    pub(super) number: u64,
}

impl Place {
    /// Before the first record of all.
    pub(super) const START: Self = Self { position: 0, number: 1 };
}

/// A record as it is in the ring.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Raw<'a> {
    pub(super) place: Place,
    pub(super) head: Head,
    pub(super) bytes: &'a [u8],
}

impl Ring {
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: VecDeque::new(), limit, start: 0, first: 1, next: 1 }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// The most bytes that one record should have: four always fit.
    pub(super) fn piece(&self) -> usize {
        ((self.limit - self.spare()) / 4).saturating_sub(HEAD).clamp(1, 32 * 1024)
    }

    /// So much more room than is wanted is made at once: what is oldest has long left the processor's caches.
    fn spare(&self) -> usize {
        self.limit / 16
    }

    /// Appends a record; more bytes than fit into a record are left out.
    pub(super) fn push(&mut self, head: Head, bytes: &[u8]) {
        let room = self.open(head, bytes.len(), true);
        self.bytes.extend(bytes.get(..room.into()).unwrap_or(bytes));
    }

    /// Appends a record without bytes, and room for some; returns its position.
    pub(super) fn reserve(&mut self, head: Head, room: usize) -> u64 {
        let position = self.end();
        let room = self.open(head, room, false);
        self.bytes.extend(std::iter::repeat_n(0, room.into()));
        // The oldest made room for it, and it is the youngest: it is there.
        position
    }

    fn open(&mut self, head: Head, room: usize, used: bool) -> u16 {
        let room = u16::try_from(room.min(self.limit.saturating_sub(HEAD))).unwrap_or(u16::MAX);
        self.make_room(HEAD + usize::from(room));
        // In two pieces, not in twenty-one: this is done for whatever goes over a wire.
        let Head { time, command, connection, kind } = head;
        let front = u128::from(time) | u128::from(command) << 64 | u128::from(connection) << 96;
        self.bytes.extend(&front.to_le_bytes());
        let ([a, b], [c, d]) = (room.to_le_bytes(), if used { room } else { 0 }.to_le_bytes());
        self.bytes.extend(&[a, b, c, d, kind]);
        self.next += 1;
        room
    }

    fn make_room(&mut self, wanted: usize) {
        if self.bytes.len() + wanted > self.limit {
            let (spare, mut length) = (self.spare(), 0);
            while self.bytes.len() - length + wanted + spare > self.limit && self.first < self.next {
                length = (length + HEAD + usize::from(self.number(length + ROOM))).min(self.bytes.len());
                self.first += 1;
            }
            self.bytes.drain(..length);
            self.start += length as u64;
        }
        let needed = self.bytes.len() + wanted;
        if needed > self.bytes.capacity() {
            let capacity = needed.max(2 * self.bytes.capacity()).max(LEAST).min(self.limit.max(needed));
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
    }

    /// Adds bytes to a record that has room for them, if it is still there.
    pub(super) fn append(&mut self, position: u64, bytes: &[u8]) {
        let Some(at) = position.checked_sub(self.start).and_then(|at| usize::try_from(at).ok()) else {
            return;
        };
        let (room, used) = (self.number(at + ROOM), self.number(at + USED));
        let fits = bytes.len().min(usize::from(room.saturating_sub(used)));
        let from = at + HEAD + usize::from(used);
        for (to, byte) in self.bytes.range_mut(from..from + fits).zip(bytes) {
            *to = *byte;
        }
        let used = used.saturating_add(u16::try_from(fits).unwrap_or(0)).to_le_bytes();
        for (to, byte) in self.bytes.range_mut(at + USED..at + USED + used.len()).zip(used) {
            *to = byte;
        }
    }

    fn number(&self, at: usize) -> u16 {
        let byte = |at: usize| self.bytes.get(at).copied().unwrap_or(0);
        u16::from_le_bytes([byte(at), byte(at + 1)])
    }

    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// The place behind the youngest record.
    pub(super) fn now(&self) -> Place {
        Place { position: self.end(), number: self.next }
    }

    /// A copy of everything from `place` on, the place where it begins, and how many records had left before that.
    pub(super) fn since(&self, place: Place) -> (Place, Vec<u8>, u64) {
        let from = match place.position.checked_sub(self.start) {
            Some(_) => place,
            None => Place { position: self.start, number: self.first },
        };
        let skipped = usize::try_from(from.position - self.start).unwrap_or(usize::MAX).min(self.bytes.len());
        let (front, back) = self.bytes.as_slices();
        let mut copy = Vec::with_capacity(self.bytes.len() - skipped);
        copy.extend_from_slice(front.get(skipped..).unwrap_or_default());
        copy.extend_from_slice(back.get(skipped.saturating_sub(front.len())..).unwrap_or_default());
        (from, copy, from.number - place.number.min(from.number))
    }

    /// Bytes of memory held.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

/// The records of a copy that begins at `place`.
pub(super) fn records(mut place: Place, copy: &[u8]) -> impl Iterator<Item = Raw<'_>> {
    let mut rest = copy;
    std::iter::from_fn(move || {
        let (head, behind) = rest.split_first_chunk::<HEAD>()?;
        let (time, head) = head.split_first_chunk()?;
        let (command, head) = head.split_first_chunk()?;
        let (connection, head) = head.split_first_chunk()?;
        let (room, head) = head.split_first_chunk()?;
        let (used, head) = head.split_first_chunk()?;
        let room = usize::from(u16::from_le_bytes(*room));
        let (bytes, behind) = behind.split_at_checked(room)?;
        let raw = Raw {
            place,
            head: Head {
                time: u64::from_le_bytes(*time),
                command: u32::from_le_bytes(*command),
                connection: u32::from_le_bytes(*connection),
                kind: *head.first()?,
            },
            bytes: bytes.get(..u16::from_le_bytes(*used).into())?,
        };
        place = Place { position: place.position + (HEAD + room) as u64, number: place.number + 1 };
        rest = behind;
        Some(raw)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(time: u64) -> Head {
        Head { time, command: 7, connection: 9, kind: 2 }
    }

    proptest! {
        /// Against a list: the newest records, whole and in order, in no more memory than the limit.
        #[test]
        fn it_keeps_the_newest_within_its_limit(
            limit in 200..2000_usize,
            pieces in prop::collection::vec((0..120_usize, any::<bool>()), 0..80),
        ) {
            let mut ring = Ring::new(limit);
            let mut all: Vec<Vec<u8>> = Vec::new();
            for (number, (length, late)) in pieces.into_iter().enumerate() {
                let bytes: Vec<u8> = (0..length.min(ring.piece())).map(|at| (at + number) as u8).collect();
                if late {
                    let position = ring.reserve(head(number as u64), bytes.len());
                    let (one, other) = bytes.split_at(bytes.len() / 2);
                    ring.append(position, one);
                    ring.append(position, other);
                } else {
                    ring.push(head(number as u64), &bytes);
                }
                all.push(bytes);
                prop_assert!(ring.capacity() <= limit.max(LEAST));
            }
            let (place, copy, lost) = ring.since(Place::START);
            let kept: Vec<_> = records(place, &copy).collect();
            prop_assert_eq!(lost as usize + kept.len(), all.len());
            prop_assert!(kept.len() >= all.len().min(4));
            for raw in &kept {
                let number = raw.place.number as usize - 1;
                prop_assert_eq!(raw.bytes, &all[number][..]);
                prop_assert_eq!(raw.head, head(number as u64));
                let (place, copy, lost) = ring.since(raw.place);
                prop_assert_eq!((place, lost), (raw.place, 0));
                prop_assert_eq!(records(place, &copy).count(), all.len() - number);
            }
        }
    }

    #[test]
    fn what_comes_too_late_for_a_record_that_has_left_harms_no_other() {
        let mut ring = Ring::new(200);
        let old = ring.reserve(head(1), 20);
        for _ in 0..9 {
            ring.push(head(2), b"a younger record");
        }
        ring.append(old, b"too late");
        let (place, copy, _) = ring.since(Place::START);
        assert!(records(place, &copy).all(|raw| raw.bytes == b"a younger record"));
    }
}
