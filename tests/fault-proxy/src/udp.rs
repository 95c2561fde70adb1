//! Datagrams: each client has a socket of its own towards the peer, so that the peer's answers find their way back.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::place::Place;
use crate::{Fault, GARBAGE, Shared, flood};

/// No datagram is longer.
const LONGEST: usize = 65_536;

/// Relays until it is dropped.
pub(crate) async fn relay(socket: UdpSocket, shared: Arc<Shared>) {
    let socket = Arc::new(socket);
    let mut clients: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut answers = JoinSet::new();
    let mut buffer = vec![0; LONGEST];
    loop {
        // What the system says of a datagram that was lost (ICMP) is no end.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
        let datagram = buffer.get(..length).unwrap_or_default().to_vec();
        let upstream = match clients.get(&client) {
            Some(upstream) => upstream.clone(),
            None => {
                let Ok(upstream) = towards(&shared).await else { continue };
                let upstream = Arc::new(upstream);
                shared.count(|counts| counts.connections += 1);
                clients.insert(client, upstream.clone());
                answers.spawn(back(upstream.clone(), socket.clone(), client, shared.clone()));
                upstream
            }
        };
        let fault = *shared.fault.borrow();
        match fault {
            Fault::Garbage => say(&socket, client, GARBAGE.to_vec(), &shared).await,
            Fault::Flood(bytes) => {
                let mut sent = 0;
                while sent < bytes {
                    let length = usize::try_from((bytes - sent).min(1024)).unwrap_or(1024);
                    say(&socket, client, flood(sent, length).collect(), &shared).await;
                    sent += length as u64;
                }
            }
            _ => {
                let Some(delay) = delay(fault) else { continue };
                let (shared, length) = (shared.clone(), length as u64);
                answers.spawn(async move {
                    sleep(delay).await;
                    if upstream.send(&datagram).await.is_ok() {
                        shared.count(|counts| counts.to_peer += length);
                    }
                });
            }
        }
    }
}

async fn towards(shared: &Shared) -> io::Result<UdpSocket> {
    let Place::Udp(peer) = shared.peer() else { return Err(io::ErrorKind::Unsupported.into()) };
    let any: SocketAddr = if peer.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(peer).await?;
    Ok(socket)
}

/// What the peer answers a client.
async fn back(upstream: Arc<UdpSocket>, socket: Arc<UdpSocket>, client: SocketAddr, shared: Arc<Shared>) {
    let mut buffer = vec![0; LONGEST];
    loop {
        let Ok(length) = upstream.recv(&mut buffer).await else { continue };
        let fault = *shared.fault.borrow();
        let Some(delay) = delay(fault) else { continue };
        sleep(delay).await;
        say(&socket, client, buffer.get(..length).unwrap_or_default().to_vec(), &shared).await;
    }
}

async fn say(socket: &UdpSocket, client: SocketAddr, datagram: Vec<u8>, shared: &Shared) {
    if socket.send_to(&datagram, client).await.is_ok() {
        shared.count(|counts| counts.to_client += datagram.len() as u64);
    }
}

/// How much later a datagram is passed on; none: it is lost.
fn delay(fault: Fault) -> Option<Duration> {
    match fault {
        Fault::None | Fault::Flood(_) => Some(Duration::ZERO),
        Fault::Pace(time) | Fault::Delay(time) => Some(time),
        _ => None,
    }
}
