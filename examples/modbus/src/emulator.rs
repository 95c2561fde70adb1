//! A device with a hundred entries in each table, as the specification has it: what it does not know or have, it refuses
//! with an exception; a message with a wrong checksum, or for another unit, it does not hear.
//!
//! Its inputs hold ten times their address, discrete ones are on if it is odd, and what can be written begins as 0.

use drivers_sdk::prelude::*;

use crate::Options;
use crate::protocol::{bits, words};

/// Entries of each table.
const SIZE: usize = 100;

pub struct Emulator {
    settings: Options,
    bank: RefCell<Bank>,
}

impl Device for Emulator {
    type Settings = Options;

    fn create(settings: Options) -> Result<Self> {
        Ok(Emulator { settings, bank: RefCell::default() })
    }

    async fn session(&self, mut stream: DeviceStream) -> Result {
        let Options { mode, unit, .. } = self.settings;
        stream.framing(self.settings.framing());
        while let Some(message) = stream.next().await? {
            let Some((number, to, request)) = mode.unwrap(&message).filter(|(_, to, _)| *to == unit) else {
                continue;
            };
            let reply = self.bank.borrow_mut().answer(request);
            stream.send(mode.wrap(number, to, &reply)).await?;
        }
        Ok(())
    }
}

/// The device's memory.
pub struct Bank {
    coils: [u16; SIZE],
    registers: [u16; SIZE],
}

impl Default for Bank {
    fn default() -> Self {
        Bank { coils: [0; SIZE], registers: [0; SIZE] }
    }
}

const UNKNOWN: u8 = 1;
const NO_ADDRESS: u8 = 2;
const BAD_VALUE: u8 = 3;

impl Bank {
    /// Answers a request, neither with its wrapping.
    pub fn answer(&mut self, request: &[u8]) -> Vec<u8> {
        let Some((function, data)) = request.split_first() else { return vec![0x80, UNKNOWN] };
        self.obey(*function, data).map_or_else(
            |exception| vec![function | 0x80, exception],
            |reply| [&[*function], &reply[..]].concat(),
        )
    }

    fn obey(&mut self, function: u8, data: &[u8]) -> Result<Vec<u8>, u8> {
        if !matches!(function, 1..=6 | 15 | 16) {
            return Err(UNKNOWN);
        }
        let Some(([a, b, c, d], data)) = data.split_first_chunk() else { return Err(BAD_VALUE) };
        let (address, number) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
        let echo = [*a, *b, *c, *d].to_vec();
        let most = match function {
            1 | 2 => 2000,
            15 => 1968,
            16 => 123,
            _ => 125,
        };
        let count = if matches!(function, 5 | 6) { 1 } else { number };
        if count == 0 || count > most {
            return Err(BAD_VALUE);
        }
        let range = usize::from(address)..usize::from(address) + usize::from(count);
        if range.end > SIZE {
            return Err(NO_ADDRESS);
        }
        let counted = |bytes: Vec<u8>| [&[bytes.len() as u8], &bytes[..]].concat();
        match (function, data) {
            (1, []) => Ok(counted(bits(&self.coils[range]))),
            (2, []) => Ok(counted(bits(&range.map(|at| at as u16 % 2).collect::<Vec<_>>()))),
            (3, []) => Ok(counted(words(&self.registers[range]))),
            (4, []) => Ok(counted(words(&range.map(|at| at as u16 * 10).collect::<Vec<_>>()))),
            (5, []) if matches!(number, 0 | 0xff00) => {
                self.coils[range.start] = u16::from(number != 0);
                Ok(echo)
            }
            (6, []) => {
                self.registers[range.start] = number;
                Ok(echo)
            }
            (15, [length, bytes @ ..])
                if usize::from(*length) == bytes.len() && bytes.len() == range.len().div_ceil(8) =>
            {
                for (at, coil) in self.coils[range].iter_mut().enumerate() {
                    *coil = u16::from(bytes[at / 8] >> (at % 8) & 1);
                }
                Ok(echo)
            }
            (16, [length, bytes @ ..])
                if usize::from(*length) == bytes.len() && bytes.len() == range.len() * 2 =>
            {
                for (register, word) in self.registers[range].iter_mut().zip(bytes.as_chunks().0) {
                    *register = u16::from_be_bytes(*word);
                }
                Ok(echo)
            }
            _ => Err(BAD_VALUE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Request, Table};
    use proptest::prelude::{any, *};

    #[test]
    fn what_is_written_is_there_afterwards() {
        let mut bank = Bank::default();
        let mut ask = |request: Request| request.reply(&bank.answer(&request.encode())).expect("a reply");
        let write = |table, address, values: &[u16]| {
            Request::write(table, address, values.to_vec()).expect("it is one")
        };
        for (table, values) in
            [(Table::Coil, &[1, 0, 0, 1, 1, 0, 1, 0, 1][..]), (Table::HoldingRegister, &[1, 0xffff, 0x1234])]
        {
            assert_eq!(ask(write(table, 3, values)), Ok(vec![]));
            assert_eq!(ask(Request::read(table, 3, values.len() as u16)), Ok(values.to_vec()));
            assert_eq!(ask(write(table, 99, &[1])), Ok(vec![]));
            assert_eq!(ask(Request::read(table, 98, 2)), Ok(vec![0, 1]));
        }
        assert_eq!(ask(Request::read(Table::InputRegister, 7, 2)), Ok(vec![70, 80]));
        assert_eq!(ask(Request::read(Table::DiscreteInput, 7, 3)), Ok(vec![1, 0, 1]));
    }

    #[test]
    fn what_it_has_not_it_refuses() {
        let mut bank = Bank::default();
        assert_eq!(bank.answer(b"\x03\x00\x63\x00\x02"), [0x83, NO_ADDRESS]);
        assert_eq!(bank.answer(b"\x03\x00\x00\x00\x7e"), [0x83, BAD_VALUE]);
        assert_eq!(bank.answer(b"\x05\x00\x00\x12\x34"), [0x85, BAD_VALUE]);
        assert_eq!(bank.answer(b"\x10\x00\x00\x00\x02\x02\x00\x00"), [0x90, BAD_VALUE]);
        assert_eq!(bank.answer(b"\x2b\x0e\x01\x00"), [0xab, UNKNOWN]);
    }

    proptest! {
        #[test]
        fn it_answers_whatever_it_is_asked(request in prop::collection::vec(any::<u8>(), 0..260)) {
            prop_assert!(Bank::default().answer(&request).len() >= 2);
        }
    }
}
