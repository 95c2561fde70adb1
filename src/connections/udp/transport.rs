//! A link's datagrams: where they go, and the ports at which the device's come in.

use super::{
    super::{
        Failure, Form, Payload, Reason,
        target::Endpoint,
        wire::{Arrival, Transport},
    },
    Registry, Target,
    interface::Interface,
    port::{self, Device, Sending},
    registry::{Member, any},
};
use futures_util::future::BoxFuture;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    task::{Context, Poll, ready},
};
use tokio::io::ReadBuf;

pub(in crate::connections) struct Datagrams {
    endpoint: Endpoint,
    to: SocketAddr,
    /// Where to send from.
    home: Member,
    group: Option<Member>,
    sending: Option<Sending>,
    /// Until there is room to send: the port has many to wake.
    writable: Option<BoxFuture<'static, ()>>,
}

/// To one of the addresses that the target's name stands for.
pub(in crate::connections) fn open(
    registry: &Registry,
    target: &Target,
    to: SocketAddr,
) -> Result<Datagrams, Failure> {
    let Target { endpoint, settings } = target;
    let multicast = settings.multicast.as_ref();
    let device = if settings.broadcast || to.ip().is_multicast() {
        Device::Anyone
    } else if settings.connected {
        Device::Port(to)
    } else {
        Device::Host(to.ip())
    };
    let source = endpoint.source.unwrap_or_else(|| any(to));
    let home = match settings.local_port {
        Some(port) => {
            let local = SocketAddr::new(source, port.get());
            registry.home(local, device).map_err(|error| unusable(endpoint, &format!("at {local}"), &error))
        }
        None => {
            let only = matches!(device, Device::Port(_)).then_some(to);
            registry.own(source, only, device).map_err(|error| trouble(endpoint, &error))
        }
    }?;
    if settings.broadcast {
        home.port.socket.set_broadcast(true).map_err(|error| trouble(endpoint, &error))?;
    }
    let interface = match (multicast.and_then(|multicast| multicast.interface.as_deref()), endpoint.source) {
        (Some(named), _) => Interface::find(named, &home.port.socket)
            .map_err(|error| unusable(endpoint, &format!("on the interface {named}"), &error))?,
        (None, Some(IpAddr::V4(address))) => Interface { address, ..Interface::ANY },
        (None, _) => Interface::ANY,
    };
    let sending = to.ip().is_multicast().then(|| {
        let multicast = multicast.cloned().unwrap_or_default();
        Sending { interface, ttl: multicast.ttl, loopback: multicast.loopback }
    });
    let joined =
        multicast.and_then(|multicast| multicast.group.or_else(|| sending.is_some().then(|| to.ip())));
    let local_port = settings.local_port.map_or(to.port(), |port| port.get());
    let group = joined.map(|group| {
        let group = SocketAddr::new(group, local_port);
        let what = format!("in the group {group}");
        registry.group(group, interface, device).map_err(|error| unusable(endpoint, &what, &error))
    });
    Ok(Datagrams { endpoint: endpoint.clone(), to, home, group: group.transpose()?, sending, writable: None })
}

impl Transport for Datagrams {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Option<Arrival>>> {
        for member in std::iter::once(&self.home).chain(&self.group) {
            match member.mailbox.poll(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok((datagram, from))) => {
                    let usual = port::same(from, self.to);
                    return Poll::Ready(Ok(Some(match usual {
                        true => Arrival::Message(datagram, Form::Bytes),
                        false => Arrival::Datagram(datagram, from),
                    })));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.ended(&error))),
            }
        }
        Poll::Pending
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, payload: &Payload) -> Poll<io::Result<usize>> {
        loop {
            if let Some(writable) = &mut self.writable {
                ready!(writable.as_mut().poll(cx));
                self.writable = None;
            }
            match self.home.port.send(self.to, &payload.bytes, self.sending) {
                Ok(()) => return Poll::Ready(Ok(payload.bytes.len())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let port = self.home.port.clone();
                    self.writable = Some(Box::pin(async move { drop(port.socket.writable().await) }));
                }
                Err(error) => return Poll::Ready(Err(self.ended(&error))),
            }
        }
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Datagrams {
    fn ended(&self, error: &io::Error) -> io::Error {
        io::Error::other(trouble(&self.endpoint, error))
    }
}

/// What the system said of datagrams to the device.
fn trouble(endpoint: &Endpoint, error: &io::Error) -> Failure {
    let (reason, what) = match error.kind() {
        io::ErrorKind::ConnectionRefused => (
            Reason::Refused,
            format!("{endpoint} refused a datagram ({error}). {}", Reason::Refused.sentence()),
        ),
        io::ErrorKind::PermissionDenied => (
            Reason::Unreachable,
            format!(
                "this machine may not send datagrams to {endpoint} ({error}): if that is a broadcast address, set \
                 connection.udp.broadcast; else look at this machine's firewall."
            ),
        ),
        _ => (
            Reason::Unreachable,
            format!("{endpoint} cannot be reached ({error}). {}", Reason::Unreachable.sentence()),
        ),
    };
    Failure::new(reason, what)
}

/// What the system said of this machine's side.
fn unusable(endpoint: &Endpoint, what: &str, error: &io::Error) -> Failure {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => "another program on this machine uses that port and does not share it",
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has that address",
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege of this process",
        _ => "look at the settings under connection.udp, and at this machine's interfaces and routes",
    };
    Failure::new(
        Reason::Unreachable,
        format!("datagrams of {endpoint} cannot be received {what} ({error}): {why}"),
    )
}
