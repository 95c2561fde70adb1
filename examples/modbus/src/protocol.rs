//! What goes over the wire: requests and their replies (MODBUS Application Protocol V1.1b3), and the two ways they are
//! wrapped, TCP with its header (MODBUS Messaging on TCP/IP V1.0b) and RTU with its checksum (MODBUS over Serial Line V1.02).

use drivers_sdk::prelude::*;

/// The four tables of a device.
#[data]
#[derive(PartialOrd, Ord)]
pub enum Table {
    Coil,
    DiscreteInput,
    HoldingRegister,
    InputRegister,
}

impl Table {
    /// Its entries are single bits.
    pub fn has_bits(self) -> bool {
        matches!(self, Table::Coil | Table::DiscreteInput)
    }

    pub fn is_writable(self) -> bool {
        matches!(self, Table::Coil | Table::HoldingRegister)
    }

    /// How many entries one request may read.
    pub fn most(self) -> u16 {
        if self.has_bits() { 2000 } else { 125 }
    }
}

/// A request. Bits are words of 0 and 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    function: u8,
    address: u16,
    count: u16,
    values: Vec<u16>,
}

impl Request {
    pub fn read(table: Table, address: u16, count: u16) -> Request {
        let function = match table {
            Table::Coil => 1,
            Table::DiscreteInput => 2,
            Table::HoldingRegister => 3,
            Table::InputRegister => 4,
        };
        Request { function, address, count, values: Vec::new() }
    }

    /// Writes coils or holding registers: one by function 5 or 6, several by 15 or 16.
    pub fn write(table: Table, address: u16, values: Vec<u16>) -> Result<Request> {
        let function = match (table, &values[..]) {
            (Table::Coil, [_]) => 5,
            (Table::HoldingRegister, [_]) => 6,
            (Table::Coil, [_, ..]) if values.len() <= 1968 => 15,
            (Table::HoldingRegister, [_, ..]) if values.len() <= 123 => 16,
            (Table::Coil | Table::HoldingRegister, _) => {
                return Err(Error::bad_request("one request writes 1 to 1968 coils, or 1 to 123 registers"));
            }
            _ => return Err(Error::bad_request(format!("nothing can be written to the table {table:?}"))),
        };
        Ok(Request { function, address, count: values.len() as u16, values })
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.function];
        bytes.extend(self.address.to_be_bytes());
        match (self.function, self.values.first()) {
            (5, Some(value)) => bytes.extend([if *value == 0 { 0 } else { 0xff }, 0]),
            (6, Some(value)) => bytes.extend(value.to_be_bytes()),
            _ => bytes.extend(self.count.to_be_bytes()),
        }
        if self.function > 6 {
            let data = if self.function == 15 { bits(&self.values) } else { words(&self.values) };
            bytes.push(data.len() as u8);
            bytes.extend(data);
        }
        bytes
    }

    /// What was read, if these bytes are the reply to this request; nothing, if it was to write.
    pub fn reply(&self, bytes: &[u8]) -> Option<Result<Vec<u16>>> {
        let (function, data) = bytes.split_first()?;
        if *function == self.function | 0x80 {
            return Some(Err(exception(*data.first()?)));
        }
        if *function != self.function {
            return None;
        }
        let sent = self.encode();
        let reply = match (self.function, data.split_first()) {
            (1 | 2, Some((length, data))) => (usize::from(*length) == data.len()
                && data.len() == usize::from(self.count).div_ceil(8))
            .then(|| {
                (0..usize::from(self.count))
                    .map(|at| data.get(at / 8).map_or(0, |byte| u16::from(byte >> (at % 8) & 1)))
                    .collect()
            }),
            (3 | 4, Some((length, data))) => (usize::from(*length) == data.len()
                && data.len() == usize::from(self.count) * 2)
                .then(|| data.as_chunks().0.iter().map(|word| u16::from_be_bytes(*word)).collect()),
            _ => (bytes.len() == 5 && sent.starts_with(bytes)).then(Vec::new),
        };
        Some(reply.ok_or_else(|| {
            Error::device(format!("the device's reply does not fit the request: {:?}", Frame::from(bytes)))
        }))
    }
}

