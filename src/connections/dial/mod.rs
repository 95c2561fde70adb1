//! One connection attempt. A file for each kind; most of them build on [`tcp::stream`].

pub(super) mod failure;
pub(super) mod rfc2217;
mod serial;
mod ssh;
pub(super) mod tcp;
pub(super) mod tls;
mod udp;
pub(super) mod websocket;

pub(super) use failure::{closed, loss};

use super::{Address, Failure, Hub, http, messages::Messages, options::ms, wire::Wire};
use failure::{late, refusal};
use std::{path::Path, sync::Arc};
use tokio::{
    net::UnixStream,
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout, timeout_at},
};

/// An attempt that did not wait for the ration holds a permit, for at most `first_attempt_hold_ms`.
pub(super) async fn attempt(
    hub: Arc<Hub>,
    address: Address,
    permit: Option<OwnedSemaphorePermit>,
) -> Result<Wire, Failure> {
    let mut attempt = std::pin::pin!(dial(&hub, &address));
    let Some(permit) = permit else { return attempt.await };
    match timeout(ms(hub.options.first_attempt_hold_ms), &mut attempt).await {
        Ok(outcome) => outcome,
        Err(_) => {
            drop(permit);
            attempt.await
        }
    }
}

pub(super) async fn dial(hub: &Arc<Hub>, address: &Address) -> Result<Wire, Failure> {
    let deadline = Instant::now() + ms(hub.options.connect_timeout_ms);
    match address {
        #[cfg(test)]
        address if let Some(network) = &hub.simulated => network.dial(hub, address, deadline).await,
        Address::Tcp(endpoint) => {
            tcp::stream(hub, endpoint, deadline).await.map(|(stream, peer)| Wire::tcp(stream, peer))
        }
        Address::Tls { endpoint, tls } => {
            tls::dial(hub, endpoint, tls, tcp::stream(hub, endpoint, deadline), deadline).await
        }
        Address::Ssh(target) => ssh::dial(hub, target, deadline).await,
        Address::Udp(target) => udp::dial(hub, target, deadline).await,
        Address::WebSocket(service) => {
            websocket::dial(hub, service, tcp::stream(hub, service.endpoint(), deadline), deadline).await
        }
        Address::Serial { path, line } => serial::dial(address, path, *line, deadline).await,
        Address::Rfc2217 { endpoint, line } => {
            rfc2217::dial(hub, address, *line, tcp::stream(hub, endpoint, deadline), deadline).await
        }
        Address::Bus(address) => hub.buses.dial(hub, address, deadline).await,
        Address::Unix(path) => unix(hub, address, path, deadline).await.map(Wire::unix),
        Address::UnixMessages { path, datagrams } => {
            let stream = unix(hub, address, path, deadline).await?;
            Ok(Wire::transport(Messages::new(stream, *datagrams), None))
        }
        Address::Http(client) => http::link::dial(hub, client).await,
    }
}

async fn unix(hub: &Hub, address: &Address, path: &Path, deadline: Instant) -> Result<UnixStream, Failure> {
    match timeout_at(deadline, UnixStream::connect(path)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(refusal(&address.to_string(), &error)),
        Err(_) => Err(late(&address.to_string(), &hub.options)),
    }
}
