//! Messages of SNMP v2c (RFC 1901, RFC 3416), in the basic encoding rules: each thing is a tag, a length and what it holds.

use std::fmt;
use std::str::FromStr;

use drivers_sdk::prelude::*;

pub const GET: u8 = 0xa0;
pub const GET_NEXT: u8 = 0xa1;
pub const RESPONSE: u8 = 0xa2;
pub const SET: u8 = 0xa3;
pub const GET_BULK: u8 = 0xa5;

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const NULL: u8 = 0x05;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// SNMP's second version, less one.
const V2C: i64 = 1;

/// The name of an object, such as `1.3.6.1.2.1.1.3.0`. Names are ordered as agents order them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Oid(Vec<u32>);

impl Oid {
    pub fn is_below(&self, root: &Oid) -> bool {
        self.0.starts_with(&root.0)
    }

    /// The name without its last number.
    pub fn parent(&self) -> Oid {
        Oid(self.0.split_last().map_or(Vec::new(), |(_, arcs)| arcs.to_vec()))
    }

    /// What comes after the root: `1` of `1.3.6.1.2.1.2.2.1.2.1` below `1.3.6.1.2.1.2.2.1.2`.
    pub fn below(&self, root: &Oid) -> String {
        Oid(self.0.strip_prefix(&root.0[..]).unwrap_or(&self.0).to_vec()).to_string()
    }
}

impl FromStr for Oid {
    type Err = Error;

    fn from_str(text: &str) -> Result<Oid> {
        let arcs: Option<Vec<u32>> =
            text.trim_start_matches('.').split('.').map(|arc| arc.parse().ok()).collect();
        // The first two share a byte.
        match arcs.as_deref() {
            Some([0 | 1, 0..40, ..] | [2, 0..=0xffff_ffaf, ..]) => Ok(Oid(arcs.unwrap_or_default())),
            _ => Err(Error::bad_request(format!(
                "{text:?} is no object identifier, such as 1.3.6.1.2.1.1.3.0"
            ))),
        }
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arcs: Vec<_> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&arcs.join("."))
    }
}

/// What an object holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    Null,
    Integer(i32),
    Octets(Vec<u8>),
    Oid(Oid),
    Address([u8; 4]),
    Counter(u32),
    Gauge(u32),
    /// Hundredths of a second.
    Ticks(u32),
    Opaque(Vec<u8>),
    Counter64(u64),
    NoSuchObject,
    NoSuchInstance,
    EndOfView,
}

