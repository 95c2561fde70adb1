//! The two halves of a connection, whatever its kind. The link's task reads; whoever holds the link's lock writes.
//!
//! Bare sockets are written on the transmitting thread and read without a buffer held. Every other kind is a [`Transport`],
//! which only the link's task polls: what is transmitted is queued for it.

use super::{
    Failure,
    buffers::{Buffer, Pool},
    payload::{Form, Payload},
    ssh,
};
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    ops::Deref,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream, tcp, unix},
};

/// A connection that has just been made.
pub(super) struct Wire {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    /// None where there is no such address: Unix sockets, serial ports.
    pub(super) peer: Option<SocketAddr>,
}

/// A connection that is more than a bare socket: TLS, UDP, serial, WebSocket and so on. Only the link's task polls it.
///
/// A transport that knows better than the system why it ended wraps a [`Failure`] with `io::Error::other`.
pub(super) trait Transport: Send {
    /// `None`: the peer has ended the connection. Needs no flush to make progress.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Option<Arrival>>>;

    /// Takes bytes of the front of the queue and says how many: a stream some, a kind that has messages all.
    fn poll_send(&mut self, cx: &mut Context<'_>, payload: &Payload) -> Poll<io::Result<usize>>;

    /// Ready when all that was taken has been handed to the system.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// What commands can be run in.
    fn ssh(&self) -> Option<Arc<ssh::Session>> {
        None
    }
    /// Ready when it is this link's turn, on a connection that is shared.
    fn poll_turn(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Gives the turn back, or stops waiting for it.
    fn release(&mut self) {}

    /// The driver gave the connection up: a shared one ends for all who share it.
    fn give_up(&mut self, _: &Failure) {}
}

/// How a [`Transport`] gives what came.
pub(super) enum Arrival {
    /// Bytes of a stream, in the buffer.
    Filled,
    /// One message, which may be empty.
    Message(Bytes, Form),
    /// A datagram of somebody else than the peer of the connection.
    Datagram(Bytes, SocketAddr),
}

pub(super) enum Reader {
    Tcp(tcp::OwnedReadHalf),
    Unix(unix::OwnedReadHalf),
    Transport(Arc<Mutex<dyn Transport>>),
}

pub(super) enum Writer {
    Tcp(tcp::OwnedWriteHalf),
    Unix(unix::OwnedWriteHalf),
    Transport(Arc<Mutex<dyn Transport>>),
}

/// What was read at once; derefs to its bytes.
pub(super) enum Piece<'a> {
    Stream(Buffer<'a>),
    Message(Bytes, Form),
    Datagram(Bytes, SocketAddr),
}

/// Any byte stream.
struct Stream<S>(S);

// === impl Wire ===

impl Wire {
    pub(super) fn tcp(stream: TcpStream, peer: SocketAddr) -> Self {
        let (reader, writer) = stream.into_split();
        Self { reader: Reader::Tcp(reader), writer: Writer::Tcp(writer), peer: Some(peer) }
    }

    pub(super) fn unix(stream: UnixStream) -> Self {
        let (reader, writer) = stream.into_split();
        Self { reader: Reader::Unix(reader), writer: Writer::Unix(writer), peer: None }
    }

    /// The socket of a bare TCP connection, to go on with in another way.
    pub(super) fn reunite(reader: Reader, writer: Writer) -> Option<TcpStream> {
        match (reader, writer) {
            (Reader::Tcp(reader), Writer::Tcp(writer)) => reader.reunite(writer).ok(),
            _ => None,
        }
    }

    pub(super) fn stream(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        peer: Option<SocketAddr>,
    ) -> Self {
        Self::transport(Stream(stream), peer)
    }

    pub(super) fn transport(transport: impl Transport + 'static, peer: Option<SocketAddr>) -> Self {
        let transport = Arc::new(Mutex::new(transport));
        Self { reader: Reader::Transport(transport.clone()), writer: Writer::Transport(transport), peer }
    }
}

// === impl Reader ===

impl Reader {
    /// `None`: the peer has ended the connection. No buffer is held while nothing comes.
    pub(super) fn poll_read<'a>(
        &mut self,
        cx: &mut Context<'_>,
        pool: &'a Pool,
    ) -> Poll<io::Result<Option<Piece<'a>>>> {
        match self {
            Self::Tcp(half) => {
                ready!(half.as_ref().poll_read_ready(cx))?;
                read_socket(Pin::new(half), cx, pool)
            }
            Self::Unix(half) => {
                ready!(half.as_ref().poll_read_ready(cx))?;
                read_socket(Pin::new(half), cx, pool)
            }
            Self::Transport(transport) => {
                let mut buffer = pool.take();
                let arrival = buffer.read(|buf| transport.lock().poll_receive(cx, buf));
                Poll::Ready(Ok(ready!(arrival)?.map(|arrival| match arrival {
                    Arrival::Filled => Piece::Stream(buffer),
                    Arrival::Message(bytes, form) => Piece::Message(bytes, form),
                    Arrival::Datagram(bytes, from) => Piece::Datagram(bytes, from),
                })))
            }
        }
    }
}

