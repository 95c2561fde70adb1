//! How a device's byte stream is cut into frames, and how a command becomes one.
//!
//! `#[driver(framing = …)]` takes one of these as an expression: `lines("\r\n").send("\r").limit(4096)`.
//! A driver that names no framing gets the bytes in the pieces in which they arrive.

use crate::error::{Error, Result};

/// Largest frame a device may send, in bytes, unless [`Framing::limit`] says otherwise.
pub const DEFAULT_LIMIT: usize = 64 * 1024;

/// A partial frame's buffer is kept between frames up to this capacity, in bytes.
const KEPT: usize = 256;

/// How frames are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    rule: Rule,
    limit: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    None,
    Lines { receive: &'static [u8], send: &'static [u8] },
    Fixed { length: usize },
    Prefixed { width: usize, little_endian: bool },
}

/// No framing: bytes come as they arrive and are sent as they are.
pub const fn none() -> Framing {
    Framing { rule: Rule::None, limit: DEFAULT_LIMIT }
}

/// Frames that end with `delimiter`, which is taken off what is received and put after what is sent.
pub const fn lines(delimiter: &'static str) -> Framing {
    let bytes = delimiter.as_bytes();
    assert!(!bytes.is_empty(), "the delimiter of lines(…) is empty");
    Framing { rule: Rule::Lines { receive: bytes, send: bytes }, limit: DEFAULT_LIMIT }
}

/// Frames of exactly `length` bytes; what is sent is sent as it is.
pub const fn fixed(length: usize) -> Framing {
    assert!(length > 0, "the length of fixed(…) is zero");
    Framing { rule: Rule::Fixed { length }, limit: length }
}

/// Frames that begin with their length in `width` bytes (1, 2, 4 or 8; big-endian; not counting itself), which is
/// taken off what is received and put before what is sent.
pub const fn length_prefixed(width: usize) -> Framing {
    assert!(matches!(width, 1 | 2 | 4 | 8), "the width of length_prefixed(…) is 1, 2, 4 or 8");
    Framing { rule: Rule::Prefixed { width, little_endian: false }, limit: DEFAULT_LIMIT }
}

impl Framing {
    /// Largest frame that may be received, in bytes. A longer line is skipped; a longer length prefix means that the
    /// stream is out of step, so the connection is made anew.
    pub const fn limit(mut self, bytes: usize) -> Framing {
        self.limit = bytes;
        self
    }

    /// For [`lines`]: what is put after each command, where it differs from what ends a received line.
    pub const fn send(mut self, delimiter: &'static str) -> Framing {
        assert!(matches!(self.rule, Rule::Lines { .. }), "only lines(…) has a delimiter to send");
        if let Rule::Lines { send, .. } = &mut self.rule {
            *send = delimiter.as_bytes();
        }
        self
    }

    /// For [`length_prefixed`]: the least significant byte comes first.
    pub const fn little_endian(mut self) -> Framing {
        assert!(matches!(self.rule, Rule::Prefixed { .. }), "only length_prefixed(…) has a byte order");
        if let Rule::Prefixed { little_endian, .. } = &mut self.rule {
            *little_endian = true;
        }
        self
    }

    /// Makes a frame of `message`.
    pub(crate) fn encode(self, mut message: Vec<u8>) -> Result<Vec<u8>> {
        match self.rule {
            Rule::None | Rule::Fixed { .. } => Ok(message),
            Rule::Lines { send, .. } => {
                message.extend_from_slice(send);
                Ok(message)
            }
            Rule::Prefixed { width, little_endian } => {
                let length = message.len() as u64;
                let bytes = if little_endian { length.to_le_bytes() } else { length.to_be_bytes() };
                let (prefix, rest) =
                    if little_endian { bytes.split_at(width) } else { bytes.split_at(8 - width) };
                let (prefix, rest) = if little_endian { (prefix, rest) } else { (rest, prefix) };
                if rest.iter().any(|byte| *byte != 0) {
                    return Err(Error::driver(format!(
                        "a message of {length} bytes does not fit a length prefix of {width} bytes"
                    )));
                }
                message.splice(0..0, prefix.iter().copied());
                Ok(message)
            }
        }
    }
}

/// What a device did that its framing does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("skipped a line of more than {limit} bytes")]
    Skipped { limit: usize },
    /// Nothing after this length prefix can be trusted.
    #[error("a frame of {length} bytes is over the limit of {limit}: out of step")]
    OutOfStep { length: u64, limit: usize },
    #[error("skipped {length} bytes: a message ended in the middle of a frame")]
    Unfinished { length: usize },
}

/// Cuts one connection's bytes into frames. Holds no memory between whole frames.
#[derive(Debug)]
pub(crate) struct Framer {
    framing: Framing,
    partial: Vec<u8>,
    /// The line under way is over the limit: drop bytes up to its end.
    skipping: bool,
}

impl Framer {
    pub(crate) fn new(framing: Framing) -> Framer {
        Framer { framing, partial: Vec::new(), skipping: false }
    }

