//! Cuts one connection's bytes into frames, and makes frames of what is sent.

use std::borrow::Cow;
use std::time::Duration;

#[cfg(feature = "codec")]
use super::codec::Codec;
use super::length::{Header, LengthField};
use super::{Framing, Rule};
use crate::error::Result;

/// A partial frame's buffer is kept between frames up to this capacity, in bytes.
pub(super) const KEPT: usize = 256;

/// What a device did that its framing does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("skipped a frame of more than {limit} bytes")]
    Skipped { limit: usize },
    /// Nothing after this can be trusted.
    #[error("{0}: out of step")]
    OutOfStep(String),
    #[error("skipped {length} bytes: a message ended in the middle of a frame")]
    Unfinished { length: usize },
}

impl Fault {
    pub(super) fn too_long(length: impl std::fmt::Display, limit: usize) -> Fault {
        Fault::OutOfStep(format!("a frame of {length} bytes is over the limit of {limit}"))
    }
}

/// Cuts one connection's bytes into frames. Holds no memory between whole frames.
#[derive(Debug)]
pub(crate) struct Framer {
    framing: Framing,
    pub(super) partial: Vec<u8>,
    /// The frame under way is over the limit: drop bytes up to its end.
    skipping: bool,
    /// Made when it is needed first, which is where a codec that panics is caught.
    #[cfg(feature = "codec")]
    codec: Option<Box<dyn Codec>>,
}

impl Framer {
    pub(crate) fn new(framing: Framing) -> Framer {
        Framer {
            framing,
            partial: Vec::new(),
            skipping: false,
            #[cfg(feature = "codec")]
            codec: None,
        }
    }

    /// The codec, and the limit of a frame.
    #[cfg(feature = "codec")]
    fn codec(&mut self) -> Option<(&mut dyn Codec, usize)> {
        let Rule::Codec(make) = self.framing.rule else { return None };
        Some((&mut **self.codec.get_or_insert_with(make), self.framing.limit))
    }

