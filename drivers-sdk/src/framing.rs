//! How a device's byte stream is cut into frames, and how a command becomes one.
//!
//! `#[driver(framing = …)]` takes one of these as an expression: `lines("\r\n").send("\r").limit(4096)`.
//! A driver that names no framing gets the bytes in the pieces in which they arrive.
//!
//! A [`Framing`] says how; a `Framer` does it, for one connection. Neither knows the time: where silence ends a frame,
//! whoever feeds the framer listens for it (`Framer::gap`, `Framer::end`).

#[cfg(feature = "codec")]
mod codec;
mod framer;
mod length;

use std::time::Duration;

#[cfg(feature = "codec")]
pub use codec::{Bytes, BytesMut, Decoder, Encoder, codec};
pub(crate) use framer::{Fault, Framer};
use length::LengthField;

/// Largest frame a device may send, in bytes, unless [`Framing::limit`] says otherwise.
pub const DEFAULT_LIMIT: usize = 64 * 1024;

/// How frames are told apart. What a framing has not got is an error of the compiler where `#[driver(framing = …)]` says it,
/// and a panic elsewhere:
///
/// ```
/// use drivers_sdk::prelude::*;
/// const HEADED: drivers_sdk::framing::Framing = length_field().offset(2);
/// ```
/// ```compile_fail
/// use drivers_sdk::prelude::*;
/// const LINES: drivers_sdk::framing::Framing = lines("\r").offset(2);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Framing {
    rule: Rule,
    limit: usize,
}

#[derive(Clone, Copy, Debug)]
enum Rule {
    None,
    Delimited {
        receive: Marker,
        send: Marker,
        prompts: &'static [&'static str],
    },
    Between {
        start: Marker,
        end: Marker,
    },
    Fixed {
        length: usize,
    },
    Length(LengthField),
    IdleGap(Duration),
    #[cfg(feature = "codec")]
    Codec(codec::Make),
}

/// What begins or ends a frame: a few bytes, its own, so that a setting may say them.
#[derive(Clone, Copy, Debug)]
struct Marker {
    bytes: [u8; MARKER],
    length: usize,
}

/// Longest delimiter or marker, in bytes.
const MARKER: usize = 32;

