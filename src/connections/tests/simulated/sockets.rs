//! Sockets of the simulated hosts, as what they stand for behaves.

use super::network::{Network, current, reset};
use std::{
    io,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil_net::{
    HostId,
    shim::tokio::net::{TcpListener, TcpStream},
};

/// The simulated system lets nobody listen again at a port while old connections to it are there, as a real one does. So a
/// device that stops to listen is refused for, and goes on later.
pub(in crate::connections::tests) struct Listener {
    pub(super) network: Network,
    pub(super) port: u16,
    pub(super) listener: Arc<TcpListener>,
}

impl Listener {
    pub(in crate::connections::tests) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Stream> {
        let host = self.network.devices();
        turmoil_net::set_current(host);
        self.listener.poll_accept(cx).map(|accepted| Stream::new(host, accepted.expect("accept").0))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.network.refuse(self.port);
    }
}

/// Polls, and is dropped, on a host.
pub(super) struct On<F> {
    pub(super) host: HostId,
    pub(super) inner: Pin<Box<F>>,
}

impl<F: Future> Future for On<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        turmoil_net::set_current(self.host);
        self.inner.as_mut().poll(cx)
    }
}

/// Its fields are dropped right after.
impl<F> Drop for On<F> {
    fn drop(&mut self) {
        turmoil_net::set_current(self.host);
    }
}

/// One end of a connection.
pub(in crate::connections::tests) struct Stream {
    host: HostId,
    /// There until it is dropped.
    stream: Option<TcpStream>,
    /// Read, and not taken yet. The simulated kernel tells the other side that there is room again only when half of its
    /// buffer is read at once.
    read: Box<[u8]>,
    unread: Range<usize>,
    /// Dropped without a word of farewell: with a reset.
    pub(in crate::connections::tests) rude: bool,
}

impl Stream {
    pub(super) fn new(host: HostId, stream: TcpStream) -> Self {
        Self { host, stream: Some(stream), read: vec![0; 64 * 1024].into(), unread: 0..0, rude: false }
    }

    fn on(&mut self) -> Pin<&mut TcpStream> {
        turmoil_net::set_current(self.host);
        Pin::new(self.stream.as_mut().expect("not dropped"))
    }
}

impl Drop for Stream {
    /// The simulated kernel resets what was not shut down, if there is something unread.
    fn drop(&mut self) {
        let rude = self.rude;
        let stream = self.on();
        let Some(network) = current() else { return };
        if rude {
            if let (Ok(local), Ok(peer)) = (stream.local_addr(), stream.peer_addr()) {
                network.forge(reset(local, peer));
            }
            return;
        }
        let _ = stream.poll_shutdown(&mut Context::from_waker(Waker::noop()));
        if let Some(stream) = self.stream.take() {
            network.closing(self.host, stream);
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.unread.is_empty() {
            turmoil_net::set_current(this.host);
            let mut room = ReadBuf::new(&mut this.read);
            let stream = Pin::new(this.stream.as_mut().expect("not dropped"));
            ready!(stream.poll_read(cx, &mut room))?;
            this.unread = 0..room.filled().len();
        }
        let end = this.unread.end.min(this.unread.start + buf.remaining());
        buf.put_slice(&this.read[this.unread.start..end]);
        this.unread.start = end;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.on().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.on().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.on().poll_shutdown(cx)
    }
}
