//! One message of the device, without its delimiter or length prefix, and what it can be read as.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::str::FromStr;

use drivers_sdk_protocol::message::Form;

use crate::error::{Error, Result};

/// One message of the device. It derefs to its bytes and prints as text; two are equal if their bytes are.
#[derive(Clone, Default)]
pub struct Frame {
    bytes: Box<[u8]>,
    is_text: bool,
}

impl Frame {
    pub(crate) fn of_form(bytes: &[u8], form: Form) -> Frame {
        Frame { bytes: bytes.into(), is_text: form == Form::Text }
    }

    /// Whether it came as a WebSocket's text message. On other links it never does, whatever its bytes are.
    pub fn is_text(&self) -> bool {
        self.is_text
    }

    /// The bytes as text; what is not UTF-8 becomes `�`.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self)
    }

    /// The bytes as text, or a `device` error if they are not UTF-8.
    pub fn as_str(&self) -> Result<&str> {
        std::str::from_utf8(self)
            .map_err(|_| Error::device(format!("the device sent something that is not text: {self:?}")))
    }

    /// Reads the text, without surrounding white space, as a `T`; a `device` error that shows it if it is not one.
    pub fn parse<T: FromStr>(&self) -> Result<T> {
        self.as_str()?
            .trim()
            .parse()
            .map_err(|_| Error::device(format!("the device answered {self:?}, which makes no sense here")))
    }
}

impl From<&[u8]> for Frame {
    fn from(bytes: &[u8]) -> Frame {
        Frame::of_form(bytes, Form::Bytes)
    }
}

impl From<&str> for Frame {
    fn from(text: &str) -> Frame {
        Frame::from(text.as_bytes())
    }
}

impl From<Vec<u8>> for Frame {
    fn from(bytes: Vec<u8>) -> Frame {
        Frame { bytes: bytes.into(), is_text: false }
    }
}

impl From<String> for Frame {
    fn from(text: String) -> Frame {
        Frame::from(text.into_bytes())
    }
}

impl From<Frame> for Vec<u8> {
    fn from(frame: Frame) -> Vec<u8> {
        frame.bytes.into_vec()
    }
}

impl Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Frame {
    fn eq(&self, other: &Frame) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Frame {}

impl Hash for Frame {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl PartialEq<str> for Frame {
    fn eq(&self, text: &str) -> bool {
        **self == *text.as_bytes()
    }
}

impl PartialEq<&str> for Frame {
    fn eq(&self, text: &&str) -> bool {
        **self == *text.as_bytes()
    }
}

impl PartialEq<[u8]> for Frame {
    fn eq(&self, bytes: &[u8]) -> bool {
        **self == *bytes
    }
}

impl PartialEq<&[u8]> for Frame {
    fn eq(&self, bytes: &&[u8]) -> bool {
        **self == **bytes
    }
}

/// Such as `b"\x06"`.
impl<const N: usize> PartialEq<&[u8; N]> for Frame {
    fn eq(&self, bytes: &&[u8; N]) -> bool {
        **self == **bytes
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Printable(self))
    }
}

/// Bytes as a quoted string with escapes, cut after 200: for logs and errors.
pub(crate) struct Printable<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 200;
        match self.0.get(..SHOWN) {
            Some(start) if self.0.len() > SHOWN => {
                write!(f, "\"{}\"… ({} bytes)", start.escape_ascii(), self.0.len())
            }
            _ => write!(f, "\"{}\"", self.0.escape_ascii()),
        }
    }
}

/// What the argument of a `#[received]` handler may be: `&str`, `String`, `&[u8]`, `Vec<u8>`, [`Frame`], or a type
/// of your own that says how it is read. A frame that cannot be read is logged and skipped.
pub trait FromFrame<'a>: Sized {
    /// Reads a frame.
    fn from_frame(frame: &'a Frame) -> Result<Self>;
}

impl<'a> FromFrame<'a> for &'a str {
    fn from_frame(frame: &'a Frame) -> Result<Self> {
        frame.as_str()
    }
}

/// What is not UTF-8 becomes `�`.
impl FromFrame<'_> for String {
    fn from_frame(frame: &Frame) -> Result<Self> {
        Ok(frame.text().into_owned())
    }
}

impl<'a> FromFrame<'a> for &'a [u8] {
    fn from_frame(frame: &'a Frame) -> Result<Self> {
        Ok(frame)
    }
}

impl FromFrame<'_> for Vec<u8> {
    fn from_frame(frame: &Frame) -> Result<Self> {
        Ok(frame.to_vec())
    }
}

impl<'a> FromFrame<'a> for &'a Frame {
    fn from_frame(frame: &'a Frame) -> Result<Self> {
        Ok(frame)
    }
}

impl FromFrame<'_> for Frame {
    fn from_frame(frame: &Frame) -> Result<Self> {
        Ok(frame.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_its_bytes_however_it_was_made() {
        let frame = Frame::from("OK");
        assert_eq!(frame, Frame::from(String::from("OK")));
        assert_eq!(frame, Frame::from(vec![b'O', b'K']));
        let slice: &[u8] = b"OK";
        assert!(frame == "OK" && frame == b"OK" && frame == slice && frame == *slice);
        assert!(frame != b"OK\0" && frame != "ok" && frame != b"O"[..]);
        assert_eq!(AsRef::<[u8]>::as_ref(&frame), b"OK");
    }
}
