//! Host names to addresses, without blocking the runtime: a bounded number of threads ask the system's resolver.
//!
//! The system's resolver cannot be interrupted. A lookup that is given up keeps its slot until it really ends, so a dead
//! DNS server costs `dns_concurrency` threads, never more.

use futures_util::future::BoxFuture;
use std::{
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    sync::Arc,
};
use tokio::sync::Semaphore;

/// Replaceable, so that tests can decide what a name means from one attempt to the next.
pub trait Resolve: Send + Sync {
    /// In order of preference.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;
}

/// `getaddrinfo`: `/etc/hosts`, DNS, and whatever else this machine is configured to ask.
pub(super) struct System {
    slots: Arc<Semaphore>,
}

impl System {
    pub(super) fn new(concurrency: usize) -> Self {
        Self { slots: Arc::new(Semaphore::new(concurrency.max(1))) }
    }
}

impl Resolve for System {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move {
            let slot = self.slots.clone().acquire_owned().await.map_err(io::Error::other)?;
            let host = host.to_owned();
            let lookup = move || {
                let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
                drop(slot);
                found
            };
            tokio::task::spawn_blocking(lookup).await.map_err(io::Error::other)?
        })
    }
}

/// Both families in turn, the preferred one first, so that a family without a route costs one stagger and not all of them.
pub(super) fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut preferred, mut other) = (Vec::new(), Vec::new());
    for address in addresses {
        let list = if address.is_ipv6() == first_is_v6 { &mut preferred } else { &mut other };
        if !list.contains(&address) {
            list.push(address);
        }
    }
    let mut others = other.into_iter();
    let mut mixed: Vec<_> = preferred.into_iter().flat_map(|a| [Some(a), others.next()]).flatten().collect();
    mixed.extend(others);
    mixed
}
