//! A device that speaks TLS, with a certificate of an authority that the target trusts.

use super::{super::peers, FarEnd, Kind, Listener, Porch, Reason, Stream, Target};
use crate::connections;
use futures_util::future::{BoxFuture, FutureExt as _};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

pub(in crate::connections::tests) struct Tls {
    porch: Porch,
    settings: connections::Tls,
}

/// What is cut off in the middle of a record ends here as with TCP: as the end.
struct Decrypted(TlsStream<Stream>);

/// The device's side of handshakes.
pub(in crate::connections::tests) fn acceptor(identity: &peers::Identity) -> TlsAcceptor {
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).expect("PEM")];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("PEM");
    crate::tls::install_provider();
    let server = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("server");
    TlsAcceptor::from(Arc::new(server))
}

impl Kind for Tls {
    // In the middle of the handshake; it is a reset if the device has not read what was said.
    const CLOSED_AT_ONCE: &'static [Reason] = &[Reason::Closed, Reason::Reset, Reason::Tls];
    const GARBLED: &'static [Reason] = &[Reason::Tls];

    fn make() -> Self {
        let address = Listener::address();
        let authority = peers::Authority::new("Contract");
        let identity = authority.issue(&peers::params(&[&address.ip().to_string()]));
        let settings = connections::Tls { ca: Some(authority.pem), ..connections::Tls::default() };
        let acceptor = acceptor(&identity);
        let porch = Porch::new(address, move |stream| {
            let accept = acceptor.accept(stream);
            async move { Some(Box::new(Decrypted(accept.await.ok()?)) as Stream) }.boxed()
        });
        Self { porch, settings }
    }

    fn target(&self) -> Target {
        let address = self.porch.address;
        Target::tls(address.ip().to_string(), address.port(), self.settings.clone())
    }

    async fn appear(&mut self) {
        self.porch.appear().await;
    }

    fn disappear(&mut self) {
        self.porch.disappear();
    }

    async fn accept(&self) -> Stream {
        self.porch.accept().await
    }
}

impl FarEnd for Decrypted {
    fn reset(self: Box<Self>) -> BoxFuture<'static, ()> {
        let (stream, _) = self.0.into_inner();
        stream.reset()
    }
}

impl AsyncRead for Decrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.0).poll_read(cx, buf) {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
            other => other,
        }
    }
}

impl AsyncWrite for Decrypted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
