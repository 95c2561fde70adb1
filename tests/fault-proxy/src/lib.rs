//! A relay between a client and its peer whose connections go wrong on command.
//!
//! ```
//! # async fn example(device: std::net::SocketAddr) -> std::io::Result<()> {
//! use fault_proxy::{Fault, FaultProxy};
//!
//! let proxy = FaultProxy::tcp(device).await?;
//! // … have the client connect to `proxy.address()`, then:
//! proxy.set(Fault::Silent).await?;
//! proxy.until(|counts| counts.connections == 1).await;
//! # Ok(())
//! # }
//! ```
//!
//! A fault holds from when it is set until another is, for the connections there are and for those to come. What a
//! connection had read and not yet passed on when the fault changed is passed on once it may be again: no byte is lost or
//! changed but by a fault that says so. All waiting is tokio's, so a paused clock works. Dropping the proxy ends everything.

mod carry;
mod place;
mod udp;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use place::{Door, Place};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Fault {
    /// Nothing: everything is passed on.
    #[default]
    None,
    /// Nobody listens; connections there are live on (see [`FaultProxy::cut`]). UDP: nobody receives.
    Refuse,
    /// Connections are accepted and closed, those there are too. UDP: as `Silent`.
    AcceptThenClose,
    /// Connections stay, and new ones are accepted, but nothing is passed on: no byte, no end. UDP: everything is lost.
    Silent,
    /// The peer's side is closed and the client is not told: what it sends is taken and thrown away. Once the fault is over
    /// such a connection is reset, as by a device that restarted and knows nothing of it. UDP: as `Silent`.
    HalfOpen,
    /// So many bytes more are passed on in that direction, then the connection is reset. UDP: as `Silent`.
    ResetAfter(Towards, u64),
    /// One byte at a time is passed on, each direction by itself, and so long is waited after each. UDP: as `Delay`.
    Pace(Duration),
    /// What comes is passed on so much later.
    Delay(Duration),
    /// The client is sent so many bytes (see [`flood`]) that the peer never sent, as fast as it takes them, once on each
    /// connection; then as `None`. UDP: in answer to each datagram, in datagrams of 1 KiB.
    Flood(u64),
    /// The peer is out of it: the client is sent [`GARBAGE`] and whatever it sends is thrown away. To a TLS client that is
    /// no ServerHello. UDP: the answer to each datagram.
    Garbage,
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Towards {
    Client,
    Peer,
}

/// What [`Fault::Garbage`] says: no TLS, no SSH, no HTTP, no line.
pub const GARBAGE: &[u8] =
    b"\xff\xfe\x00\x01 this is not what you were looking for \x00\xff\xff\xff\xff\xff\xff\xff\xff";

/// That part of the endless pattern `0, 1, 2 … 250, 0 …` of which floods are made.
pub fn flood(position: u64, length: usize) -> impl Iterator<Item = u8> {
    (position..).take(length).map(|at| u8::try_from(at % 251).unwrap_or(0))
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    /// Connections accepted. UDP: client addresses seen.
    pub connections: u64,
    /// Connections that are there now.
    pub open: u64,
    /// Bytes that the peer was given.
    pub to_peer: u64,
    /// Bytes that the client was given.
    pub to_client: u64,
}

/// The proxy.
#[derive(Debug)]
pub struct FaultProxy {
    at: Place,
    shared: Arc<Shared>,
    door: tokio::sync::Mutex<Open>,
}

/// What stands where the client comes to.
#[derive(Debug)]
enum Open {
    Yes(JoinHandle<()>),
    /// TCP: keeps the port, and refuses.
    No {
        _reserved: Option<tokio::net::TcpSocket>,
    },
}

#[derive(Debug)]
struct Shared {
    peer: Mutex<Place>,
    fault: watch::Sender<Fault>,
    /// How connections that are there end, each time it is sent.
    cut: watch::Sender<End>,
    counts: watch::Sender<Counts>,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Close,
    Reset,
}

impl FaultProxy {
    /// Between whoever connects to [`address`](Self::address) and a TCP peer, which need not be there yet.
    pub async fn tcp(peer: SocketAddr) -> io::Result<FaultProxy> {
        Self::new(Place::Tcp((own_address(), 0).into()), Place::Tcp(peer)).await
    }

    /// The same for datagrams.
    pub async fn udp(peer: SocketAddr) -> io::Result<FaultProxy> {
        Self::new(Place::Udp((own_address(), 0).into()), Place::Udp(peer)).await
    }

    /// Listens at one path for a peer at another.
    pub async fn unix(at: impl Into<PathBuf>, peer: impl Into<PathBuf>) -> io::Result<FaultProxy> {
        Self::new(Place::Unix(at.into()), Place::Unix(peer.into())).await
    }

