//! A device behind a gateway that speaks RFC 2217, as the bytes within.

use super::{
    super::super::{
        Address, Endpoint, Reason, Target,
        rfc2217::{telnet, tests::Gateway},
    },
    FarEnd, Kind, Listener, Porch, Stream,
};
use crate::model::serial::LineSettings;
use futures_util::future::{BoxFuture, FutureExt as _};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

pub(in super::super) struct Rfc2217(Porch);

struct GatewayEnd {
    stream: Stream,
    gateway: Gateway,
    /// On its way to the daemon.
    out: Vec<u8>,
}

impl Kind for Rfc2217 {
    const CLOSED_AT_ONCE: &'static [Reason] = &[Reason::Closed, Reason::Reset];
    const GARBLED: &'static [Reason] = &[Reason::Protocol];

    fn make() -> Self {
        Self(Porch::new(Listener::address(), |stream| agree(stream).boxed()))
    }

    fn target(&self) -> Target {
        let line = LineSettings { baud: Some(19200), ..LineSettings::default() }.line().expect("settings");
        let endpoint = Endpoint::new(self.0.address.ip().to_string(), self.0.address.port());
        Target::new(Address::Rfc2217 { endpoint, line })
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

/// Until every setting is confirmed.
async fn agree(mut stream: Stream) -> Option<Stream> {
    let mut gateway = Gateway::default();
    while gateway.settings.len() < 5 {
        let mut piece = [0; 256];
        let read = stream.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        stream.write_all(&gateway.answer(&piece[..read])).await.ok()?;
    }
    Some(Box::new(GatewayEnd { stream, gateway, out: Vec::new() }))
}

impl AsyncRead for GatewayEnd {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.gateway.data.is_empty() {
            let mut piece = [0; 4096];
            let mut piece = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut piece))?;
            if piece.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            assert!(this.gateway.answer(piece.filled()).is_empty(), "nothing is left to agree on");
        }
        let count = this.gateway.data.len().min(buf.remaining());
        buf.put_slice(&this.gateway.data.drain(..count).collect::<Vec<_>>());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for GatewayEnd {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.as_mut().poll_flush(cx))?;
        telnet::escape(buf, &mut self.out);
        let _ = self.as_mut().poll_flush(cx)?;
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while !this.out.is_empty() {
            let sent = ready!(Pin::new(&mut this.stream).poll_write(cx, &this.out))?;
            this.out.drain(..sent);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl FarEnd for GatewayEnd {
    fn reset(self: Box<Self>) -> BoxFuture<'static, ()> {
        self.stream.reset()
    }
}
