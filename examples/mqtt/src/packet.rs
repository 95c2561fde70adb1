//! MQTT 3.1.1 on the wire (OASIS, 2014), as far as a client needs it. Here a packet is its first byte and its body: the length
//! between them is the framing's business.

use std::io;

use drivers_sdk::framing::{Bytes, BytesMut, Decoder, Encoder};
use drivers_sdk::prelude::*;

/// Puts the length into packets, and takes it out (2.2.3): seven bits in a byte, the lowest first, in four bytes at most.
#[derive(Default)]
pub struct Packets;

const LONGEST: usize = 0x0fff_ffff;

impl Decoder for Packets {
    type Item = Vec<u8>;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Vec<u8>>> {
        let bytes = buffer.iter().skip(1).take(4);
        let Some(last) = bytes.clone().position(|byte| byte & 0x80 == 0) else {
            let endless = bytes.len() == 4;
            return if endless {
                Err(io::Error::other("a length of more than four bytes"))
            } else {
                Ok(None)
            };
        };
        let length =
            bytes.take(last + 1).rev().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f));
        let (head, end) = (last + 2, last + 2 + length);
        if buffer.len() < end {
            return Ok(None);
        }
        let packet = buffer.split_to(end);
        Ok(Some([&packet[..1], &packet[head..]].concat()))
    }
}

impl Encoder<Bytes> for Packets {
    type Error = io::Error;

    fn encode(&mut self, packet: Bytes, out: &mut BytesMut) -> io::Result<()> {
        let (first, body) = packet.split_first().ok_or_else(|| io::Error::other("an empty packet"))?;
        let mut length = body.len();
        if length > LONGEST {
            return Err(io::Error::other(format!("a packet has at most {LONGEST} bytes")));
        }
        out.extend_from_slice(&[*first]);
        loop {
            let (byte, rest) = ((length & 0x7f) as u8, length >> 7);
            out.extend_from_slice(&[if rest > 0 { byte | 0x80 } else { byte }]);
            length = rest;
            if rest == 0 {
                break;
            }
        }
        out.extend_from_slice(body);
        Ok(())
    }
}

pub const PING: &[u8] = &[0xc0];
pub const PONG: &[u8] = &[0xd0];
pub const DISCONNECT: &[u8] = &[0xe0];

#[derive(Clone, Debug, PartialEq)]
pub struct Publish {
    pub topic: String,
    pub payload: Vec<u8>,
    /// For a delivery that is acknowledged (quality of service 1 and 2).
    pub number: Option<u16>,
    pub retain: bool,
}

/// What a broker says.
#[derive(Debug, PartialEq)]
pub enum Packet {
    Connected {
        code: u8,
    },
    Publish(Publish),
    Published {
        number: u16,
    },
    /// The quality of service that each topic got, 128 for none.
    Subscribed {
        number: u16,
        codes: Vec<u8>,
    },
    Pong,
}

impl Packet {
    /// Reads a packet; `None` if it is garbled, or none that brokers send to such clients.
    pub fn read(packet: &[u8]) -> Option<Packet> {
        let (first, body) = packet.split_first()?;
        Some(match (first, body) {
            (0x20, [_, code]) => Packet::Connected { code: *code },
            (0x30..=0x3f, body) => Packet::Publish(Publish::read(*first, body)?),
            (0x40, [high, low]) => Packet::Published { number: u16::from_be_bytes([*high, *low]) },
            (0x90, [high, low, codes @ ..]) => {
                Packet::Subscribed { number: u16::from_be_bytes([*high, *low]), codes: codes.into() }
            }
            (0xd0, []) => Packet::Pong,
            _ => return None,
        })
    }
}

impl Publish {
    pub fn read(first: u8, body: &[u8]) -> Option<Publish> {
        let (topic, mut payload) = text(body)?;
        let mut number = None;
        if first & 0x06 != 0 {
            let (bytes, rest) = payload.split_first_chunk()?;
            (number, payload) = (Some(u16::from_be_bytes(*bytes)), rest);
        }
        let topic = std::str::from_utf8(topic).ok()?.to_owned();
        Some(Publish { topic, payload: payload.into(), number, retain: first & 1 == 1 })
    }

    pub fn packet(&self) -> Vec<u8> {
        let number = self.number.map(|number| number.to_be_bytes().to_vec()).unwrap_or_default();
        let first = 0x30 | if number.is_empty() { 0 } else { 0x02 } | u8::from(self.retain);
        [&[first], &field(&self.topic)[..], &number, &self.payload].concat()
    }
}

/// Begins a session that leaves nothing behind.
pub fn connect(client: &str, username: Option<&str>, password: Option<&str>, keep_alive: u16) -> Vec<u8> {
    let flags = 0x02 | if username.is_some() { 0x80 } else { 0 } | if password.is_some() { 0x40 } else { 0 };
    let mut packet = vec![0x10];
    packet.extend(field("MQTT"));
    packet.extend([4, flags]);
    packet.extend(keep_alive.to_be_bytes());
    for text in [Some(client), username, password].into_iter().flatten() {
        packet.extend(field(text));
    }
    packet
}