impl Data {
    /// As JSON: text as such, other octets as `00:1b:44`; what is not there is null.
    pub fn value(&self) -> Value {
        match self {
            Data::Null | Data::NoSuchObject | Data::NoSuchInstance | Data::EndOfView => Value::Null,
            Data::Integer(number) => json!(number),
            Data::Counter(number) | Data::Gauge(number) | Data::Ticks(number) => json!(number),
            Data::Counter64(number) => json!(number),
            Data::Oid(oid) => json!(oid.to_string()),
            Data::Address([a, b, c, d]) => json!(format!("{a}.{b}.{c}.{d}")),
            Data::Octets(octets) | Data::Opaque(octets) => match std::str::from_utf8(octets) {
                Ok(text) if !text.contains(|c: char| c.is_control() && !c.is_whitespace()) => json!(text),
                _ => json!(octets.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":")),
            },
        }
    }

    /// This value as what the object holds now, for agents take nothing of another type.
    pub fn like(&self, value: &Value) -> Result<Data> {
        let wrong = |what| Error::bad_request(format!("{value} is not {what}, which this object holds"));
        let small = || {
            value.as_u64().and_then(|number| u32::try_from(number).ok()).ok_or(wrong("a number of 32 bits"))
        };
        Ok(match self {
            Data::Integer(_) => {
                let number = value.as_i64().and_then(|number| i32::try_from(number).ok());
                Data::Integer(number.ok_or(wrong("a whole number of 32 bits"))?)
            }
            Data::Octets(_) => Data::Octets(value.as_str().ok_or(wrong("text"))?.into()),
            Data::Oid(_) => Data::Oid(value.as_str().ok_or(wrong("an object identifier"))?.parse()?),
            Data::Gauge(_) => Data::Gauge(small()?),
            Data::Ticks(_) => Data::Ticks(small()?),
            Data::Address(_) => {
                let address = value.as_str().and_then(|text| text.parse::<std::net::Ipv4Addr>().ok());
                Data::Address(address.ok_or(wrong("an IPv4 address"))?.octets())
            }
            _ => return Err(Error::bad_request("the device has no such object, or one that cannot be set")),
        })
    }

    fn write(&self) -> Vec<u8> {
        match self {
            Data::Null => tlv(NULL, &[]),
            Data::Integer(number) => integer(INTEGER, i128::from(*number)),
            Data::Octets(octets) => tlv(OCTETS, octets),
            Data::Oid(oid) => write_oid(oid),
            Data::Address(octets) => tlv(0x40, octets),
            Data::Counter(number) => integer(0x41, i128::from(*number)),
            Data::Gauge(number) => integer(0x42, i128::from(*number)),
            Data::Ticks(number) => integer(0x43, i128::from(*number)),
            Data::Opaque(octets) => tlv(0x44, octets),
            Data::Counter64(number) => integer(0x46, i128::from(*number)),
            Data::NoSuchObject => tlv(0x80, &[]),
            Data::NoSuchInstance => tlv(0x81, &[]),
            Data::EndOfView => tlv(0x82, &[]),
        }
    }

    fn read(tag: u8, held: &[u8]) -> Option<Data> {
        let unsigned = || number(held).and_then(|number| u32::try_from(number).ok());
        Some(match tag {
            NULL => Data::Null,
            INTEGER => Data::Integer(i32::try_from(number(held)?).ok()?),
            OCTETS => Data::Octets(held.to_vec()),
            OID => Data::Oid(read_oid(held)?),
            0x40 => Data::Address(held.try_into().ok()?),
            0x41 => Data::Counter(unsigned()?),
            0x42 => Data::Gauge(unsigned()?),
            0x43 => Data::Ticks(unsigned()?),
            0x44 => Data::Opaque(held.to_vec()),
            0x46 => Data::Counter64(u64::try_from(number(held)?).ok()?),
            0x80 => Data::NoSuchObject,
            0x81 => Data::NoSuchInstance,
            0x82 => Data::EndOfView,
            _ => return None,
        })
    }
}

/// A message. What `status` and `index` are depends on its kind: those of an error in a response, and of a
/// [`GET_BULK`] how many names are not repeated, and how often the others are.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub community: Vec<u8>,
    pub kind: u8,
    pub number: i32,
    pub status: i32,
    pub index: i32,
    pub bindings: Vec<(Oid, Data)>,
}

impl Message {
    pub fn encode(&self) -> Vec<u8> {
        let binding = |(oid, data): &(Oid, Data)| tlv(SEQUENCE, &[write_oid(oid), data.write()].concat());
        let bindings: Vec<u8> = self.bindings.iter().flat_map(binding).collect();
        let numbers =
            [self.number, self.status, self.index].map(|number| integer(INTEGER, i128::from(number)));
        let pdu = tlv(self.kind, &[numbers.concat(), tlv(SEQUENCE, &bindings)].concat());
        let head = [integer(INTEGER, i128::from(V2C)), tlv(OCTETS, &self.community)].concat();
        tlv(SEQUENCE, &[head, pdu].concat())
    }

    /// Reads a whole message of this version.
    pub fn decode(bytes: &[u8]) -> Option<Message> {
        let mut message = Reader(Reader(bytes).take(SEQUENCE)?);
        (number(message.take(INTEGER)?)? == i128::from(V2C)).then_some(())?;
        let community = message.take(OCTETS)?.to_vec();
        let (kind, pdu) = message.next()?;
        let mut pdu = Reader(pdu);
        let mut small = || i32::try_from(number(pdu.take(INTEGER)?)?).ok();
        let (number, status, index) = (small()?, small()?, small()?);
        let (mut list, mut bindings) = (Reader(pdu.take(SEQUENCE)?), Vec::new());
        while !list.0.is_empty() {
            let mut binding = Reader(list.take(SEQUENCE)?);
            let oid = read_oid(binding.take(OID)?)?;
            let (tag, held) = binding.next()?;
            bindings.push((oid, Data::read(tag, held)?));
        }
        Some(Message { community, kind, number, status, index, bindings })
    }
}