impl Marker {
    const fn new(text: &[u8]) -> Marker {
        assert!(text.len() <= MARKER, "a delimiter or marker of more than 32 bytes");
        let mut bytes = [0; MARKER];
        bytes.split_at_mut(text.len()).0.copy_from_slice(text);
        Marker { bytes, length: text.len() }
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// No framing: bytes come as they arrive and are sent as they are.
pub const fn none() -> Framing {
    Framing { rule: Rule::None, limit: DEFAULT_LIMIT }
}

/// Frames of text that end with `delimiter`, which is taken off what is received and put after what is sent.
///
/// It has 1 to 32 bytes; another is an error of the compiler in `#[driver(…)]`. In [`Cx::framing`](crate::Cx::framing) it panics, so
/// a setting must be looked at before.
pub const fn lines(delimiter: &str) -> Framing {
    delimited(delimiter.as_bytes())
}

/// As [`lines`], for a delimiter that is no text: `delimited(b"\xff")`.
pub const fn delimited(delimiter: &[u8]) -> Framing {
    assert!(!delimiter.is_empty(), "the delimiter is empty");
    let delimiter = Marker::new(delimiter);
    Framing {
        rule: Rule::Delimited { receive: delimiter, send: delimiter, prompts: &[] },
        limit: DEFAULT_LIMIT,
    }
}

/// Frames between two markers, which are taken off what is received and put around what is sent:
/// `between(b"\x02", b"\x03")`. What the device sends outside of them is dropped.
///
/// A frame ends at the first `end` after its `start`, whatever else is in it; where markers are escaped, it takes a codec.
pub const fn between(start: &[u8], end: &[u8]) -> Framing {
    assert!(!start.is_empty() && !end.is_empty(), "a marker of between(…) is empty");
    Framing { rule: Rule::Between { start: Marker::new(start), end: Marker::new(end) }, limit: DEFAULT_LIMIT }
}

/// Frames of exactly `length` bytes; what is sent is sent as it is.
pub const fn fixed(length: usize) -> Framing {
    assert!(length > 0, "the length of fixed(…) is zero");
    Framing { rule: Rule::Fixed { length }, limit: length }
}

/// Frames that begin with their length in `width` bytes (1 to 8; big-endian; not counting itself), which is taken off
/// what is received and put before what is sent.
pub const fn length_prefixed(width: usize) -> Framing {
    Framing { rule: Rule::Length(LengthField::prefix(width)), limit: DEFAULT_LIMIT }
}

/// Frames with a header that has their length: one byte at the beginning, which says how many bytes come after it, unless
/// [`offset`](Framing::offset), [`width`](Framing::width), [`little_endian`](Framing::little_endian) and
/// [`adjust`](Framing::adjust) say otherwise. A frame is received whole, with its header, and sent as it is.
///
/// Modbus TCP, whose length is in the fifth and sixth byte: `length_field().offset(4).width(2)`. One byte of checksum that
/// the length does not count: `length_field().offset(3).adjust(1)`.
pub const fn length_field() -> Framing {
    Framing { rule: Rule::Length(LengthField::field()), limit: DEFAULT_LIMIT }
}

/// Frames that end when the device has been silent for this long, as the driver sees it: `idle_gap(millis(20))`. What is
/// sent is sent as it is.
///
/// A network and a busy machine make gaps, and close them. So let it be longer than the device's own by what they may take,
/// and where a frame says how long it is, prefer that.
pub const fn idle_gap(gap: Duration) -> Framing {
    assert!(!gap.is_zero(), "the time of idle_gap(…) is zero");
    Framing { rule: Rule::IdleGap(gap), limit: DEFAULT_LIMIT }
}

impl Framing {
    /// Largest frame that may be received, in bytes; all of [`fixed`] have their one length. A longer one is skipped; where its
    /// length says so, or a codec, the stream is out of step, so the connection is made anew.
    pub const fn limit(mut self, bytes: usize) -> Framing {
        assert!(
            !matches!(self.rule, Rule::Fixed { .. }),
            "fixed(…) has no limit: its frames have one length"
        );
        self.limit = bytes;
        self
    }

    /// For [`lines`]: what is put after each command, where it differs from what ends a received line; with `""` a command is sent
    /// as it is.
    ///
    /// A command that holds this in its midst is refused (code `bad_request`), for callers could have the device do what the
    /// driver does not let them: where it is `\r`, `\n` or both, neither may be there.
    pub const fn send(mut self, delimiter: &str) -> Framing {
        assert!(matches!(self.rule, Rule::Delimited { .. }), "only lines(…) has a delimiter to send");
        if let Rule::Delimited { send, .. } = &mut self.rule {
            *send = Marker::new(delimiter.as_bytes());
        }
        self
    }

    /// For [`lines`]: what the device says at the beginning of a line without ever ending it, such as its question for a password:
    /// `lines("\r\n").prompts(&["Password:"])`. Each is a frame of its own.
    pub const fn prompts(mut self, texts: &'static [&'static str]) -> Framing {
        assert!(matches!(self.rule, Rule::Delimited { .. }), "only lines(…) has prompts");
        if let Rule::Delimited { prompts, .. } = &mut self.rule {
            *prompts = texts;
        }
        self
    }

    /// Whether a device would take this message for more than one.
    pub(crate) fn splits(&self, message: &[u8]) -> bool {
        const ENDS: &[u8] = b"\r\n";
        let Rule::Delimited { send, .. } = &self.rule else { return false };
        match send.as_bytes() {
            [] => false,
            send if send.iter().all(|byte| ENDS.contains(byte)) => {
                message.iter().any(|byte| ENDS.contains(byte))
            }
            send => message.windows(send.len()).any(|part| part == send),
        }
    }

    /// The prompt that is at the front of `bytes`.
    fn prompt(&self, bytes: &[u8]) -> Option<&'static [u8]> {
        let Rule::Delimited { prompts, .. } = self.rule else { return None };
        let prompts = prompts.iter().map(|prompt| prompt.as_bytes());
        prompts.into_iter().find(|prompt| !prompt.is_empty() && bytes.starts_with(prompt))
    }

    /// For [`length_field`]: how many bytes are before the length.
    pub const fn offset(mut self, bytes: usize) -> Framing {
        let field = self.length("only length_field() has an offset");
        assert!(!field.bare, "only length_field() has an offset");
        self.rule = Rule::Length(LengthField { offset: bytes, ..field });
        self
    }

    /// For [`length_field`]: how many bytes the length has, 1 to 8.
    pub const fn width(mut self, bytes: usize) -> Framing {
        let field =
            self.length("only length_field() has a width: that of length_prefixed(…) is its argument");
        assert!(!field.bare, "only length_field() has a width: that of length_prefixed(…) is its argument");
        self.rule = Rule::Length(field.of_width(bytes));
        self
    }

    /// For [`length_field`] and [`length_prefixed`]: the least significant byte comes first.
    pub const fn little_endian(mut self) -> Framing {
        let field = self.length("only length_field() and length_prefixed(…) have a byte order");
        self.rule = Rule::Length(LengthField { little_endian: true, ..field });
        self
    }

    /// For [`length_field`] and [`length_prefixed`]: what is to be added to the length, so that it says how many bytes come
    /// after it. `adjust(-6)` if it counts the six bytes up to and with itself as well.
    pub const fn adjust(mut self, bytes: i32) -> Framing {
        let field = self.length("only length_field() and length_prefixed(…) have a length to adjust");
        self.rule = Rule::Length(LengthField { adjust: bytes, ..field });
        self
    }

    /// The length field of a framing that has one.
    #[allow(clippy::panic, reason = "a mistake in the attribute is an error of the compiler")]
    const fn length(&self, otherwise: &'static str) -> LengthField {
        match self.rule {
            Rule::Length(field) => field,
            _ => panic!("{}", otherwise),
        }
    }
}

#[cfg(test)]
mod tests;
