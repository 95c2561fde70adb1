//! A local serial port that is open. What opening it takes is in `dial/serial.rs`.

use super::{
    Failure, Payload, Reason,
    wire::{Arrival, Transport},
};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio_serial::{SerialPort as _, SerialStream};

pub(super) struct Port {
    /// Until it is dropped.
    stream: Option<SerialStream>,
    /// For the sentence that says why it ended.
    name: String,
}

impl Port {
    /// `name` as people know it.
    pub(super) fn new(stream: SerialStream, name: String) -> Self {
        Self { stream: Some(stream), name }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut SerialStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// A port has no other way to end: its device is gone, and with it whatever the system knew.
    fn gone(&self, error: Option<io::Error>) -> io::Error {
        let (name, told) = (&self.name, error.map(|error| format!(" ({error})")).unwrap_or_default());
        let what = format!("{name} is gone{told}: it was unplugged, or its adapter lost power.");
        io::Error::other(Failure::new(Reason::Serial, what))
    }
}

impl Transport for Port {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Option<Arrival>>> {
        match ready!(self.stream()?.poll_read(cx, buf)) {
            Err(error) => Poll::Ready(Err(self.gone(Some(error)))),
            Ok(()) if buf.filled().is_empty() => Poll::Ready(Err(self.gone(None))),
            Ok(()) => Poll::Ready(Ok(Some(Arrival::Filled))),
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, payload: &Payload) -> Poll<io::Result<usize>> {
        ready!(self.stream()?.poll_write(cx, &payload.bytes)).map_err(|error| self.gone(Some(error))).into()
    }

    /// The system has taken everything. To flush a port is to wait, on this thread, until the last bit has left it.
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Port {
    /// Closing a port waits for what it has still to send: half a minute, if flow control holds it up. Not on this thread.
    fn drop(&mut self) {
        let Some(mut stream) = self.stream.take() else { return };
        // A pseudo terminal would remember that it was ours alone.
        let _ = stream.set_exclusive(false);
        if stream.bytes_to_write().is_ok_and(|waiting| waiting > 0)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn_blocking(move || drop(stream));
        }
    }
}
