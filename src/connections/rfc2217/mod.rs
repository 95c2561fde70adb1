//! A serial port behind a gateway that speaks RFC 2217: telnet that carries the settings of the line.
//!
//! [`Gateway`] is the connection once the settings are applied; until then [`Session`] is driven by `dial/rfc2217.rs`.

mod session;
pub(super) mod telnet;

#[cfg(test)]
pub(super) mod tests;

pub(super) use session::{Refusal, Session};

use super::{
    Address, Failure, Payload, Reason,
    wire::{Arrival, Transport},
};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes read from the gateway at once, and taken at once from what is to be sent.
const CHUNK: usize = 8 * 1024;
/// While so much waits to be sent, nothing is read: a gateway that asks and asks must also listen.
const UNSENT: usize = 2 * CHUNK;

pub(super) struct Gateway<S> {
    stream: S,
    session: Session,
    /// Received, and not handed on yet: from there.
    data: Vec<u8>,
    given: usize,
    /// For what a [`Refusal`] says.
    address: Address,
}

impl<S> Gateway<S> {
    /// `session` is ready; `data` is what came since then.
    pub(super) fn new(stream: S, session: Session, data: Vec<u8>, address: Address) -> Self {
        Self { stream, session, data, given: 0, address }
    }

    fn give(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let waiting = self.data.get(self.given..).unwrap_or_default();
        let piece = waiting.get(..buf.remaining()).unwrap_or(waiting);
        buf.put_slice(piece);
        self.given += piece.len();
        if self.given == self.data.len() {
            (self.data, self.given) = (Vec::new(), 0);
        }
        !buf.filled().is_empty()
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Transport for Gateway<S> {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Option<Arrival>>> {
        loop {
            if self.give(buf) {
                return Poll::Ready(Ok(Some(Arrival::Filled)));
            }
            // Answers to the gateway. If it takes none just now, it wakes us when it does.
            if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
                return Poll::Ready(Err(error));
            }
            if self.session.out().len() >= UNSENT {
                return Poll::Pending;
            }
            let mut raw = [0; CHUNK];
            let mut raw = ReadBuf::new(&mut raw);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut raw))?;
            if raw.filled().is_empty() {
                return Poll::Ready(Ok(None));
            }
            let suspended = self.session.is_suspended();
            self.session
                .receive(raw.filled(), &mut self.data)
                .map_err(|refusal| io::Error::other(refusal.failure(&self.address)))?;
            if suspended && !self.session.is_suspended() {
                // What was to be sent has been looked at before, in this turn of the task.
                cx.waker().wake_by_ref();
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, payload: &Payload) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        if self.session.is_suspended() {
            return Poll::Pending;
        }
        let taken = payload.bytes.get(..CHUNK).unwrap_or(&payload.bytes);
        self.session.send(taken);
        match self.poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken.len())),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let out = self.session.out();
        while !out.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, out))?;
            out.drain(..written);
        }
        *out = Vec::new();
        Poll::Ready(Ok(()))
    }
}

impl Refusal {
    pub(super) fn failure(&self, address: &Address) -> Failure {
        Failure::new(Reason::Protocol, format!("{address} {}.", self.0))
    }
}
