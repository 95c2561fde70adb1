//! A socket, the links that receive at it, and the task that reads it for them.

use super::interface::Interface;
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{io::Interest, net::UdpSocket};

/// Datagrams that may wait for one link, in bytes, each counted with what it costs to keep.
const QUEUE_BYTES: usize = 256 * 1024;
const OVERHEAD: usize = 64;
/// Datagrams read before others have their turn.
const BURST: usize = 64;
/// After an error that says nothing of any link.
const PAUSE: Duration = Duration::from_millis(10);

pub(super) struct Port {
    pub(super) socket: UdpSocket,
    /// Of one device, whose refusals the system tells.
    connected: bool,
    members: Mutex<Vec<Arc<Mailbox>>>,
    /// How the socket is set to send to a group, if it is: links that share it may differ.
    sending: Mutex<Option<Sending>>,
}

/// Whom a link takes datagrams from. Scopes of IPv6 addresses are not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Device {
    Port(SocketAddr),
    Host(IpAddr),
    Anyone,
}

/// How to send to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sending {
    pub(super) interface: Interface,
    pub(super) ttl: u8,
    pub(super) loopback: bool,
}

/// What came for one link and was not taken yet.
pub(super) struct Mailbox {
    device: Device,
    mail: Mutex<Mail>,
    waker: AtomicWaker,
}

#[derive(Default)]
struct Mail {
    /// With who sent it.
    queue: VecDeque<(Bytes, SocketAddr)>,
    bytes: usize,
    /// Why nothing more comes.
    failed: Option<io::Error>,
}

// === impl Port ===

impl Port {
    pub(super) fn new(socket: UdpSocket, connected: bool) -> Arc<Self> {
        Arc::new(Self { socket, connected, members: Mutex::default(), sending: Mutex::default() })
    }

    pub(super) fn join(&self, device: Device) -> Arc<Mailbox> {
        let mailbox = Mailbox { device, mail: Mutex::default(), waker: AtomicWaker::new() };
        let mailbox = Arc::new(mailbox);
        self.members.lock().push(mailbox.clone());
        mailbox
    }

    /// Whether that was the last one.
    pub(super) fn leave(&self, mailbox: &Arc<Mailbox>) -> bool {
        let mut members = self.members.lock();
        members.retain(|member| !Arc::ptr_eq(member, mailbox));
        members.is_empty()
    }

    /// All of the datagram or an error; `WouldBlock`: when the socket is writable.
    pub(super) fn send(&self, to: SocketAddr, bytes: &[u8], sending: Option<Sending>) -> io::Result<()> {
        let mut set = self.sending.lock();
        if sending.is_some() && sending != *set {
            *set = None;
            if let Some(sending) = sending {
                sending.apply(&self.socket, to.ip())?;
            }
            *set = sending;
        }
        self.socket.try_send_to(bytes, to).map(drop)
    }