    /// A new connection: what was left of the old one means nothing.
    pub(crate) fn reset(&mut self) {
        self.partial = Vec::new();
        self.skipping = false;
    }

    /// Takes one whole message and emits every frame in it. Its end ends a line, and nothing is kept for the next one.
    /// Without a framing it is the frame, even if it is empty.
    pub(crate) fn push_message(&mut self, bytes: &[u8], mut emit: impl FnMut(&[u8])) -> Result<(), Fault> {
        if matches!(self.framing.rule, Rule::None) {
            emit(bytes);
            return Ok(());
        }
        let result = self.push(bytes, &mut emit);
        let (rest, skipped) = (std::mem::take(&mut self.partial), std::mem::take(&mut self.skipping));
        result?;
        let limit = self.framing.limit;
        match self.framing.rule {
            _ if rest.is_empty() || skipped => Ok(()),
            Rule::Lines { .. } if rest.len() > limit => Err(Fault::Skipped { limit }),
            Rule::Lines { .. } => {
                emit(&rest);
                Ok(())
            }
            _ => Err(Fault::Unfinished { length: rest.len() }),
        }
    }

    /// Takes bytes as they arrived and emits every whole frame. After a [`Fault::OutOfStep`] reset the framer and
    /// make the connection anew.
    pub(crate) fn push(&mut self, bytes: &[u8], mut emit: impl FnMut(&[u8])) -> Result<(), Fault> {
        if matches!(self.framing.rule, Rule::None) {
            if !bytes.is_empty() {
                emit(bytes);
            }
            return Ok(());
        }
        // Whole frames are cut out of the bytes where they lie; only the end of an incomplete one is copied.
        if self.partial.is_empty() {
            let (used, fault) = self.cut(bytes, 0, &mut emit);
            self.keep(bytes.get(used..).unwrap_or_default());
            return fault.map_or(Ok(()), Err);
        }
        let searched = self.partial.len();
        let mut joined = std::mem::take(&mut self.partial);
        joined.extend_from_slice(bytes);
        let (used, fault) = self.cut(&joined, searched, &mut emit);
        if used == 0 {
            self.partial = joined;
        } else if used == joined.len() && joined.capacity() <= KEPT {
            joined.clear();
            self.partial = joined;
        } else {
            self.keep(joined.get(used..).unwrap_or_default());
        }
        fault.map_or(Ok(()), Err)
    }

    fn keep(&mut self, rest: &[u8]) {
        self.partial.extend_from_slice(rest);
    }

    /// Emits whole frames from the front of `bytes`; how many bytes they took, and what was wrong.
    /// The first `searched` bytes are known to hold no end of a line.
    fn cut(&mut self, bytes: &[u8], searched: usize, emit: &mut impl FnMut(&[u8])) -> (usize, Option<Fault>) {
        let limit = self.framing.limit;
        let (mut used, mut fault) = (0, None);
        match self.framing.rule {
            Rule::None => used = bytes.len(),
            Rule::Fixed { length } => {
                while let Some(frame) = bytes.get(used..used + length) {
                    used += length;
                    emit(frame);
                }
            }
            Rule::Prefixed { width, little_endian } => {
                while let Some((prefix, rest)) = bytes.get(used..).and_then(|b| b.split_at_checked(width)) {
                    let mut number = [0; 8];
                    let place =
                        if little_endian { number.get_mut(..width) } else { number.get_mut(8 - width..) };
                    if let Some(place) = place {
                        place.copy_from_slice(prefix);
                    }
                    let length =
                        if little_endian { u64::from_le_bytes(number) } else { u64::from_be_bytes(number) };
                    if length > limit as u64 {
                        return (bytes.len(), Some(Fault::OutOfStep { length, limit }));
                    }
                    let Some(frame) = rest.get(..length as usize) else { break };
                    used += width + frame.len();
                    emit(frame);
                }
            }
            Rule::Lines { receive, .. } => {
                // A delimiter may begin in what was searched and end in what is new.
                let mut from = searched.saturating_sub(receive.len() - 1);
                while let Some(end) = find(bytes, from, receive) {
                    let line = bytes.get(used..end).unwrap_or_default();
                    used = end + receive.len();
                    from = used;
                    if std::mem::take(&mut self.skipping) {
                        continue;
                    }
                    if line.len() > limit {
                        fault = Some(Fault::Skipped { limit });
                    } else {
                        emit(line);
                    }
                }
                if bytes.len() - used > limit + receive.len() {
                    if !self.skipping {
                        self.skipping = true;
                        fault = Some(Fault::Skipped { limit });
                    }
                    // Its last bytes may be the beginning of the delimiter.
                    used = bytes.len() - (receive.len() - 1);
                }
            }
        }
        (used, fault)
    }
}

/// Where `delimiter` begins in `bytes`, at `from` or later.
fn find(bytes: &[u8], from: usize, delimiter: &[u8]) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let at = match delimiter {
        [byte] => rest.iter().position(|b| b == byte),
        _ => rest.windows(delimiter.len()).position(|window| window == delimiter),
    }?;
    Some(from + at)
}

#[cfg(test)]
mod tests;
