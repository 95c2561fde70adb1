//! A TCP connection: name resolution, the addresses in turn, socket options. What TLS, WebSocket, SSH and RFC 2217 build on.

use super::{
    super::{
        Failure, Hub, Reason,
        options::{Options, ms},
        resolve::interleave,
        target::Endpoint,
    },
    failure::{late, refusal},
};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use socket2::{SockRef, TcpKeepalive};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::{Instant, sleep, timeout_at},
};

/// Addresses of one name that are tried in one attempt.
const ADDRESSES: usize = 8;

/// A connected stream, and the address that answered.
pub(in crate::connections) async fn stream(
    hub: &Hub,
    endpoint: &Endpoint,
    deadline: Instant,
) -> Result<(TcpStream, SocketAddr), Failure> {
    let addresses = of_family(endpoint, resolve(hub, endpoint, deadline).await?)?;
    race(&hub.options, endpoint, &addresses, deadline).await
}

/// A source address can only reach addresses of its own family.
pub(super) fn of_family(
    endpoint: &Endpoint,
    mut addresses: Vec<SocketAddr>,
) -> Result<Vec<SocketAddr>, Failure> {
    let Some(source) = endpoint.source else { return Ok(addresses) };
    addresses.retain(|address| address.is_ipv4() == source.is_ipv4());
    if addresses.is_empty() {
        let family = if source.is_ipv4() { "IPv4" } else { "IPv6" };
        let what = format!(
            "{endpoint} has no {family} address, as it must to be reached from the source address {source}: change the source"
        );
        return Err(Failure::new(Reason::Unreachable, what));
    }
    Ok(addresses)
}

/// The addresses of a name, those to be tried first in front; not empty.
pub(in crate::connections) async fn resolve(
    hub: &Hub,
    endpoint: &Endpoint,
    deadline: Instant,
) -> Result<Vec<SocketAddr>, Failure> {
    let (host, port) = (endpoint.host.as_str(), endpoint.port);
    let literal = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    if let Ok(ip) = literal.parse() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let until = deadline.min(Instant::now() + ms(hub.options.dns_timeout_ms));
    let trouble = match timeout_at(until, hub.resolver.resolve(host, port)).await {
        Ok(Ok(found)) if !found.is_empty() => {
            let mut addresses = interleave(found);
            addresses.truncate(ADDRESSES);
            return Ok(addresses);
        }
        Ok(Ok(_)) => "it has no addresses".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => {
            format!("no answer within {} ms", hub.options.dns_timeout_ms.min(hub.options.connect_timeout_ms))
        }
    };
    let sentence = Reason::Dns.sentence();
    Err(Failure::new(Reason::Dns, format!("{endpoint}: cannot resolve {host:?}: {trouble}. {sentence}")))
}

/// The first address that accepts wins. The next one starts when one fails, or `address_stagger_ms` after the previous.
async fn race(
    options: &Options,
    endpoint: &Endpoint,
    addresses: &[SocketAddr],
    deadline: Instant,
) -> Result<(TcpStream, SocketAddr), Failure> {
    let mut waiting = addresses.iter().copied();
    let mut running = FuturesUnordered::new();
    let mut worst: Option<Failure> = None;
    running.extend(waiting.next().map(|to| connect(options, endpoint, to)));
    loop {
        let more = waiting.len() > 0;
        let stagger = async {
            if more { sleep(ms(options.address_stagger_ms)).await } else { std::future::pending().await }
        };
        tokio::select! {
            biased;
            Some((to, outcome)) = running.next() => match outcome {
                Ok(stream) => return Ok((stream, to)),
                Err(error) => {
                    let failure = refusal(&named(endpoint, to), &error);
                    if worst.as_ref().is_none_or(|other| telling(failure.reason) > telling(other.reason)) {
                        worst = Some(failure);
                    }
                    running.extend(waiting.next().map(|to| connect(options, endpoint, to)));
                    if running.is_empty() {
                        return Err(worst.unwrap_or_else(|| late(&endpoint.to_string(), options)));
                    }
                }
            },
            () = stagger => running.extend(waiting.next().map(|to| connect(options, endpoint, to))),
            () = tokio::time::sleep_until(deadline) => {
                let silent = addresses.iter().map(|to| named(endpoint, *to)).collect::<Vec<_>>().join(", ");
                return Err(worst.unwrap_or_else(|| late(&silent, options)));
            }
        }
    }
}

/// The resolved address too, when it is not the one that people wrote.
fn named(endpoint: &Endpoint, resolved: SocketAddr) -> String {
    let (written, resolved) = (endpoint.to_string(), resolved.to_string());
    if written == resolved { written } else { format!("{written} ({resolved})") }
}

/// Of several addresses' failures, the one that says most about the device is the one to show.
fn telling(reason: Reason) -> u8 {
    match reason {
        Reason::Refused => 4,
        Reason::Reset => 3,
        Reason::Timeout => 2,
        _ => 1,
    }
}

async fn connect(
    options: &Options,
    endpoint: &Endpoint,
    to: SocketAddr,
) -> (SocketAddr, io::Result<TcpStream>) {
    let socket = if to.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() };
    let outcome = match socket.and_then(|socket| tune(&socket, options, endpoint.source).map(|()| socket)) {
        Ok(socket) => socket.connect(to).await.and_then(not_itself),
        Err(error) => Err(error),
    };
    (to, outcome)
}

/// A socket that connects to its own machine may be given, as its own, the very port it connects to, and then reach itself.
fn not_itself(stream: TcpStream) -> io::Result<TcpStream> {
    if stream.local_addr()? == stream.peer_addr()? {
        Err(io::ErrorKind::ConnectionRefused.into())
    } else {
        Ok(stream)
    }
}

fn tune(socket: &TcpSocket, options: &Options, source: Option<IpAddr>) -> io::Result<()> {
    socket.set_nodelay(true)?;
    if let Some(source) = source {
        let unusable = |error: io::Error| {
            let what = format!(
                "cannot connect from the source address {source}: {error}; is it one of this machine?"
            );
            io::Error::new(error.kind(), what)
        };
        socket.bind(SocketAddr::new(source, 0)).map_err(unusable)?;
    }
    let socket = SockRef::from(socket);
    if options.keepalive_idle_ms > 0 {
        let keepalive = TcpKeepalive::new()
            .with_time(whole_seconds(options.keepalive_idle_ms))
            .with_interval(whole_seconds(options.keepalive_interval_ms))
            .with_retries(options.keepalive_count.max(1));
        socket.set_tcp_keepalive(&keepalive)?;
    }
    if options.user_timeout_ms > 0 {
        socket.set_tcp_user_timeout(Some(ms(options.user_timeout_ms)))?;
    }
    Ok(())
}

fn whole_seconds(milliseconds: u64) -> Duration {
    Duration::from_secs(milliseconds.div_ceil(1000).max(1))
}
