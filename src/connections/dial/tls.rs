//! TLS over TCP: the handshake counts as part of the attempt.

use super::super::{
    Failure, Hub, Reason,
    options::Options,
    target::Endpoint,
    tls::{self, Secured, Tls, Watched},
    wire::Wire,
};
use rustls::{ClientConfig, pki_types::ServerName};
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// `stream` connects.
pub(in crate::connections) async fn dial<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    hub: &Hub,
    endpoint: &Endpoint,
    tls: &Tls,
    stream: impl Future<Output = Result<(S, SocketAddr), Failure>>,
    deadline: Instant,
) -> Result<Wire, Failure> {
    // What is wrong on this side is found without troubling the device.
    let prepared = Prepared::new(endpoint, tls)?;
    let (stream, peer) = stream.await?;
    let stream = prepared.handshake(stream, &hub.options, deadline).await?;
    Ok(Wire::stream(Secured(stream), Some(peer)))
}

/// Everything a handshake needs but the connection.
pub(in crate::connections) struct Prepared {
    address: String,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Prepared {
    pub(in crate::connections) fn new(endpoint: &Endpoint, tls: &Tls) -> Result<Self, Failure> {
        let fail = |why: &str| Failure::new(Reason::Tls, format!("{endpoint}: {why}"));
        let config = tls::client_config(tls).map_err(|failure| fail(&failure.detail))?;
        let host = tls.server_name.as_deref().unwrap_or(&endpoint.host);
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            fail(&format!("{host:?} is no name that a certificate can have: set connection.tls.server_name"))
        })?;
        Ok(Self { address: endpoint.to_string(), config, name })
    }

    pub(in crate::connections) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        self,
        stream: S,
        options: &Options,
        deadline: Instant,
    ) -> Result<TlsStream<Watched<S>>, Failure> {
        let Self { address, config, name } = self;
        let connect = TlsConnector::from(config).connect(name, Watched::new(stream)).into_fallible();
        match timeout_at(deadline, connect).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err((error, peer))) => Err(tls::handshake_failure(&address, &error, &peer)),
            Err(_) => {
                let what = format!(
                    "{address} accepted the connection, but did not finish the TLS handshake within {} ms: it may not speak TLS \
                     on this port, or be overloaded.",
                    options.connect_timeout_ms
                );
                Err(Failure::new(Reason::Timeout, what))
            }
        }
    }
}
