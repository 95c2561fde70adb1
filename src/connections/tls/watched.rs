//! A byte stream that remembers how the peer began: what it said tells a peer that does not speak TLS from one that does not
//! like us.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) struct Watched<S> {
    inner: S,
    /// Bytes received so far; counts no further than it matters.
    received: usize,
    first: [u8; 24],
}

impl<S> Watched<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, received: 0, first: [0; 24] }
    }

    /// What the peer sent first, or as much of it as is kept.
    pub(super) fn first(&self) -> &[u8] {
        self.first.get(..self.received).unwrap_or(&self.first)
    }

    /// The peer has sent more than one alert (5 bytes of header, 2 of alert: RFC 8446, 5.1 and 6).
    pub(super) fn past_hello(&self) -> bool {
        self.received > 7
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.inner).poll_read(cx, buf);
        let this = &mut *self;
        if let Some(room) = this.first.get_mut(this.received..) {
            let new = buf.filled().get(before..).unwrap_or_default();
            for (kept, byte) in room.iter_mut().zip(new) {
                *kept = *byte;
            }
            this.received += new.len();
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
