//! One connection attempt: name resolution, the addresses in turn, socket options, and what a failure is called.

use super::{
    Address, Failure, Hub, Reason,
    options::{Options, ms},
    resolve::interleave,
    wire::Wire,
};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use socket2::{SockRef, TcpKeepalive};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpSocket, TcpStream, UnixStream},
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep, timeout, timeout_at},
};

/// Addresses of one name that are tried in one attempt.
const ADDRESSES: usize = 8;

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

async fn dial(hub: &Hub, address: &Address) -> Result<Wire, Failure> {
    let options = &hub.options;
    let deadline = Instant::now() + ms(options.connect_timeout_ms);
    match address {
        Address::Tcp { host, port } => {
            let addresses = resolve(hub, address, host, *port, deadline).await?;
            tcp(options, address, &addresses, deadline).await
        }
        Address::Unix(path) => match timeout_at(deadline, UnixStream::connect(path)).await {
            Ok(Ok(stream)) => Ok(Wire::unix(stream)),
            Ok(Err(error)) => Err(refusal(&address.to_string(), &error)),
            Err(_) => Err(late(&address.to_string(), options)),
        },
    }
}

async fn resolve(
    hub: &Hub,
    address: &Address,
    host: &str,
    port: u16,
    deadline: Instant,
) -> Result<Vec<SocketAddr>, Failure> {
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
    Err(Failure::new(Reason::Dns, format!("{address}: cannot resolve {host:?}: {trouble}. {sentence}")))
}

/// The first address that accepts wins. The next one starts when one fails, or `address_stagger_ms` after the previous.
async fn tcp(
    options: &Options,
    address: &Address,
    addresses: &[SocketAddr],
    deadline: Instant,
) -> Result<Wire, Failure> {
    let mut waiting = addresses.iter().copied();
    let mut running = FuturesUnordered::new();
    let mut worst: Option<Failure> = None;
    running.extend(waiting.next().map(|to| connect(options, to)));
    loop {
        let more = waiting.len() > 0;
        let stagger = async {
            if more { sleep(ms(options.address_stagger_ms)).await } else { std::future::pending().await }
        };
        tokio::select! {
            biased;
            Some((to, outcome)) = running.next() => match outcome {
                Ok(stream) => return Ok(Wire::tcp(stream, to)),
                Err(error) => {
                    let failure = refusal(&named(address, to), &error);
                    if worst.as_ref().is_none_or(|other| telling(failure.reason) > telling(other.reason)) {
                        worst = Some(failure);
                    }
                    running.extend(waiting.next().map(|to| connect(options, to)));
                    if running.is_empty() {
                        return Err(worst.unwrap_or_else(|| late(&address.to_string(), options)));
                    }
                }
            },
            () = stagger => running.extend(waiting.next().map(|to| connect(options, to))),
            () = tokio::time::sleep_until(deadline) => {
                let silent = addresses.iter().map(|to| named(address, *to)).collect::<Vec<_>>().join(", ");
                return Err(worst.unwrap_or_else(|| late(&silent, options)));
            }
        }
    }
}

/// The resolved address too, when it is not the one that people wrote.
fn named(address: &Address, resolved: SocketAddr) -> String {
    let (written, resolved) = (address.to_string(), resolved.to_string());
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

async fn connect(options: &Options, to: SocketAddr) -> (SocketAddr, io::Result<TcpStream>) {
    let socket = if to.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() };
    let outcome = match socket.and_then(|socket| tune(&socket, options).map(|()| socket)) {
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

fn tune(socket: &TcpSocket, options: &Options) -> io::Result<()> {
    socket.set_nodelay(true)?;
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

fn late(address: &str, options: &Options) -> Failure {
    let reason = Reason::Timeout;
    Failure::new(
        reason,
        format!("{address} did not answer within {} ms. {}", options.connect_timeout_ms, reason.sentence()),
    )
}

/// What a failed attempt is called.
pub(super) fn refusal(address: &str, error: &io::Error) -> Failure {
    use io::ErrorKind as Kind;
    let (reason, happened) = match error.kind() {
        Kind::ConnectionRefused => (Reason::Refused, "refused the connection"),
        Kind::NotFound => (Reason::Refused, "does not exist: whatever listens there is not running"),
        Kind::PermissionDenied => (Reason::Refused, "may not be connected to by this process"),
        Kind::TimedOut => (Reason::Timeout, "did not answer"),
        Kind::WouldBlock => (Reason::Timeout, "has more connections waiting than it accepts"),
        Kind::ConnectionReset | Kind::ConnectionAborted => {
            (Reason::Reset, "reset the connection as it was made")
        }
        _ => (Reason::Unreachable, "cannot be reached"),
    };
    Failure::new(reason, format!("{address} {happened} ({error}). {}", reason.sentence()))
}

/// What the end of a connection is called.
pub(super) fn loss(address: &Address, error: &io::Error) -> Failure {
    use io::ErrorKind as Kind;
    let (reason, happened) = match error.kind() {
        Kind::ConnectionReset => (Reason::Reset, "reset the connection"),
        Kind::BrokenPipe | Kind::ConnectionAborted | Kind::NotConnected | Kind::UnexpectedEof => {
            return closed(address);
        }
        Kind::TimedOut => (Reason::Silent, "stopped answering"),
        _ => (Reason::Unreachable, "can no longer be reached"),
    };
    Failure::new(reason, format!("{address} {happened} ({error}). {}", reason.sentence()))
}

pub(super) fn closed(address: &Address) -> Failure {
    let reason = Reason::Closed;
    Failure::new(reason, format!("{address} closed the connection. {}", reason.sentence()))
}
