//! Messages on the socket of an emulator whose device has messages (UDP, WebSocket): each is a `u32` length,
//! little-endian, of what follows; one byte of form; the bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::MAX_PAYLOAD;
use crate::message::Form;

/// Why what comes is no message; the connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Its length is 0, or more than a form and [`MAX_PAYLOAD`].
    #[error("a message of {0} bytes, form included: from 1 to {max} are possible", max = MAX_PAYLOAD + 1)]
    Length(usize),
    /// Its form is none of [`Form`].
    #[error("a message of the form {0}, which there is not")]
    Form(u8),
}

/// Appends a message.
pub fn encode(out: &mut BytesMut, form: Form, bytes: &[u8]) -> Result<(), Error> {
    let length = bytes.len() + 1;
    match u32::try_from(length) {
        Ok(short) if length <= MAX_PAYLOAD + 1 => out.put_u32_le(short),
        _ => return Err(Error::Length(length)),
    }
    out.put_u8(form as u8);
    out.put_slice(bytes);
    Ok(())
}

/// Takes the first message; `None` if it is not whole yet.
pub fn decode(buffer: &mut BytesMut) -> Result<Option<(Form, Bytes)>, Error> {
    let Some((length, rest)) = buffer.split_first_chunk() else { return Ok(None) };
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if !(1..=MAX_PAYLOAD + 1).contains(&length) {
        return Err(Error::Length(length));
    }
    let form = match rest.first() {
        None => return Ok(None),
        Some(0) => Form::Bytes,
        Some(1) => Form::Text,
        Some(other) => return Err(Error::Form(*other)),
    };
    if rest.len() < length {
        return Ok(None);
    }
    buffer.advance(4);
    let mut message = buffer.split_to(length);
    message.advance(1);
    Ok(Some((form, message.freeze())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_whole_however_they_are_cut() {
        let messages = [(Form::Bytes, &b"one"[..]), (Form::Text, b""), (Form::Text, "grün".as_bytes())];
        let mut stream = BytesMut::new();
        for (form, bytes) in messages {
            assert_eq!(encode(&mut stream, form, bytes), Ok(()));
        }
        assert_eq!(&stream[..8], b"\x04\0\0\0\0one");
        let (mut buffer, mut read) = (BytesMut::new(), Vec::new());
        for byte in stream {
            buffer.put_u8(byte);
            while let Ok(Some(message)) = decode(&mut buffer) {
                read.push(message);
            }
        }
        assert_eq!(read, messages.map(|(form, bytes)| (form, Bytes::copy_from_slice(bytes))));
        assert!(buffer.is_empty());
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let read = |bytes: &[u8]| decode(&mut BytesMut::from(bytes));
        assert_eq!(read(b"\0\0\0\0\0"), Err(Error::Length(0)));
        assert_eq!(read(b"\xff\xff\xff\xff"), Err(Error::Length(0xffff_ffff)));
        assert_eq!(read(b"\x01\0\0\0\x02"), Err(Error::Form(2)));
        let mut out = BytesMut::new();
        assert_eq!(
            encode(&mut out, Form::Bytes, &vec![0; MAX_PAYLOAD + 1]),
            Err(Error::Length(MAX_PAYLOAD + 2))
        );
        assert!(out.is_empty());
    }
}