fn tlv(tag: u8, held: &[u8]) -> Vec<u8> {
    let length = held.len();
    let mut out = vec![tag];
    match length {
        0..0x80 => out.push(length as u8),
        0x80..0x100 => out.extend([0x81, length as u8]),
        // Nothing is longer: a datagram has 65507 bytes.
        _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend(held);
    out
}

/// In two's complement, as short as it goes.
fn integer(tag: u8, number: i128) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let spare = bytes.windows(2).take_while(|pair| matches!(pair, [0, 0..0x80] | [0xff, 0x80..=0xff]));
    tlv(tag, bytes.get(spare.count()..).unwrap_or_default())
}

fn number(held: &[u8]) -> Option<i128> {
    let first = if *held.first()? < 0x80 { 0 } else { -1 };
    (held.len() <= 9).then(|| held.iter().fold(first, |number, byte| number << 8 | i128::from(*byte)))
}

fn write_oid(oid: &Oid) -> Vec<u8> {
    let (first, rest) = oid.0.split_at(oid.0.len().min(2));
    let first = first.iter().fold(0, |joined: u32, arc| joined.wrapping_mul(40).wrapping_add(*arc));
    let mut held = Vec::new();
    for arc in [&[first], rest].concat() {
        let groups = (1..5).rev().filter(|group| arc >> (7 * group) != 0);
        held.extend(groups.map(|group| 0x80 | (arc >> (7 * group)) as u8));
        held.push(arc as u8 & 0x7f);
    }
    tlv(OID, &held)
}