/// Bits, the first of which is the lowest of the first byte.
pub fn bits(values: &[u16]) -> Vec<u8> {
    let byte = |bits: &[u16]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit != 0));
    values.chunks(8).map(byte).collect()
}

pub fn words(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn exception(code: u8) -> Error {
    let why = match code {
        1 => "it does not know the function",
        2 => "it has no such address",
        3 => "it does not take the value, or that many",
        4 => "it failed",
        5 => "it needs long for it, and has just begun",
        6 => "it is busy",
        8 => "its memory is faulty",
        10 => "the gateway has no way to it",
        11 => "it does not answer the gateway: is it on, is `unit` its number?",
        _ => "look the number up in its manual",
    };
    Error::device(format!("the device refused: {why} (exception {code})"))
}

/// How requests and replies are wrapped.
#[data]
pub enum Mode {
    /// Modbus TCP.
    Tcp,
    /// Modbus RTU, behind a gateway that passes bytes on as they are, or on a serial port.
    Rtu,
}

impl Mode {
    /// A whole message. The number tells a late reply from the one to this request; RTU has no place for it.
    pub fn wrap(self, number: u16, unit: u8, bytes: &[u8]) -> Vec<u8> {
        let mut message = Vec::with_capacity(bytes.len() + 7);
        if self == Mode::Tcp {
            message.extend(words(&[number, 0, bytes.len() as u16 + 1]));
        }
        message.push(unit);
        message.extend(bytes);
        if self == Mode::Rtu {
            message.extend(crc(&message).to_le_bytes());
        }
        message
    }

    /// Number, unit and bytes of a whole message; nothing if it is none. RTU's number is 0.
    pub fn unwrap(self, message: &[u8]) -> Option<(u16, u8, &[u8])> {
        match self {
            Mode::Tcp => {
                let ([high, low, 0, 0, _, _, unit], bytes) = message.split_first_chunk()? else {
                    return None;
                };
                Some((u16::from_be_bytes([*high, *low]), *unit, bytes))
            }
            Mode::Rtu => {
                let (body, checksum) = message.split_last_chunk()?;
                let (unit, bytes) = body.split_first()?;
                (crc(body).to_le_bytes() == *checksum).then_some((0, *unit, bytes))
            }
        }
    }
}

/// CRC-16 of RTU, whose low byte is sent first.
fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xa001 } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, *};

    /// The examples of the specification.
    #[test]
    fn requests_are_as_the_specification_has_them() {
        let coils = [1, 0, 1, 1, 0, 0, 1, 1, 1, 0].to_vec();
        for (request, bytes) in [
            (Request::read(Table::Coil, 0x13, 0x13), &b"\x01\x00\x13\x00\x13"[..]),
            (Request::read(Table::DiscreteInput, 0xc4, 0x16), b"\x02\x00\xc4\x00\x16"),
            (Request::read(Table::HoldingRegister, 0x6b, 3), b"\x03\x00\x6b\x00\x03"),
            (Request::read(Table::InputRegister, 8, 1), b"\x04\x00\x08\x00\x01"),
            (Request::write(Table::Coil, 0xac, vec![1]).unwrap(), b"\x05\x00\xac\xff\x00"),
            (Request::write(Table::HoldingRegister, 1, vec![3]).unwrap(), b"\x06\x00\x01\x00\x03"),
            (Request::write(Table::Coil, 0x13, coils).unwrap(), b"\x0f\x00\x13\x00\x0a\x02\xcd\x01"),
            (
                Request::write(Table::HoldingRegister, 1, vec![0x0a, 0x102]).unwrap(),
                b"\x10\x00\x01\x00\x02\x04\x00\x0a\x01\x02",
            ),
        ] {
            assert_eq!(request.encode(), bytes, "{request:?}");
        }
        assert!(Request::write(Table::InputRegister, 1, vec![1]).is_err());
        assert!(Request::write(Table::HoldingRegister, 1, vec![]).is_err());
        assert!(Request::write(Table::HoldingRegister, 1, vec![1; 124]).is_err());
    }

    #[test]
    fn replies_are_read_and_those_to_something_else_left_alone() {
        let registers = Request::read(Table::HoldingRegister, 0x6b, 3);
        let reply = registers.reply(b"\x03\x06\x02\x2b\x00\x00\x00\x64");
        assert_eq!(reply, Some(Ok(vec![0x22b, 0, 0x64])));
        let inputs = Request::read(Table::DiscreteInput, 0xc4, 0x16).reply(b"\x02\x03\xac\xdb\x35");
        let expected = [0, 0, 1, 1, 0, 1, 0, 1, 1, 1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 0, 1, 1].to_vec();
        assert_eq!(inputs, Some(Ok(expected)));
        let write = Request::write(Table::Coil, 0xac, vec![1]).unwrap();
        assert_eq!(write.reply(b"\x05\x00\xac\xff\x00"), Some(Ok(vec![])));
        assert_eq!(registers.reply(b"\x04\x02\x00\x00"), None);
        assert!(write.reply(b"\x05\x00\xad\xff\x00").is_some_and(|reply| reply.is_err()));
        assert!(registers.reply(b"\x03\x02\x02\x2b").is_some_and(|reply| reply.is_err()));
        let refused = registers.reply(b"\x83\x02").and_then(Result::err).expect("refused");
        assert_eq!(refused.message(), "the device refused: it has no such address (exception 2)");
    }

    #[test]
    fn both_ways_of_wrapping_are_as_the_specification_has_them() {
        let read = Request::read(Table::InputRegister, 0, 1).encode();
        assert_eq!(Mode::Tcp.wrap(0x1501, 0xff, &read), b"\x15\x01\x00\x00\x00\x06\xff\x04\x00\x00\x00\x01");
        // Appendix B: the sum of 02 07 is 1241.
        assert_eq!(Mode::Rtu.wrap(0, 2, &[7]), b"\x02\x07\x41\x12");
        assert_eq!(Mode::Tcp.unwrap(b"\x15\x01\x00\x01\x00\x06\xff\x04"), None);
    }

    proptest! {
        #[test]
        fn what_is_wrapped_is_unwrapped(number: u16, unit: u8, bytes in prop::collection::vec(any::<u8>(), 1..250)) {
            let (tcp, rtu) = (Mode::Tcp.wrap(number, unit, &bytes), Mode::Rtu.wrap(number, unit, &bytes));
            prop_assert_eq!(Mode::Tcp.unwrap(&tcp), Some((number, unit, &bytes[..])));
            prop_assert_eq!(Mode::Rtu.unwrap(&rtu), Some((0, unit, &bytes[..])));
        }

        #[test]
        fn no_flipped_bit_passes_the_checksum(bytes in prop::collection::vec(any::<u8>(), 1..250), at: prop::sample::Index) {
            let mut message = Mode::Rtu.wrap(0, 1, &bytes);
            let bit = at.index(message.len() * 8);
            message[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Mode::Rtu.unwrap(&message), None);
        }

        #[test]
        fn garbage_is_no_reply(bytes in prop::collection::vec(any::<u8>(), 0..260), count in 1u16..125) {
            for table in [Table::Coil, Table::HoldingRegister] {
                let reply = Request::read(table, 0, count).reply(&bytes);
                prop_assert!(reply.is_none_or(|reply| reply.is_ok_and(|values| values.len() == usize::from(count)) || bytes.len() > 1));
            }
            let _ = (Mode::Tcp.unwrap(&bytes), Mode::Rtu.unwrap(&bytes));
        }
    }
}
