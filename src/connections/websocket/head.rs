//! A stream on which the head of the peer's handshake is read as a whole. tungstenite takes one that comes in small pieces for an
//! attack, but there are devices that send theirs byte by byte. An attempt is bounded in time, and a head in size.

use bytes::{Buf as _, Bytes};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const LONGEST: usize = 64 * 1024;

pub(in crate::connections) struct Headed<S> {
    inner: S,
    /// How a head begins; what does not is none, and not waited for.
    begin: &'static [u8],
    /// What has come of it; none: it is complete.
    head: Option<Vec<u8>>,
    /// What is complete and not yet taken.
    rest: Bytes,
}

impl<S> Headed<S> {
    pub(in crate::connections) fn new(inner: S, begin: &'static [u8]) -> Self {
        Self { inner, begin, head: Some(Vec::new()), rest: Bytes::new() }
    }

    #[cfg(test)]
    pub(in crate::connections) fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Headed<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while let Some(head) = &mut this.head {
            let mut chunk = [0; 1024];
            let mut new = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut new))?;
            // The end of it may have begun in what came before.
            let from = head.len().saturating_sub(3);
            head.extend_from_slice(new.filled());
            let ended = head.get(from..).is_some_and(|new| new.windows(4).any(|four| four == b"\r\n\r\n"));
            let other = head.iter().zip(this.begin).any(|(is, should)| is != should);
            if other || ended || new.filled().is_empty() || head.len() > LONGEST {
                this.rest = this.head.take().unwrap_or_default().into();
            }
        }
        if this.rest.is_empty() {
            return Pin::new(&mut this.inner).poll_read(cx, buf);
        }
        let taken = this.rest.split_to(this.rest.len().min(buf.remaining()));
        buf.put_slice(taken.chunk());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Headed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