fn read_oid(held: &[u8]) -> Option<Oid> {
    let (mut arcs, mut arc) = (Vec::new(), 0u32);
    for byte in held {
        arc = arc.checked_mul(0x80)? | u32::from(byte & 0x7f);
        if *byte < 0x80 {
            match &arcs[..] {
                [] => arcs.extend([arc.min(80) / 40, arc - arc.min(80) / 40 * 40]),
                _ => arcs.push(arc),
            }
            arc = 0;
        }
    }
    held.last().is_some_and(|last| *last < 0x80).then_some(Oid(arcs))
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let ([tag, short], rest) = self.0.split_first_chunk()?;
        let (length, rest) = match short {
            0..=0x7f => (usize::from(*short), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (held, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, held))
    }

    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, held)| held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, *};

    fn oid(text: &str) -> Oid {
        text.parse().expect("an object identifier")
    }

    /// As Net-SNMP sends and answers it.
    #[test]
    fn messages_are_as_others_write_them() {
        let mut message = Message {
            community: b"public".to_vec(),
            kind: GET,
            number: 7,
            status: 0,
            index: 0,
            bindings: vec![(oid("1.3.6.1.2.1.1.1.0"), Data::Null)],
        };
        let bytes = b"\x30\x26\x02\x01\x01\x04\x06public\xa0\x19\x02\x01\x07\x02\x01\x00\x02\x01\x00\
            \x30\x0e\x30\x0c\x06\x08\x2b\x06\x01\x02\x01\x01\x01\x00\x05\x00";
        assert_eq!(message.encode(), bytes);
        assert_eq!(Message::decode(bytes), Some(message.clone()));
        message.bindings = vec![(oid("1.3.6.1.4.1.8072.3.2.10"), Data::Octets(vec![b'x'; 200]))];
        let long = message.encode();
        // Both the message and what is in it are longer than 127.
        assert_eq!(long[..3], *b"\x30\x81\xf4");
        assert!(long.windows(12).any(|bytes| bytes == b"\x06\x0a\x2b\x06\x01\x04\x01\xbf\x08\x03\x02\x0a"));
        assert_eq!(Message::decode(&long), Some(message));
    }

    #[test]
    fn numbers_are_as_short_as_they_can_be() {
        for (value, bytes) in [
            (0, &b"\x02\x01\x00"[..]),
            (127, b"\x02\x01\x7f"),
            (128, b"\x02\x02\x00\x80"),
            (-128, b"\x02\x01\x80"),
            (-129, b"\x02\x02\xff\x7f"),
            (i128::from(u64::MAX), b"\x02\x09\x00\xff\xff\xff\xff\xff\xff\xff\xff"),
        ] {
            assert_eq!(integer(INTEGER, value), bytes);
            assert_eq!(number(&bytes[2..]), Some(value));
        }
    }

    #[test]
    fn values_are_shown_and_set_as_their_type_wants_it() {
        assert_eq!(Data::Octets(b"Rack 7".to_vec()).value(), json!("Rack 7"));
        assert_eq!(Data::Octets(vec![0, 0x1b, 0x44]).value(), json!("00:1b:44"));
        assert_eq!(Data::Address([10, 0, 0, 1]).value(), json!("10.0.0.1"));
        assert_eq!(Data::NoSuchObject.value(), Value::Null);
        assert_eq!(Data::Integer(1).like(&json!(-2)), Ok(Data::Integer(-2)));
        assert_eq!(Data::Address([0; 4]).like(&json!("10.0.0.1")), Ok(Data::Address([10, 0, 0, 1])));
        let error = Data::Gauge(1).like(&json!(-2)).expect_err("negative");
        assert_eq!(error.message(), "-2 is not a number of 32 bits, which this object holds");
        assert!(Data::NoSuchInstance.like(&json!(1)).is_err());
    }

    #[test]
    fn names_are_read_and_ordered() {
        for wrong in ["", "1", "3.1", "1.40", "1.3.x", "1.3.4294967296", "2.4294967295"] {
            assert!(wrong.parse::<Oid>().is_err(), "{wrong}");
        }
        assert!(oid("1.3.6.2") < oid("1.3.6.10") && oid("1.3.6") < oid("1.3.6.0"));
        assert_eq!(oid(".1.3.6.1.7.2").below(&oid("1.3.6.1")), "7.2");
    }

    prop_compose! {
        fn some_oid()(top in 0u32..3, second in 0u32..40, rest in prop::collection::vec(any::<u32>(), 0..20)) -> Oid {
            Oid([&[top, second], &rest[..]].concat())
        }
    }

    fn some_data() -> impl Strategy<Value = Data> {
        prop_oneof![
            any::<i32>().prop_map(Data::Integer),
            any::<u32>().prop_map(Data::Gauge),
            any::<u64>().prop_map(Data::Counter64),
            any::<[u8; 4]>().prop_map(Data::Address),
            prop::collection::vec(any::<u8>(), 0..300).prop_map(Data::Octets),
            some_oid().prop_map(Data::Oid),
            Just(Data::EndOfView),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            number: i32, status: i32, community in prop::collection::vec(any::<u8>(), 0..40),
            bindings in prop::collection::vec((some_oid(), some_data()), 0..20),
        ) {
            let message = Message { community, kind: RESPONSE, number, status, index: 0, bindings };
            let bytes = message.encode();
            prop_assert_eq!(Message::decode(&bytes[..bytes.len() - 1]), None);
            prop_assert_eq!(Message::decode(&bytes), Some(message));
        }

        #[test]
        fn damaged_messages_are_read_or_not(bytes in prop::collection::vec(any::<u8>(), 0..100), at: prop::sample::Index, byte: u8) {
            let _ = Message::decode(&bytes);
            let bindings = vec![(Oid(vec![1, 3, 6]), Data::Octets(bytes))];
            let mut whole = Message { community: vec![], kind: GET, number: 1, status: 0, index: 0, bindings }.encode();
            let at = at.index(whole.len());
            whole[at] = byte;
            let _ = Message::decode(&whole);
        }
    }
}