    async fn new(at: Place, peer: Place) -> io::Result<FaultProxy> {
        let shared = Arc::new(Shared {
            peer: Mutex::new(peer),
            fault: watch::Sender::default(),
            cut: watch::Sender::new(End::Close),
            counts: watch::Sender::default(),
        });
        let (door, at) = at.open().await?;
        let open = Open::Yes(tokio::spawn(attend(door, shared.clone())));
        Ok(FaultProxy { at, shared, door: tokio::sync::Mutex::new(open) })
    }

    /// Where the client is to connect to: an address of the loopback network that is this proxy's alone, also while it
    /// refuses.
    ///
    /// # Panics
    ///
    /// For a proxy of Unix sockets.
    #[expect(clippy::panic, reason = "a mistake of the test, which this stops")]
    pub fn address(&self) -> SocketAddr {
        match &self.at {
            Place::Tcp(address) | Place::Udp(address) => *address,
            Place::Unix(path) => panic!("{} is a path, not an address", path.display()),
        }
    }

    /// What goes wrong from now on. When this returns the listener is there, or gone.
    pub async fn set(&self, fault: Fault) -> io::Result<()> {
        let mut door = self.door.lock().await;
        match (&mut *door, fault) {
            (Open::Yes(attending), Fault::Refuse) => {
                attending.abort();
                let _ = attending.await;
                *door = Open::No { _reserved: self.at.reserve()? };
            }
            (Open::No { .. }, fault) if fault != Fault::Refuse => {
                // First the reservation goes: a port that somebody is bound to cannot be listened at.
                *door = Open::No { _reserved: None };
                let (listener, _) = self.at.clone().open().await?;
                *door = Open::Yes(tokio::spawn(attend(listener, self.shared.clone())));
            }
            _ => {}
        }
        self.shared.fault.send_replace(fault);
        Ok(())
    }

    /// Ends the connections there are as a peer does that closes them.
    pub fn cut(&self) {
        self.shared.cut.send_replace(End::Close);
    }

    /// Ends the connections there are with a reset. Unix sockets know none: they are closed.
    pub fn reset(&self) {
        self.shared.cut.send_replace(End::Reset);
    }

    /// Lets the client connect and cuts it off, so many times in a row; returns when it is cut off for the last time.
    pub async fn flap(&self, times: u64) {
        // Counted by connections made: whoever connects again at once is never seen to be gone.
        let before = self.counts();
        let mut seen = before.connections - before.open;
        for _ in 0..times {
            seen = self.until(|counts| counts.connections > seen).await.connections;
            self.cut();
        }
        self.until(|counts| counts.open == 0 || counts.connections > seen).await;
    }

    /// Who the peer of connections to come is.
    pub fn set_peer(&self, peer: SocketAddr) {
        let peer = match self.at {
            Place::Udp(_) => Place::Udp(peer),
            _ => Place::Tcp(peer),
        };
        *self.shared.peer.lock() = peer;
    }

    pub fn counts(&self) -> Counts {
        *self.shared.counts.borrow()
    }

    /// Waits until `condition` holds, for as long as that takes.
    pub async fn until(&self, condition: impl Fn(&Counts) -> bool) -> Counts {
        let mut counts = self.shared.counts.subscribe();
        counts.wait_for(condition).await.map_or_else(|_| self.counts(), |counts| *counts)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        if let Open::Yes(attending) = self.door.get_mut() {
            attending.abort();
        }
        self.cut();
    }
}

impl Shared {
    fn peer(&self) -> Place {
        self.peer.lock().clone()
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        self.counts.send_modify(change);
    }
}

async fn attend(door: Door, shared: Arc<Shared>) {
    let door = match door {
        Door::Udp(socket) => return udp::relay(socket, shared).await,
        door => door,
    };
    loop {
        // A descriptor short, say: the next one may be served.
        let Ok(client) = door.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        // Subscribed before anybody is told that it is there.
        let (faults, cuts) = (shared.fault.subscribe(), shared.cut.subscribe());
        shared.count(|counts| {
            counts.connections += 1;
            counts.open += 1;
        });
        tokio::spawn(carry::serve(client, faults, cuts, shared.clone()));
    }
}

/// An address of the loopback network that no other proxy uses, nor any other program by chance: so its ports stay its own,
/// and nothing connects to itself.
fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = std::process::id().wrapping_mul(64).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
    let [_, a, b, c] = number.to_be_bytes();
    // Below 127.128: the connections' own tests have the other half.
    Ipv4Addr::new(127, (a & 0x7f) | 1, b, c.max(1))
}

#[cfg(test)]
mod tests;
