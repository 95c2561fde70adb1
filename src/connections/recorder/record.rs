//! One line of what a recorder has: what happened on the wire, and when.

use super::{commands, redact::MASK, ring::Raw};
use crate::connections::Form;
use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Counted from 1 since the module has a recorder.
    pub number: u64,
    /// Unix microseconds.
    pub time: u64,
    /// Counted from 1; 0 before the first.
    pub connection: u32,
    pub event: Event,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Connected: the address as it is configured, and the one that answered.
    Up {
        address: String,
        peer: Option<SocketAddr>,
        datagrams: bool,
    },
    /// The connection is over: the reason as a word, empty when it had served its purpose, and what people should know.
    Down {
        reason: String,
        detail: String,
    },
    Sent(Data),
    Received(Data),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// As the device was sent or has sent them, but for secrets.
    pub bytes: Vec<u8>,
    pub form: Form,
    /// What was sent or received at once goes on in the next record.
    pub more: bool,
    /// Of the module, that these bytes belong to.
    pub command: Option<Command>,
    /// Who sent the datagram, if that is not the connection's peer.
    pub from: Option<SocketAddr>,
}

/// A call of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub name: Arc<str>,
    /// Tells calls apart that follow each other; not in order.
    pub call: u16,
}

/// In the ring, with flags.
pub(super) const UP: u8 = 0;
pub(super) const DOWN: u8 = 1;
pub(super) const SENT: u8 = 2;
pub(super) const RECEIVED: u8 = 3;
const KIND: u8 = 3;
pub(super) const TEXT: u8 = 4;
pub(super) const MORE: u8 = 8;
pub(super) const DATAGRAMS: u8 = 16;
/// Before the bytes comes who sent them.
pub(super) const FROM: u8 = 32;

/// An address in the ring: IPv6, or IPv4 as RFC 4291 (2.5.5.2) maps it, and the port.
const ADDRESS: usize = 18;

pub(super) fn address(of: SocketAddr) -> [u8; ADDRESS] {
    let ip = match of.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut bytes = [0; ADDRESS];
    for (to, byte) in bytes.iter_mut().zip(ip.octets().into_iter().chain(of.port().to_be_bytes())) {
        *to = byte;
    }
    bytes
}

/// The address that stands before the rest.
fn split_address(bytes: &[u8]) -> Option<(SocketAddr, &[u8])> {
    let (ip, rest) = bytes.split_first_chunk::<16>()?;
    let (port, rest) = rest.split_first_chunk()?;
    Some((SocketAddr::new(Ipv6Addr::from(*ip).to_canonical(), u16::from_be_bytes(*port)), rest))
}

impl Record {
    /// `waits`: its last bytes are the beginning of a secret, or are going to be shown.
    pub(super) fn read(raw: &Raw<'_>, waits: bool) -> Self {
        let flags = raw.head.kind;
        let text = || String::from_utf8_lossy(raw.bytes);
        let data = || {
            let from = if flags & FROM == 0 { None } else { split_address(raw.bytes) };
            let bytes = from.map_or(raw.bytes, |(_, bytes)| bytes);
            Data {
                bytes: [bytes, if waits { MASK } else { b"" }].concat(),
                form: if flags & TEXT == 0 { Form::Bytes } else { Form::Text },
                more: flags & MORE != 0,
                command: commands::named(raw.head.command).map(|(name, call)| Command { name, call }),
                from: from.map(|(from, _)| from),
            }
        };
        let event = match flags & KIND {
            UP => {
                let text = text();
                let (peer, address) = text.split_once(' ').unwrap_or_default();
                Event::Up {
                    address: address.into(),
                    peer: peer.parse().ok(),
                    datagrams: flags & DATAGRAMS != 0,
                }
            }
            DOWN => {
                let text = text();
                let (reason, detail) = text.split_once(' ').unwrap_or_default();
                Event::Down { reason: reason.into(), detail: detail.into() }
            }
            SENT => Event::Sent(data()),
            _ => Event::Received(data()),
        };
        Self { number: raw.place.number, time: raw.head.time, connection: raw.head.connection, event }
    }

    /// What was sent or received, if this is of that.
    pub fn data(&self) -> Option<&Data> {
        match &self.event {
            Event::Sent(data) | Event::Received(data) => Some(data),
            Event::Up { .. } | Event::Down { .. } => None,
        }
    }

    /// The name of the command it belongs to.
    pub fn command(&self) -> Option<&str> {
        self.data()?.command.as_ref().map(|command| &*command.name)
    }

    /// `up`, `down`, `sent`, `received`.
    pub fn word(&self) -> &'static str {
        match self.event {
            Event::Up { .. } => "up",
            Event::Down { .. } => "down",
            Event::Sent(_) => "sent",
            Event::Received(_) => "received",
        }
    }
}