/// Asks for topics, each delivered at least once.
pub fn subscribe(number: u16, topics: &[String]) -> Vec<u8> {
    let mut packet = vec![0x82];
    packet.extend(number.to_be_bytes());
    for topic in topics {
        packet.extend(field(topic));
        packet.push(1);
    }
    packet
}

pub fn published(number: u16) -> Vec<u8> {
    [&[0x40][..], &number.to_be_bytes()].concat()
}

/// Text with its length before it: 65535 bytes at most.
fn field(text: &str) -> Vec<u8> {
    let text = &text.as_bytes()[..text.len().min(0xffff)];
    [&(text.len() as u16).to_be_bytes(), text].concat()
}

/// The text at the beginning, and what is behind it.
pub fn text(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = body.split_first_chunk()?;
    rest.split_at_checked(u16::from_be_bytes(*length).into())
}

/// Why a broker does not let a client in.
pub fn refusal(code: u8) -> Error {
    let why = match code {
        1 => "it does not speak MQTT 3.1.1",
        2 => "it does not like the client id",
        3 => "it is not available",
        // Some say the one, some the other.
        4 | 5 => "the user name or the password may be wrong",
        _ => "it does not say why",
    };
    Error::device(format!("the broker refused: {why} (code {code})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::{Strategy, prop, prop_assert_eq, proptest};

    fn encoded(packet: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        Packets.encode(Bytes::copy_from_slice(packet), &mut out).unwrap();
        out.to_vec()
    }

    fn decoded<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
        let (mut packets, mut buffer) = (Vec::new(), BytesMut::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            packets.extend(std::iter::from_fn(|| Packets.decode(&mut buffer).unwrap()));
        }
        packets
    }

    #[test]
    fn lengths_are_those_of_the_specification() {
        for (length, bytes) in [
            (0, &[0x00][..]),
            (127, &[0x7f]),
            (128, &[0x80, 0x01]),
            (16_383, &[0xff, 0x7f]),
            (16_384, &[0x80, 0x80, 0x01]),
            (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
        ] {
            let packet = vec![0x30; length + 1];
            let whole = encoded(&packet);
            assert_eq!(&whole[1..=bytes.len()], bytes);
            assert!(decoded([&whole[..]]) == [packet]);
        }
        assert!(Packets.decode(&mut BytesMut::from(&b"\x30\xff\xff\xff\xff\x01"[..])).is_err());
    }

    #[test]
    fn packets_are_those_of_the_specification() {
        let packet = connect("a", Some("user"), Some("pass"), 60);
        assert_eq!(packet, b"\x10\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01a\x00\x04user\x00\x04pass");
        assert_eq!(connect("", None, None, 0), b"\x10\x00\x04MQTT\x04\x02\x00\x00\x00\x00");
        assert_eq!(
            subscribe(10, &["a/b".into(), "c/+".into()]),
            b"\x82\x00\x0a\x00\x03a/b\x01\x00\x03c/+\x01"
        );
        assert_eq!(Packet::read(b"\x20\x00\x05"), Some(Packet::Connected { code: 5 }));
        assert_eq!(
            Packet::read(b"\x90\x00\x0a\x01\x80"),
            Some(Packet::Subscribed { number: 10, codes: vec![1, 128] })
        );
        assert_eq!(Packet::read(b"\x32\x00\x01t\x00"), None);
        assert_eq!(Packet::read(&published(258)), Some(Packet::Published { number: 258 }));
        assert_eq!(
            (Packet::read(PONG), Packet::read(b""), Packet::read(b"\xf0")),
            (Some(Packet::Pong), None, None)
        );
    }

    fn publishes() -> impl Strategy<Value = Publish> {
        let number = prop::option::of(1u16..);
        let fields = (".{0,20}", vec(prop::num::u8::ANY, 0..300), number, prop::bool::ANY);
        fields.prop_map(|(topic, payload, number, retain)| Publish { topic, payload, number, retain })
    }

    proptest! {
        #[test]
        fn what_is_published_is_read(publish in publishes()) {
            prop_assert_eq!(Packet::read(&publish.packet()), Some(Packet::Publish(publish)));
        }

        #[test]
        fn it_matters_not_where_the_stream_is_torn(packets in vec(vec(prop::num::u8::ANY, 1..200), 0..5), at: prop::sample::Index) {
            let whole: Vec<u8> = packets.iter().flat_map(|packet| encoded(packet)).collect();
            let (left, right) = whole.split_at(at.index(whole.len() + 1));
            prop_assert_eq!(decoded([left, right]), packets);
        }

        #[test]
        fn garbage_is_read_without_harm(bytes: Vec<u8>) {
            let _ = Packet::read(&bytes);
            let _ = Packets.decode(&mut BytesMut::from(&bytes[..]));
        }
    }
}
