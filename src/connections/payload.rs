//! What is transmitted: bytes, and what is known about them.

use bytes::Bytes;

/// One transmit. On kinds that have messages (UDP, WebSocket) it is one message, which may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    pub bytes: Bytes,
    pub form: Form,
    /// The call it is sent for, for the record: whatever number the caller knows it by. 0 for none.
    pub command: u32,
    /// For the connection that is up, if one is: make-break links do not connect for it.
    pub no_connect: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Form {
    /// Part of a stream, or one message of bytes.
    #[default]
    Bytes,
    /// One message of UTF-8 text (WebSocket). Other kinds send it as bytes.
    Text,
}

impl<B: Into<Bytes>> From<B> for Payload {
    fn from(bytes: B) -> Self {
        Self { bytes: bytes.into(), ..Self::default() }
    }
}
