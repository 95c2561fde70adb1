//! A service with a WebSocket: what it sends and receives in messages is seen as one stream of bytes.

use super::{FarEnd, Kind, Listener, Porch, Reason, Stream, Target};
use crate::connections::{self, Address, websocket::Headed};
use bytes::{Buf as _, Bytes};
use futures_util::{
    Sink as _, Stream as _,
    future::{BoxFuture, FutureExt as _},
};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::{
    WebSocketStream, accept_async_with_config,
    tungstenite::{Error, Message, protocol::WebSocketConfig},
};

/// One read of a link, at most.
const MESSAGE: usize = 16 * 1024;

pub(in crate::connections::tests) struct WebSocket(Porch);

struct Unwrapped {
    stream: WebSocketStream<Headed<Stream>>,
    rest: Bytes,
}

pub(in crate::connections::tests) fn target(uri: &str, settings: connections::websocket::Settings) -> Target {
    let service = connections::websocket::Service::new(uri, None, Default::default(), settings.into());
    Target::new(Address::WebSocket(service.expect("uri")))
}

impl Kind for WebSocket {
    // In the middle of the handshake; it is a reset if the device has not read what was said.
    const CLOSED_AT_ONCE: &'static [Reason] = &[Reason::Closed, Reason::Reset];
    const GARBLED: &'static [Reason] = &[Reason::Protocol];

    fn make() -> Self {
        Self(Porch::new(Listener::address(), |stream| {
            async {
                let config = WebSocketConfig::default().write_buffer_size(0);
                let stream =
                    accept_async_with_config(Headed::new(stream, b"GET "), Some(config)).await.ok()?;
                Some(Box::new(Unwrapped { stream, rest: Bytes::new() }) as Stream)
            }
            .boxed()
        }))
    }

    fn target(&self) -> Target {
        target(&format!("ws://{}/", self.0.address), Default::default())
    }

    async fn appear(&mut self) {
        self.0.appear().await;
    }

    fn disappear(&mut self) {
        self.0.disappear();
    }

    async fn accept(&self) -> Stream {
        self.0.accept().await
    }
}

impl FarEnd for Unwrapped {
    fn reset(self: Box<Self>) -> BoxFuture<'static, ()> {
        self.stream.into_inner().into_inner().reset()
    }
}

fn failed(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::other(other),
    }
}

impl AsyncRead for Unwrapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.rest = bytes,
                Some(Ok(Message::Text(text))) => self.rest = text.into(),
                Some(Ok(Message::Close(_))) | None | Some(Err(Error::Protocol(_))) => {
                    return Poll::Ready(Ok(()));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(failed(error))),
            }
        }
        let count = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest[..count]);
        self.rest.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Unwrapped {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let count = bytes.len().min(MESSAGE);
        let message = Message::Binary(Bytes::copy_from_slice(&bytes[..count]));
        ready!(Pin::new(&mut self.stream).poll_ready(cx)).map_err(failed)?;
        Poll::Ready(Pin::new(&mut self.stream).start_send(message).map(|()| count).map_err(failed))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx).map_err(failed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx).map_err(failed)
    }
}
