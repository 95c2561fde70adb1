//! A framing of the author's own, by tokio-util's traits.

use std::fmt;

pub use tokio_util::bytes::{Bytes, BytesMut};
pub use tokio_util::codec::{Decoder, Encoder};

use super::framer::Fault;
use super::{DEFAULT_LIMIT, Framing, Rule};
use crate::error::{Error, Result};

pub(super) type Make = fn() -> Box<dyn Codec>;

/// Frames that a codec of your own reads and writes: `codec::<Slip>()`. Each connection has a new one, for both directions.
///
/// ```
/// use drivers_sdk::framing::{Bytes, BytesMut, Decoder, Encoder};
/// use drivers_sdk::prelude::*;
///
/// /// SLIP (RFC 1055): frames end with C0; in a frame DB DC stands for C0, and DB DD for DB.
/// #[derive(Default)]
/// struct Slip;
///
/// impl Decoder for Slip {
///     type Item = Vec<u8>;
///     type Error = std::io::Error;
///
///     fn decode(&mut self, buffer: &mut BytesMut) -> std::io::Result<Option<Vec<u8>>> {
///         let Some(end) = buffer.iter().position(|byte| *byte == 0xc0) else { return Ok(None) };
///         let (mut frame, mut escaped) = (Vec::new(), false);
///         for byte in &buffer.split_to(end + 1)[..end] {
///             match (byte, escaped) {
///                 (0xdb, false) => {}
///                 (0xdc, true) => frame.push(0xc0),
///                 (0xdd, true) => frame.push(0xdb),
///                 (byte, false) => frame.push(*byte),
///                 (byte, true) => return Err(std::io::Error::other(format!("DB {byte:X} in a SLIP frame"))),
///             }
///             escaped = !escaped && *byte == 0xdb;
///         }
///         Ok(Some(frame))
///     }
/// }
///
/// impl Encoder<Bytes> for Slip {
///     type Error = std::io::Error;
///
///     fn encode(&mut self, message: Bytes, out: &mut BytesMut) -> std::io::Result<()> {
///         for byte in message {
///             match byte {
///                 0xc0 => out.extend([0xdb, 0xdc]),
///                 0xdb => out.extend([0xdb, 0xdd]),
///                 byte => out.extend([byte]),
///             }
///         }
///         out.extend([0xc0]);
///         Ok(())
///     }
/// }
///
/// #[derive(Default)]
/// struct Meter;
///
/// #[driver(name = "Meter", module = "Meter", tcp = 4001, framing = codec::<Slip>().limit(2048))]
/// impl Meter {}
/// ```
///
/// An error of its decoder means that the stream is out of step, so the connection is made anew; one of its encoder fails
/// the command. The [`limit`](Framing::limit) is on what it makes, and on what it leaves for later. Where the link has
/// messages, each is decoded by itself, up to its end (`decode_eof`).
pub const fn codec<C>() -> Framing
where
    C: Decoder<Item: AsRef<[u8]>, Error: fmt::Display>
        + Encoder<Bytes, Error: fmt::Display>
        + Default
        + 'static,
{
    Framing { rule: Rule::Codec(make::<C>), limit: DEFAULT_LIMIT }
}

fn make<C>() -> Box<dyn Codec>
where
    C: Decoder<Item: AsRef<[u8]>, Error: fmt::Display>
        + Encoder<Bytes, Error: fmt::Display>
        + Default
        + 'static,
{
    Box::new(Coded { codec: C::default(), buffer: BytesMut::new() })
}

/// A codec whatever its items are.
pub(super) trait Codec {
    /// Bytes that it has not made frames of yet.
    #[cfg(test)]
    fn held(&self) -> usize;

    fn encode(&mut self, message: &[u8]) -> Result<Vec<u8>>;

    /// Takes bytes as they arrived and emits every whole frame.
    fn decode(&mut self, bytes: &[u8], limit: usize, emit: &mut dyn FnMut(&[u8])) -> Result<(), Fault>;

    /// As `decode`, and nothing follows; afterwards it is to be made anew if it failed.
    fn decode_message(
        &mut self,
        bytes: &[u8],
        limit: usize,
        emit: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Fault>;
}

impl fmt::Debug for dyn Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Codec")
    }
}

struct Coded<C> {
    codec: C,
    buffer: BytesMut,
}

impl<C> Coded<C> {
    /// Emits what `next` reads off the buffer.
    fn drain<T: AsRef<[u8]>, E: fmt::Display>(
        &mut self,
        limit: usize,
        emit: &mut dyn FnMut(&[u8]),
        next: impl Fn(&mut C, &mut BytesMut) -> Result<Option<T>, E>,
    ) -> Result<(), Fault> {
        while let Some(frame) =
            next(&mut self.codec, &mut self.buffer).map_err(|error| Fault::OutOfStep(error.to_string()))?
        {
            match frame.as_ref() {
                frame if frame.len() > limit => return Err(Fault::too_long(frame.len(), limit)),
                frame => emit(frame),
            }
        }
        Ok(())
    }
}

impl<C> Codec for Coded<C>
where
    C: Decoder<Item: AsRef<[u8]>, Error: fmt::Display> + Encoder<Bytes, Error: fmt::Display>,
{
    #[cfg(test)]
    fn held(&self) -> usize {
        self.buffer.len()
    }

    fn encode(&mut self, message: &[u8]) -> Result<Vec<u8>> {
        let mut out = BytesMut::new();
        match self.codec.encode(Bytes::copy_from_slice(message), &mut out) {
            Ok(()) => Ok(out.into()),
            Err(error) => Err(Error::driver(format!("the codec does not encode this: {error}"))),
        }
    }

    fn decode(&mut self, bytes: &[u8], limit: usize, emit: &mut dyn FnMut(&[u8])) -> Result<(), Fault> {
        self.buffer.extend_from_slice(bytes);
        self.drain(limit, emit, C::decode)?;
        match self.buffer.len() {
            0 => self.buffer = BytesMut::new(),
            held if held > limit => return Err(Fault::too_long(format_args!("{held} or more"), limit)),
            _ => {}
        }
        Ok(())
    }

    fn decode_message(
        &mut self,
        bytes: &[u8],
        limit: usize,
        emit: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Fault> {
        self.buffer.clear();
        self.buffer.extend_from_slice(bytes);
        self.drain(limit, emit, C::decode_eof)?;
        match self.buffer.len() {
            0 => Ok(()),
            length => Err(Fault::Unfinished { length }),
        }
    }
}
