//! Frames on the wire: `A5`, command, value, and the sum of these three, modulo 256.

use drivers_sdk::prelude::*;

pub const LENGTH: usize = 4;
pub const QUERY: u8 = 0x01;
pub const INPUT: u8 = 0x02;
/// Instead of the command, when the device refuses; the value says why.
pub const REFUSED: u8 = 0xFF;

const START: u8 = 0xA5;

/// A frame.
pub fn packet(command: u8, value: u8) -> [u8; LENGTH] {
    [
        START,
        command,
        value,
        START.wrapping_add(command).wrapping_add(value),
    ]
}

/// The command and the value of a frame; `None` if it is none.
pub fn read(bytes: &[u8]) -> Option<(u8, u8)> {
    match bytes {
        [START, command, value, _] if packet(*command, *value) == bytes => Some((*command, *value)),
        _ => None,
    }
}

/// The value that answers `command`; `None` if it is no answer to it.
pub fn value(bytes: &[u8], command: u8) -> Option<Result<u8>> {
    match read(bytes)? {
        (REFUSED, why) => Some(Err(Error::device(format!(
            "the device refused with code {why}"
        )))),
        (found, value) => (found == command).then_some(Ok(value)),
    }
}
