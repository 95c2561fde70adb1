//! A length in a frame's header.

use crate::error::{Error, Result};

/// Where a frame's length is, and what it counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct LengthField {
    /// Bytes before it.
    pub(super) offset: usize,
    /// Bytes of it, 1 to 8.
    pub(super) width: usize,
    pub(super) little_endian: bool,
    /// Added to it, gives how many bytes come after it.
    pub(super) adjust: i32,
    /// The header is no part of the frame.
    pub(super) bare: bool,
}

/// What a header says of the frame that it begins.
pub(super) enum Header {
    /// More bytes are needed to tell.
    Incomplete,
    /// How many bytes come after it.
    Body(usize),
    /// That cannot be: the number that is there.
    Nonsense(u64),
}

impl LengthField {
    pub(super) const fn prefix(width: usize) -> LengthField {
        LengthField { bare: true, ..LengthField::field().of_width(width) }
    }

    pub(super) const fn field() -> LengthField {
        LengthField { offset: 0, width: 1, little_endian: false, adjust: 0, bare: false }
    }

    pub(super) const fn of_width(self, width: usize) -> LengthField {
        assert!(width >= 1 && width <= 8, "the width of a length is 1 to 8 bytes");
        LengthField { width, ..self }
    }

    /// Bytes of the header.
    pub(super) fn header(self) -> usize {
        self.offset + self.width
    }

    /// Reads the header at the front of `bytes`.
    pub(super) fn read(self, bytes: &[u8]) -> Header {
        let Some(field) = bytes.get(self.offset..self.header()) else { return Header::Incomplete };
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        let number =
            if self.little_endian { field.iter().rev().fold(0, add) } else { field.iter().fold(0, add) };
        let body = i128::from(number) + i128::from(self.adjust);
        usize::try_from(body).map_or(Header::Nonsense(number), Header::Body)
    }

    /// Puts the length before `message`.
    pub(super) fn prepend(self, message: &[u8]) -> Result<Vec<u8>> {
        let (length, width) = (message.len(), self.width);
        let number = u64::try_from(length as i128 - i128::from(self.adjust)).ok();
        let number = number.filter(|number| width == 8 || number >> (8 * width) == 0).ok_or_else(|| {
            Error::driver(format!(
                "a message of {length} bytes does not fit a length prefix of {width} bytes"
            ))
        })?;
        let mut out = Vec::with_capacity(width + length);
        let bytes = number.to_be_bytes();
        let field = bytes.iter().skip(8 - width);
        if self.little_endian {
            out.extend(field.rev())
        } else {
            out.extend(field)
        }
        out.extend_from_slice(message);
        Ok(out)
    }
}