    /// Bytes of frames that are not whole.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.partial.len() + self.codec.as_ref().map_or(0, |codec| codec.held())
    }

    /// A new connection: what was left of the old one means nothing.
    pub(crate) fn reset(&mut self) {
        *self = Framer::new(self.framing);
    }

    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    /// Makes a frame of `message`.
    pub(crate) fn encode<'a>(&mut self, message: &'a [u8]) -> Result<Cow<'a, [u8]>> {
        Ok(match self.framing.rule {
            Rule::None
            | Rule::Fixed { .. }
            | Rule::IdleGap(_)
            | Rule::Length(LengthField { bare: false, .. }) => message.into(),
            Rule::Delimited { send, .. } => [message, send.as_bytes()].concat().into(),
            Rule::Between { start, end } => [start.as_bytes(), message, end.as_bytes()].concat().into(),
            Rule::Length(field) => field.prepend(message)?.into(),
            #[cfg(feature = "codec")]
            Rule::Codec(_) => match self.codec() {
                Some((codec, _)) => codec.encode(message)?.into(),
                None => message.into(),
            },
        })
    }

    /// How long the device must be silent for the frame under way to end, if that ends it: then call [`end`](Self::end).
    pub(crate) fn gap(&self) -> Option<Duration> {
        match self.framing.rule {
            Rule::IdleGap(gap) if self.skipping || !self.partial.is_empty() => Some(gap),
            _ => None,
        }
    }

    /// The device is silent, or the connection is over: emits the frame that this ends.
    pub(crate) fn end(&mut self, emit: impl FnOnce(&[u8])) {
        if self.gap().is_some() {
            self.skipping = false;
            let frame = std::mem::take(&mut self.partial);
            if !frame.is_empty() {
                emit(&frame);
            }
        }
    }

    /// Takes one whole message and emits every frame in it. Its end ends a line, and nothing is kept for the next one.
    /// Without a framing it is the frame, even if it is empty.
    pub(crate) fn push_message(&mut self, bytes: &[u8], mut emit: impl FnMut(&[u8])) -> Result<(), Fault> {
        if matches!(self.framing.rule, Rule::None) {
            emit(bytes);
            return Ok(());
        }
        #[cfg(feature = "codec")]
        if let Some((codec, limit)) = self.codec() {
            let result = codec.decode_message(bytes, limit, &mut emit);
            if result.is_err() {
                self.reset();
            }
            return result;
        }
        let result = self.push(bytes, &mut emit);
        let (rest, skipped) = (std::mem::take(&mut self.partial), std::mem::take(&mut self.skipping));
        result?;
        let limit = self.framing.limit;
        match self.framing.rule {
            _ if rest.is_empty() || skipped => Ok(()),
            Rule::Delimited { .. } if rest.len() > limit => Err(Fault::Skipped { limit }),
            Rule::Delimited { .. } | Rule::IdleGap(_) => {
                emit(&rest);
                Ok(())
            }
            // No frame had begun.
            Rule::Between { start, .. } if !rest.starts_with(start.as_bytes()) => Ok(()),
            _ => Err(Fault::Unfinished { length: rest.len() }),
        }
    }

    /// Takes bytes as they arrived and emits every whole frame. After a [`Fault::OutOfStep`] reset the framer and
    /// make the connection anew.
    pub(crate) fn push(&mut self, bytes: &[u8], mut emit: impl FnMut(&[u8])) -> Result<(), Fault> {
        #[cfg(feature = "codec")]
        if let Some((codec, limit)) = self.codec() {
            return codec.decode(bytes, limit, &mut emit);
        }
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
    /// The first `searched` bytes are known to hold no end of a frame.
    fn cut(&mut self, bytes: &[u8], searched: usize, emit: &mut impl FnMut(&[u8])) -> (usize, Option<Fault>) {
        match self.framing.rule {
            Rule::Fixed { length } => {
                let frames = bytes.chunks_exact(length);
                let used = bytes.len() - frames.remainder().len();
                frames.for_each(emit);
                (used, None)
            }
            Rule::Length(field) => self.cut_counted(field, bytes, emit),
            Rule::Delimited { receive, .. } => {
                self.cut_marked(&[], receive.as_bytes(), bytes, searched, emit)
            }
            Rule::Between { start, end } => {
                self.cut_marked(start.as_bytes(), end.as_bytes(), bytes, searched, emit)
            }
            Rule::IdleGap(_) => {
                let limit = self.framing.limit;
                if self.skipping || bytes.len() <= limit {
                    return (if self.skipping { bytes.len() } else { 0 }, None);
                }
                self.skipping = true;
                (bytes.len(), Some(Fault::Skipped { limit }))
            }
            Rule::None => (bytes.len(), None),
            #[cfg(feature = "codec")]
            Rule::Codec(_) => (bytes.len(), None),
        }
    }

    fn cut_counted(
        &self,
        field: LengthField,
        bytes: &[u8],
        emit: &mut impl FnMut(&[u8]),
    ) -> (usize, Option<Fault>) {
        let (limit, header) = (self.framing.limit, field.header());
        let skipped = if field.bare { header } else { 0 };
        let mut used = 0;
        while let Some(rest) = bytes.get(used..) {
            let length = match field.read(rest) {
                Header::Incomplete => break,
                Header::Body(length) => header.saturating_add(length),
                Header::Nonsense(number) => {
                    let fault = Fault::OutOfStep(format!("a frame says that its length is {number}"));
                    return (bytes.len(), Some(fault));
                }
            };
            if length - skipped > limit {
                return (bytes.len(), Some(Fault::too_long(length - skipped, limit)));
            }
            let Some(frame) = rest.get(skipped..length) else { break };
            used += length;
            emit(frame);
        }
        (used, None)
    }

    /// Frames that end with a marker, and begin with one or after the end of the one before.
    fn cut_marked(
        &mut self,
        start: &[u8],
        end: &[u8],
        bytes: &[u8],
        searched: usize,
        emit: &mut impl FnMut(&[u8]),
    ) -> (usize, Option<Fault>) {
        let limit = self.framing.limit;
        let (mut used, mut fault) = (0, None);
        loop {
            let mut from = used;
            if !self.skipping {
                if let Some(prompt) = self.framing.prompt(bytes.get(used..).unwrap_or_default()) {
                    used += prompt.len();
                    emit(prompt);
                    continue;
                }
                let Some(begin) = find(bytes, used, start) else {
                    // The last bytes may be the beginning of the marker.
                    used = used.max((bytes.len() + 1).saturating_sub(start.len()));
                    break;
                };
                used = begin;
                from = begin + start.len();
            }
            // A marker may begin in what was searched and end in what is new.
            let Some(at) = find(bytes, from.max((searched + 1).saturating_sub(end.len())), end) else {
                if bytes.len() - from > limit + end.len() {
                    if !std::mem::replace(&mut self.skipping, true) {
                        fault = Some(Fault::Skipped { limit });
                    }
                    used = bytes.len() - (end.len() - 1);
                }
                break;
            };
            let frame = bytes.get(from..at).unwrap_or_default();
            used = at + end.len();
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if frame.len() > limit {
                fault = Some(Fault::Skipped { limit });
            } else {
                emit(frame);
            }
        }
        (used, fault)
    }
}

/// Where `marker` begins in `bytes`, at `from` or later.
fn find(bytes: &[u8], from: usize, marker: &[u8]) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let at = match marker {
        [] => Some(0),
        [byte] => rest.iter().position(|b| b == byte),
        _ => rest.windows(marker.len()).position(|window| window == marker),
    }?;
    Some(from + at)
}
