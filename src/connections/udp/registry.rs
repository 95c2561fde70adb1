//! The sockets that links share: one for each local address and port, one for each group at an interface.
//!
//! A socket exists while a link receives at it. Ports that are named are opened with SO_REUSEADDR, so that another program
//! on this machine that does the same can use them too: what is sent to a group or broadcast then comes to both, what is sent
//! to one machine to whichever of them opened the port last.

use super::{
    interface::Interface,
    port::{Device, Mailbox, Port},
};
use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use tokio::{net::UdpSocket, task::AbortHandle};

/// Cheap to clone.
#[derive(Clone, Default)]
pub(in crate::connections) struct Registry(Arc<Inner>);

#[derive(Default)]
struct Inner {
    shared: Mutex<HashMap<Key, Shared>>,
    /// Datagrams that links did not take in time.
    dropped: AtomicU64,
}

struct Shared {
    port: Weak<Port>,
    reader: AbortHandle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// A port of this machine.
    Home(SocketAddr),
    /// Only what is sent to the group.
    Group(SocketAddr, Interface),
}

/// A link's part in a port; leaves it when dropped.
pub(super) struct Member {
    pub(super) port: Arc<Port>,
    pub(super) mailbox: Arc<Mailbox>,
    registry: Registry,
    key: Option<Key>,
    reader: AbortHandle,
}

impl Registry {
    pub(in crate::connections) fn dropped(&self) -> u64 {
        self.0.dropped.load(Relaxed)
    }

    /// A socket of the link's own. `to`: what the system need not deliver from elsewhere.
    pub(super) fn own(&self, source: IpAddr, to: Option<SocketAddr>, device: Device) -> io::Result<Member> {
        let socket = home(SocketAddr::new(source, 0), false)?;
        if let Some(to) = to {
            socket.connect(&to.into())?;
        }
        let (port, reader) = self.start(socket, to.is_some())?;
        Ok(Member { mailbox: port.join(device), port, registry: self.clone(), key: None, reader })
    }

    /// At a port of this machine that other links may receive at too.
    pub(super) fn home(&self, local: SocketAddr, device: Device) -> io::Result<Member> {
        self.share(Key::Home(local), device, || home(local, true))
    }

    pub(super) fn group(
        &self,
        group: SocketAddr,
        interface: Interface,
        device: Device,
    ) -> io::Result<Member> {
        self.share(Key::Group(group, interface), device, || {
            let socket = home(group, true)?;
            match group.ip() {
                IpAddr::V4(group) => rustix::net::sockopt::set_ip_add_membership_with_ifindex(
                    &socket,
                    &group,
                    &interface.address,
                    interface.index,
                )?,
                IpAddr::V6(group) => socket.join_multicast_v6(&group, interface.index)?,
            }
            Ok(socket)
        })
    }

    fn share(
        &self,
        key: Key,
        device: Device,
        open: impl FnOnce() -> io::Result<Socket>,
    ) -> io::Result<Member> {
        let mut shared = self.0.shared.lock();
        let there = shared.get(&key).and_then(|there| Some((there.port.upgrade()?, there.reader.clone())));
        let (port, reader) = match there {
            Some(there) => there,
            None => {
                let (port, reader) = self.start(open()?, false)?;
                shared.insert(key, Shared { port: Arc::downgrade(&port), reader: reader.clone() });
                (port, reader)
            }
        };
        Ok(Member { mailbox: port.join(device), port, registry: self.clone(), key: Some(key), reader })
    }

    fn start(&self, socket: Socket, connected: bool) -> io::Result<(Arc<Port>, AbortHandle)> {
        let port = Port::new(UdpSocket::from_std(socket.into())?, connected);
        let registry = self.clone();
        let dropped = move || {
            registry.0.dropped.fetch_add(1, Relaxed);
        };
        let reader = tokio::spawn(port.clone().read(dropped));
        Ok((port, reader.abort_handle()))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut shared = self.registry.0.shared.lock();
        if self.port.leave(&self.mailbox) {
            if let Some(key) = self.key {
                shared.remove(&key);
            }
            self.reader.abort();
        }
    }
}

/// A socket at a local address. It receives nothing of groups that others on this machine have joined.
fn home(local: SocketAddr, named: bool) -> io::Result<Socket> {
    let domain = Domain::for_address(local);
    let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
        socket.set_multicast_all_v6(false)?;
    } else {
        socket.set_multicast_all_v4(false)?;
    }
    if named {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&local.into())?;
    Ok(socket)
}

/// Any address of this machine, of that family.
pub(super) fn any(family_of: SocketAddr) -> IpAddr {
    match family_of {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}
