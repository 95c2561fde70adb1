//! Datagrams: nothing is sent to find out whether somebody is there. The first address that a datagram could be sent to is taken.

use super::{
    super::{Failure, Hub, udp, wire::Wire},
    failure::late,
    tcp,
};
use tokio::time::Instant;

pub(super) async fn dial(hub: &Hub, target: &udp::Target, deadline: Instant) -> Result<Wire, Failure> {
    let endpoint = &target.endpoint;
    let addresses = tcp::of_family(endpoint, tcp::resolve(hub, endpoint, deadline).await?)?;
    let mut first = None;
    for to in addresses {
        match udp::open(&hub.udp, target, to) {
            Ok(datagrams) => return Ok(Wire::transport(datagrams, Some(to))),
            Err(failure) => first = first.or(Some(failure)),
        }
    }
    Err(first.unwrap_or_else(|| late(&endpoint.to_string(), &hub.options)))
}