    /// Reads for the members until it is aborted. `dropped`: called for every datagram that a slow link loses.
    pub(super) async fn read(self: Arc<Self>, dropped: impl Fn() + Send) {
        let mut burst = 0;
        loop {
            burst += 1;
            if burst % BURST == 0 {
                tokio::task::yield_now().await;
            }
            // A refusal does not make the socket readable.
            let Ok(ready) = self.socket.ready(Interest::READABLE | Interest::ERROR).await else { return };
            let interest = if ready.is_error() { Interest::ERROR } else { Interest::READABLE };
            match self.socket.try_io(interest, || receive(&self.socket)) {
                Ok((datagram, from)) => self.deliver(&datagram, from, &dropped),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if self.connected => self.fail(&error),
                Err(error) => {
                    tracing::debug!(%error, "cannot read from a udp port");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn deliver(&self, datagram: &Bytes, from: SocketAddr, dropped: &impl Fn()) {
        let members = self.members.lock();
        let is_port = |member: &Mailbox| matches!(member.device, Device::Port(of) if same(of, from));
        let named = members.iter().any(|member| is_port(member));
        for member in members.iter() {
            let takes = match member.device {
                Device::Port(_) => is_port(member),
                Device::Host(of) => !named && of == from.ip(),
                Device::Anyone => true,
            };
            if takes && !member.put(datagram, from) {
                dropped();
            }
        }
    }

    fn fail(&self, error: &io::Error) {
        for member in self.members.lock().iter() {
            let error =
                error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
            member.mail.lock().failed = Some(error);
            member.waker.wake();
        }
    }
}

pub(super) fn same(one: SocketAddr, other: SocketAddr) -> bool {
    one.ip() == other.ip() && one.port() == other.port()
}

/// One datagram, whole. Each thread has one buffer for all sockets.
fn receive(socket: &UdpSocket) -> io::Result<(Bytes, SocketAddr)> {
    thread_local! {
        static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; 1 << 16].into());
    }
    BUFFER.with_borrow_mut(|buffer| {
        let flags = rustix::net::RecvFlags::empty();
        let (bytes, _, from) = rustix::net::recvfrom(socket, &mut buffer[..], flags)?;
        let bytes = Bytes::copy_from_slice(buffer.get(..bytes).unwrap_or_default());
        let from = from.and_then(|from| SocketAddr::try_from(from).ok());
        Ok((bytes, from.ok_or(io::ErrorKind::InvalidData)?))
    })
}

// === impl Sending ===

impl Sending {
    fn apply(&self, socket: &UdpSocket, group: IpAddr) -> io::Result<()> {
        use rustix::net::sockopt;
        let Self { interface, ttl, loopback } = *self;
        match group {
            IpAddr::V4(group) => {
                sockopt::set_ip_multicast_if_with_ifindex(
                    socket,
                    &group,
                    &interface.address,
                    interface.index,
                )?;
                sockopt::set_ip_multicast_ttl(socket, ttl.into())?;
                sockopt::set_ip_multicast_loop(socket, loopback)?;
            }
            IpAddr::V6(_) => {
                sockopt::set_ipv6_multicast_if(socket, interface.index)?;
                sockopt::set_ipv6_multicast_hops(socket, ttl.into())?;
                sockopt::set_ipv6_multicast_loop(socket, loopback)?;
            }
        }
        Ok(())
    }
}

// === impl Mailbox ===

impl Mailbox {
    /// False if there was no room.
    fn put(&self, datagram: &Bytes, from: SocketAddr) -> bool {
        let mut mail = self.mail.lock();
        let cost = datagram.len() + OVERHEAD;
        let room = mail.queue.is_empty() || mail.bytes + cost <= QUEUE_BYTES;
        if room {
            mail.bytes += cost;
            mail.queue.push_back((datagram.clone(), from));
            drop(mail);
            self.waker.wake();
        }
        room
    }

    /// What came, in order; then why nothing more does.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Bytes, SocketAddr)>> {
        self.waker.register(cx.waker());
        let mut mail = self.mail.lock();
        if let Some((datagram, from)) = mail.queue.pop_front() {
            mail.bytes -= datagram.len() + OVERHEAD;
            if mail.queue.is_empty() {
                mail.queue = VecDeque::new();
            }
            return Poll::Ready(Ok((datagram, from)));
        }
        match mail.failed.take() {
            Some(error) => Poll::Ready(Err(error)),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::sockopt;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[tokio::test]
    async fn links_that_share_a_port_send_to_groups_each_in_its_own_way() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let interface = Interface { address: Ipv4Addr::LOCALHOST, ..Interface::ANY };
        let far = Sending { interface, ttl: 7, loopback: true };
        let near = Sending { ttl: 1, loopback: false, ..far };
        let port = Port::new(socket, false);
        port.socket.writable().await.unwrap();
        let to = SocketAddr::from((Ipv4Addr::new(239, 77, 0, 1), 5000));
        for sending in [far, near, far] {
            port.send(to, b"x", Some(sending)).unwrap();
            assert_eq!(sockopt::ip_multicast_ttl(&port.socket).unwrap(), u32::from(sending.ttl));
            assert_eq!(sockopt::ip_multicast_loop(&port.socket).unwrap(), sending.loopback);
            assert_eq!(sockopt::ip_multicast_if(&port.socket).unwrap(), Ipv4Addr::LOCALHOST);
        }

        let socket = UdpSocket::bind("[::1]:0").await.unwrap();
        let interface = Interface { index: 1, ..Interface::ANY };
        let far = Sending { interface, ttl: 7, loopback: true };
        far.apply(&socket, Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0, 1).into()).unwrap();
        assert_eq!(sockopt::ipv6_multicast_hops(&socket).unwrap(), 7);
        assert_eq!(sockopt::ipv6_multicast_if(&socket).unwrap(), 1);
        assert!(sockopt::ipv6_multicast_loop(&socket).unwrap());
    }
}
