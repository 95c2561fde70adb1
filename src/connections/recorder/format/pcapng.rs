//! pcapng (draft-ietf-opsawg-pcapng), so that Wireshark shows the conversation, dissects it and follows its streams.
//!
//! A recorder sees no packets, so they are made up around what it has: every piece is an IP packet of one TCP segment, or UDP
//! datagram, with right sequence numbers and checksums; a connection begins with the three of a handshake and ends with a FIN
//! or RST. What has no IP address (a serial port, a Unix socket, a connection whose beginning the ring has lost) is given
//! addresses of the documentation's networks (RFC 5737, RFC 3849); this side always has one of these. TLS is shown
//! decrypted. The command, and what happened to the connection, are comments of the packets.

use super::{
    super::{Data, Event, Record},
    About,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Packets begin with an IP header.
const LINKTYPE_RAW: u16 = 101;
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
const OPTION_COMMENT: u16 = 1;
const OPTION_NAME: u16 = 2;
const OPTION_APPLICATION: u16 = 4;
const OPTION_FLAGS: u16 = 2;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Ports of connections on this side: the dynamic ones.
const PORTS: u32 = 16_384;
const FIRST_PORT: u32 = 49_152;

pub(super) struct Pcapng {
    /// The connection that was up last.
    flow: Flow,
    missed: u64,
}

struct Flow {
    connection: u32,
    peer: SocketAddr,
    datagrams: bool,
    /// Sequence number of the next byte from this side, and from the peer.
    next: [u32; 2],
    open: bool,
}

/// Which side a packet is from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Here,
    There,
}

impl Pcapng {
    pub(super) fn new(about: &About, out: &mut Vec<u8>) -> Self {
        let mut section = Vec::new();
        section.extend(0x1a2b_3c4d_u32.to_le_bytes());
        section.extend([1, 0, 0, 0]);
        section.extend(u64::MAX.to_le_bytes());
        let About { module, name, driver } = about;
        let comment = format!(
            "What Headend recorded of {name} ({module}), driver {driver}. Packets are made up around what was sent and received; \
             secrets are replaced by ***."
        );
        option(OPTION_APPLICATION, concat!("headend ", env!("CARGO_PKG_VERSION")).as_bytes(), &mut section);
        option(OPTION_COMMENT, comment.as_bytes(), &mut section);
        option(0, b"", &mut section);
        block(SECTION, &section, out);

        let mut interface = Vec::new();
        interface.extend(LINKTYPE_RAW.to_le_bytes());
        interface.extend([0; 6]);
        option(OPTION_NAME, module.as_bytes(), &mut interface);
        option(0, b"", &mut interface);
        block(INTERFACE, &interface, out);
        Self { flow: Flow::new(0, None, false), missed: 0 }
    }

    pub(super) fn missed(&mut self, count: u64) {
        self.missed += count;
    }

    /// What is shown of this connection begins in the middle.
    pub(super) fn context(&mut self, record: &Record) {
        if let Event::Up { peer, datagrams, .. } = &record.event {
            self.flow = Flow::new(record.connection, *peer, *datagrams);
        }
    }

    pub(super) fn record(&mut self, record: &Record, out: &mut Vec<u8>) {
        if record.connection != self.flow.connection {
            self.flow = Flow::new(record.connection, None, false);
        }
        let Record { time, connection, .. } = record;
        match &record.event {
            Event::Up { address, peer, datagrams } => {
                self.flow = Flow::new(*connection, *peer, *datagrams);
                let comment = format!("connection {connection} to {address} is up");
                if *datagrams {
                    return self.packet(*time, From::Here, 0, b"", &comment, out);
                }
                self.flow.next = [0, 0];
                self.packet(*time, From::Here, SYN, b"", &comment, out);
                self.packet(*time, From::There, SYN | ACK, b"", "", out);
                self.packet(*time, From::Here, ACK, b"", "", out);
            }
            Event::Down { reason, detail } => {
                let comment = format!("connection {connection} is down: {reason} {detail}");
                let (from, flag) = match reason.as_str() {
                    "closed" => (From::There, FIN),
                    "reset" => (From::There, RST),
                    _ => (From::Here, FIN),
                };
                if std::mem::take(&mut self.flow.open) {
                    self.packet(*time, from, flag | ACK, b"", &comment, out);
                }
            }
            Event::Sent(data) => self.data(*time, From::Here, data, out),
            Event::Received(data) => self.data(*time, From::There, data, out),
        }
    }

    fn data(&mut self, time: u64, from: From, data: &Data, out: &mut Vec<u8>) {
        let comment =
            data.command.as_ref().map(|command| format!("{} (call {})", command.name, command.call));
        let usual = self.flow.peer;
        self.flow.peer = data.from.unwrap_or(usual);
        self.packet(time, from, PSH | ACK, &data.bytes, comment.as_deref().unwrap_or_default(), out);
        self.flow.peer = usual;
    }

