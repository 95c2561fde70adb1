//! WebSocket over TCP or TLS: both handshakes count as part of the attempt.

use super::{
    super::{
        Failure, Hub, Reason,
        tls::Secured,
        websocket::{Headed, Service, Socket, refused},
        wire::Wire,
    },
    tls::Prepared,
};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout_at},
};
use tokio_tungstenite::client_async_with_config;

/// `stream` connects.
pub(in crate::connections) async fn dial<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    hub: &Hub,
    service: &Service,
    stream: impl Future<Output = Result<(S, SocketAddr), Failure>>,
    deadline: Instant,
) -> Result<Wire, Failure> {
    // What lies below knows the host only.
    let below = |failure: Failure| Failure::new(failure.reason, format!("{service}: {failure}"));
    let prepared =
        service.tls().map(|tls| Prepared::new(service.endpoint(), tls)).transpose().map_err(below)?;
    let (stream, peer) = stream.await.map_err(below)?;
    match prepared {
        None => open(hub, service, stream, peer, deadline).await,
        Some(prepared) => {
            let stream = prepared.handshake(stream, &hub.options, deadline).await.map_err(below)?;
            open(hub, service, Secured(stream), peer, deadline).await
        }
    }
}

async fn open<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    hub: &Hub,
    service: &Service,
    stream: S,
    peer: SocketAddr,
    deadline: Instant,
) -> Result<Wire, Failure> {
    let config = Some(Socket::<Headed<S>>::config(service));
    let stream = Headed::new(stream, b"HTTP/1.1 ");
    match timeout_at(deadline, client_async_with_config(service.request()?, stream, config)).await {
        Ok(Ok((stream, _))) => Ok(Wire::transport(Socket::new(service.clone(), stream), Some(peer))),
        Ok(Err(error)) => Err(refused(service, &error)),
        Err(_) => {
            let what = format!(
                "{service} accepted the connection, but did not answer the WebSocket handshake within {} ms: it may not speak \
                 WebSocket on this port, or be overloaded.",
                hub.options.connect_timeout_ms
            );
            Err(Failure::new(Reason::Timeout, what))
        }
    }
}