impl Reader {
    pub(super) fn give_up(&mut self, failure: &Failure) {
        if let Self::Transport(transport) = self {
            transport.lock().give_up(failure);
        }
    }
}

/// Unlike `try_read`, `poll_read` knows after a short read that there is no more, and saves the call that would say so.
fn read_socket<'a>(
    half: Pin<&mut impl AsyncRead>,
    cx: &mut Context<'_>,
    pool: &'a Pool,
) -> Poll<io::Result<Option<Piece<'a>>>> {
    let mut buffer = pool.take();
    ready!(buffer.read(|buf| half.poll_read(cx, buf)))?;
    Poll::Ready(Ok((!buffer.is_empty()).then_some(Piece::Stream(buffer))))
}

// === impl Writer ===

impl Writer {
    /// Written on the transmitting thread, many payloads at once.
    pub(super) fn is_socket(&self) -> bool {
        !matches!(self, Self::Transport(_))
    }

    pub(super) fn ssh(&self) -> Option<Arc<ssh::Session>> {
        match self {
            Self::Transport(transport) => transport.lock().ssh(),
            _ => None,
        }
    }

    /// On the transmitting thread; `WouldBlock` where only the link's task may write.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(half) => half.try_write(bytes),
            Self::Unix(half) => half.try_write(bytes),
            Self::Transport(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Writes the front of a queue; how many bytes were taken. Only for the link's task: the last caller is the one that
    /// is woken.
    pub(super) fn poll_write<'a>(
        &self,
        cx: &mut Context<'_>,
        front: &Payload,
        slices: impl FnOnce(&mut [IoSlice<'a>]) -> usize,
    ) -> Poll<io::Result<usize>> {
        let mut array = [IoSlice::new(&[]); BATCH];
        let filled = match self {
            Self::Transport(transport) => return transport.lock().poll_send(cx, front),
            _ => slices(&mut array),
        };
        let slices = array.get(..filled).unwrap_or_default();
        loop {
            let written = match self {
                Self::Tcp(half) => {
                    ready!(half.as_ref().poll_write_ready(cx))?;
                    half.try_write_vectored(slices)
                }
                Self::Unix(half) => {
                    ready!(half.as_ref().poll_write_ready(cx))?;
                    half.try_write_vectored(slices)
                }
                Self::Transport(_) => Ok(0),
            };
            match written {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    /// Ready when nothing that was written waits on this side of the system.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::Transport(transport) => transport.lock().poll_flush(cx),
        }
    }
}

impl Writer {
    pub(super) fn poll_turn(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::Transport(transport) => transport.lock().poll_turn(cx),
        }
    }

    pub(super) fn release(&self) {
        if let Self::Transport(transport) = self {
            transport.lock().release();
        }
    }
}

/// Payloads handed to the system in one call.
const BATCH: usize = 32;

// === impl Piece ===

impl Piece<'_> {
    pub(super) fn form(&self) -> Form {
        match self {
            Self::Stream(_) | Self::Datagram(..) => Form::Bytes,
            Self::Message(_, form) => *form,
        }
    }

    /// Who sent it, if that is not the peer of the connection.
    pub(super) fn from(&self) -> Option<SocketAddr> {
        match self {
            Self::Datagram(_, from) => Some(*from),
            Self::Stream(_) | Self::Message(..) => None,
        }
    }
}

impl Deref for Piece<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Stream(buffer) => buffer,
            Self::Message(bytes, _) | Self::Datagram(bytes, _) => bytes,
        }
    }
}

// === impl Stream ===

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Transport for Stream<S> {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Option<Arrival>>> {
        ready!(Pin::new(&mut self.0).poll_read(cx, buf))?;
        Poll::Ready(Ok((!buf.filled().is_empty()).then_some(Arrival::Filled)))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, payload: &Payload) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, &payload.bytes)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
}
