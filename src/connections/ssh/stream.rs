//! What a session reads and writes: the TCP connection, with two faults of sessions mended.
//!
//! A session does not read while it waits to write, so that two of them can wait for each other for ever. So what it writes is
//! always taken, and goes out whenever it reads or writes again; whoever has more to say is held up instead ([`Backlog`]).
//!
//! A session waits for an SSH server's greeting whatever comes instead. So what no greeting can have in it is an error.

use super::session::LAST_WORDS;
use bytes::{Buf as _, BytesMut};
use futures_util::task::AtomicWaker;
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::AcqRel, Ordering::Acquire},
    },
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

/// What may wait to be sent before nothing more is taken from the link.
const ENOUGH: usize = 64 * 1024;

pub(super) struct Stream {
    tcp: TcpStream,
    out: BytesMut,
    backlog: Arc<Backlog>,
    /// The first line has come.
    greeted: bool,
    /// Until when what waits may still be sent after the session's end.
    last: Option<Pin<Box<Sleep>>>,
}

/// How much of what a session has written waits to be sent.
#[derive(Default)]
pub(super) struct Backlog {
    bytes: AtomicUsize,
    waker: AtomicWaker,
}

impl Backlog {
    /// Ready when more may be said. For one task.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        if self.bytes.load(Acquire) < ENOUGH { Poll::Ready(()) } else { Poll::Pending }
    }

    fn set(&self, bytes: usize) {
        if self.bytes.swap(bytes, AcqRel) >= ENOUGH && bytes < ENOUGH {
            self.waker.wake();
        }
    }
}

impl Stream {
    pub(super) fn new(tcp: TcpStream) -> (Self, Arc<Backlog>) {
        let backlog = Arc::<Backlog>::default();
        (Self { tcp, out: BytesMut::new(), backlog: backlog.clone(), greeted: false, last: None }, backlog)
    }

    /// Ready when nothing waits.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let sent = ready!(Pin::new(&mut self.tcp).poll_write(cx, &self.out))?;
            self.out.advance(sent);
            self.backlog.set(self.out.len());
        }
        // An idle connection holds no buffer.
        self.out = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    /// RFC 4253, 4.2: lines of text, without NUL.
    fn greets(&mut self, came: &[u8]) -> io::Result<()> {
        let line = came.split(|byte| *byte == b'\n').next().unwrap_or_default();
        self.greeted = line.len() < came.len();
        if line.iter().any(|byte| matches!(byte, 0 | 0xf8..)) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "what came is not SSH"));
        }
        Ok(())
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(Err(error)) = self.poll_out(cx) {
            return Poll::Ready(Err(error));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.tcp).poll_read(cx, buf))?;
        if !self.greeted {
            self.greets(buf.filled().get(before..).unwrap_or_default())?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.out.extend_from_slice(bytes);
        self.backlog.set(self.out.len());
        match self.poll_out(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(bytes.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.poll_out(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Whatever becomes of this, the session has another reason to end, which it tells when this is over.
        if self.poll_out(cx).is_pending() {
            let last = self.last.get_or_insert_with(|| Box::pin(sleep(LAST_WORDS)));
            ready!(last.as_mut().poll(cx));
        }
        drop(ready!(Pin::new(&mut self.tcp).poll_shutdown(cx)));
        Poll::Ready(Ok(()))
    }
}