    fn packet(&mut self, time: u64, from: From, flags: u8, bytes: &[u8], comment: &str, out: &mut Vec<u8>) {
        let packet = self.flow.packet(from, flags, bytes);
        let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
        let mut body = Vec::with_capacity(packet.len() + 64);
        body.extend(0_u32.to_le_bytes());
        body.extend(u32::try_from(time >> 32).unwrap_or(0).to_le_bytes());
        body.extend(u32::try_from(time & 0xffff_ffff).unwrap_or(0).to_le_bytes());
        body.extend(length.to_le_bytes());
        body.extend(length.to_le_bytes());
        body.extend(&packet);
        pad(&mut body);
        if self.missed > 0 {
            let missed = format!("{} records before this one are missing", std::mem::take(&mut self.missed));
            option(OPTION_COMMENT, missed.as_bytes(), &mut body);
        }
        if !comment.is_empty() {
            option(OPTION_COMMENT, comment.as_bytes(), &mut body);
        }
        // Inbound is 1, outbound 2.
        let way: u32 = if from == From::Here { 2 } else { 1 };
        option(OPTION_FLAGS, &way.to_le_bytes(), &mut body);
        option(0, b"", &mut body);
        block(PACKET, &body, out);
    }
}

impl Flow {
    fn new(connection: u32, peer: Option<SocketAddr>, datagrams: bool) -> Self {
        let made_up = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 9);
        Self { connection, peer: peer.unwrap_or(made_up), datagrams, next: [1, 1], open: true }
    }

    /// An IP packet.
    fn packet(&mut self, from: From, flags: u8, bytes: &[u8]) -> Vec<u8> {
        let here_ip = match self.peer.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
        };
        let here_port = u16::try_from(FIRST_PORT + self.connection % PORTS).unwrap_or(0);
        let here = SocketAddr::new(here_ip, here_port);
        let (source, target) = if from == From::Here { (here, self.peer) } else { (self.peer, here) };

        let mut body = Vec::with_capacity(bytes.len() + 60);
        body.extend(source.port().to_be_bytes());
        body.extend(target.port().to_be_bytes());
        let (protocol, checksum_at) = if self.datagrams {
            body.extend(u16::try_from(bytes.len() + 8).unwrap_or(u16::MAX).to_be_bytes());
            body.extend([0, 0]);
            (UDP, 6)
        } else {
            let [here, there] = &mut self.next;
            let (mine, other) = if from == From::Here { (here, there) } else { (there, here) };
            body.extend(mine.to_be_bytes());
            body.extend(if flags & ACK == 0 { 0 } else { *other }.to_be_bytes());
            // Five words of header; a wide window; no checksum yet; nothing urgent.
            body.extend([5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
            let length = bytes.len() + usize::from(flags & (SYN | FIN) != 0);
            *mine = mine.wrapping_add(u32::try_from(length).unwrap_or(0));
            (TCP, 16)
        };
        body.extend(bytes);

        let mut packet = Vec::with_capacity(body.len() + 40);
        let mut sum = u32::from(protocol) + u32::try_from(body.len()).unwrap_or(0);
        match (source.ip(), target.ip()) {
            (IpAddr::V4(source), IpAddr::V4(target)) => {
                packet.extend([0x45, 0]);
                packet.extend(u16::try_from(body.len() + 20).unwrap_or(u16::MAX).to_be_bytes());
                // Not to be fragmented; 64 hops; no checksum yet.
                packet.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
                packet.extend(source.octets());
                packet.extend(target.octets());
                let header = checksum(add(&packet, 0));
                set(&mut packet, 10, header);
                sum = add(&source.octets(), add(&target.octets(), sum));
            }
            (source, target) => {
                let octets = |ip: IpAddr| match ip {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                    IpAddr::V6(ip) => ip.octets(),
                };
                packet.extend([0x60, 0, 0, 0]);
                packet.extend(u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes());
                packet.extend([protocol, 64]);
                packet.extend(octets(source));
                packet.extend(octets(target));
                sum = add(&octets(source), add(&octets(target), sum));
            }
        }
        let all = checksum(add(&body, sum));
        // In UDP none would mean that there is no checksum (RFC 768).
        set(&mut body, checksum_at, if self.datagrams && all == 0 { 0xffff } else { all });
        packet.extend(body);
        packet
    }
}

/// Adds the 16-bit words of `bytes` to a sum (RFC 1071).
fn add(bytes: &[u8], sum: u32) -> u32 {
    let words = bytes.chunks(2).map(|word| match word {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [high] => u32::from(*high) << 8,
        _ => 0,
    });
    words.fold(sum, |sum, word| {
        let sum = sum + word;
        (sum & 0xffff) + (sum >> 16)
    })
}

fn checksum(sum: u32) -> u16 {
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(0)
}

fn set(bytes: &mut [u8], at: usize, value: u16) {
    for (to, byte) in bytes.iter_mut().skip(at).zip(value.to_be_bytes()) {
        *to = byte;
    }
}

/// Type, length, body, length again.
fn block(kind: u32, body: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(body.len() + 12).unwrap_or(u32::MAX).to_le_bytes();
    out.extend(kind.to_le_bytes());
    out.extend(length);
    out.extend(body);
    out.extend(length);
}

/// Kind, length and value; longer values are cut. Kind 0 ends the options.
fn option(kind: u16, value: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    out.extend(kind.to_le_bytes());
    out.extend(length.to_le_bytes());
    out.extend(value.get(..length.into()).unwrap_or(value));
    pad(out);
}

/// Every part begins at a multiple of four bytes, and so does every block.
fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests;
