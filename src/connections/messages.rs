//! Whole messages over a stream socket: how the emulator of a device that has messages is reached
//! ([`drivers_sdk_protocol::emulated`]).

use super::{
    payload::{Form, Payload},
    wire::{Arrival, Transport},
};
use bytes::{Buf, BytesMut};
use drivers_sdk_protocol::{emulated, message};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncWrite, ReadBuf},
    net::UnixStream,
};
use tokio_util::io::poll_read_buf;

pub(super) struct Messages {
    stream: UnixStream,
    incoming: BytesMut,
    /// Of messages that were taken.
    outgoing: BytesMut,
    /// They are all bytes.
    datagrams: bool,
}

impl Messages {
    pub(super) fn new(stream: UnixStream, datagrams: bool) -> Self {
        Self { stream, incoming: BytesMut::new(), outgoing: BytesMut::new(), datagrams }
    }
}

impl Transport for Messages {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Option<Arrival>>> {
        loop {
            if let Some((form, bytes)) = emulated::decode(&mut self.incoming).map_err(io::Error::other)? {
                let form = match form {
                    message::Form::Text if !self.datagrams => Form::Text,
                    _ => Form::Bytes,
                };
                return Poll::Ready(Ok(Some(Arrival::Message(bytes, form))));
            }
            if ready!(poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.incoming))? == 0 {
                return Poll::Ready(Ok(None));
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, payload: &Payload) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        let form = match payload.form {
            Form::Text if !self.datagrams => message::Form::Text,
            _ => message::Form::Bytes,
        };
        emulated::encode(&mut self.outgoing, form, &payload.bytes).map_err(io::Error::other)?;
        Poll::Ready(Ok(payload.bytes.len()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.outgoing))?;
            self.outgoing.advance(sent);
        }
        Poll::Ready(Ok(()))
    }
}
