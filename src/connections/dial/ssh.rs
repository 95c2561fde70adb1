//! SSH over TCP: what follows the TCP connection has a time of its own.

use super::{
    super::{Failure, Hub, ssh, wire::Wire},
    tcp,
};
use tokio::time::Instant;

pub(super) async fn dial(hub: &Hub, target: &ssh::Target, deadline: Instant) -> Result<Wire, Failure> {
    let (stream, peer) = tcp::stream(hub, &target.endpoint, deadline).await?;
    let shell = ssh::open(stream, target, hub.pins.clone()).await?;
    Ok(Wire::transport(shell, Some(peer)))
}
