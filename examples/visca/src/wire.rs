//! VISCA on the wire: what is said to the camera and by it, and the header that VISCA over IP puts before it.

use drivers_sdk::framing::{Framing, delimited, none};
use drivers_sdk::prelude::*;

/// How VISCA gets to the camera.
#[data]
pub enum Transport {
    /// VISCA over IP: datagrams with a header and a number, as Sony's cameras take them on UDP port 52381.
    Ip,
    /// VISCA itself, as serial ports take it, and most cameras on a TCP port of theirs (5678, 1259, …).
    Plain,
}

/// What a message is, and its type in the header of VISCA over IP.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u16)]
pub enum Kind {
    Command = 0x0100,
    Inquiry = 0x0110,
    Reply = 0x0111,
    Control = 0x0200,
    ControlReply = 0x0201,
}

/// Ends every message of VISCA, and is nowhere else in one.
const END: u8 = 0xff;
const HEADER: usize = 8;

impl Transport {
    pub fn framing(self) -> Framing {
        match self {
            Transport::Ip => none(),
            Transport::Plain => delimited(&[END]),
        }
    }

    /// A message as it is sent. `number` is repeated in the reply, where there is a header.
    pub fn wrap(self, kind: Kind, number: u32, message: &[u8]) -> Vec<u8> {
        if self == Transport::Plain {
            return message.to_vec();
        }
        let end: &[u8] = if matches!(kind, Kind::Control | Kind::ControlReply) { &[] } else { &[END] };
        let length = (message.len() + end.len()) as u16;
        let (kind, length) = ((kind as u16).to_be_bytes(), length.to_be_bytes());
        [&kind[..], &length, &number.to_be_bytes(), message, end].concat()
    }

    /// Kind, number and message of what came. Without a header it is what is `expected`, with number 0.
    pub fn unwrap(self, expected: Kind, frame: &[u8]) -> Option<(Kind, u32, &[u8])> {
        if self == Transport::Plain {
            return Some((expected, 0, frame));
        }
        let (header, message) = frame.split_at_checked(HEADER)?;
        let [kind1, kind2, length1, length2, number @ ..] = header else { return None };
        let kind = u16::from_be_bytes([*kind1, *kind2]);
        use Kind::*;
        let kind = [Command, Inquiry, Reply, Control, ControlReply]
            .into_iter()
            .find(|known| *known as u16 == kind)?;
        let whole = usize::from(u16::from_be_bytes([*length1, *length2])) == message.len();
        let number = u32::from_be_bytes(number.try_into().ok()?);
        let message = message.strip_suffix(&[END]).unwrap_or(message);
        whole.then_some((kind, number, message))
    }
}

/// What a camera says.
#[derive(Debug, PartialEq)]
pub enum Answer {
    /// It has begun to obey a command.
    Begun,
    /// It has obeyed a command.
    Done,
    /// What an inquiry asked for.
    Value(Vec<u8>),
    Refused(Error),
}

impl Answer {
    /// Reads what the camera with this number says; `None` is another one, or nonsense.
    pub fn read(camera: u8, message: &[u8]) -> Option<Answer> {
        let (from, message) = message.split_first()?;
        if *from != (camera + 8) << 4 {
            return None;
        }
        Some(match message {
            [0x40..=0x4f] => Answer::Begun,
            [0x50..=0x5f] => Answer::Done,
            [0x50, value @ ..] => Answer::Value(value.to_vec()),
            [0x60..=0x6f, why] => Answer::Refused(refusal(*why)),
            _ => return None,
        })
    }
}

fn refusal(why: u8) -> Error {
    let why = match why {
        0x01 => "the message has a wrong length",
        0x02 => "it does not know the command, or its value",
        0x03 => "it has too much to do",
        0x04 => "the command was cancelled",
        0x05 => "there is nothing to cancel",
        0x41 => "it cannot do that now: it is in standby, say",
        _ => "look the number up in its manual",
    };
    Error::device(format!("the camera refused: {why}"))
}

/// A number as VISCA has it: four bytes with four bits each.
pub fn nibbles(number: i16) -> [u8; 4] {
    let number = number as u16;
    [12, 8, 4, 0].map(|shift| (number >> shift) as u8 & 0x0f)
}

/// The number of four such bytes.
pub fn number(nibbles: &[u8]) -> Option<i16> {
    let nibbles: [u8; 4] = nibbles.try_into().ok()?;
    let joined = nibbles.iter().all(|nibble| *nibble < 16);
    joined.then(|| nibbles.iter().fold(0, |number: i16, nibble| number << 4 | i16::from(*nibble)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_are_those_of_the_manual() {
        let power = Transport::Ip.wrap(Kind::Command, 0x12, b"\x81\x01\x04\x00\x02");
        assert_eq!(power, b"\x01\x00\x00\x06\x00\x00\x00\x12\x81\x01\x04\x00\x02\xff");
        let reset = Transport::Ip.wrap(Kind::Control, 0, b"\x01");
        assert_eq!(reset, b"\x02\x00\x00\x01\x00\x00\x00\x00\x01");
        let reply = b"\x01\x11\x00\x04\x00\x00\x00\x12\x90\x50\x02\xff";
        assert_eq!(Transport::Ip.unwrap(Kind::Reply, reply), Some((Kind::Reply, 0x12, &b"\x90\x50\x02"[..])));
        assert_eq!(
            Transport::Ip.unwrap(Kind::Reply, b"\x01\x11\x00\x05\x00\x00\x00\x12\x90\x50\x02\xff"),
            None
        );
    }

    #[test]
    fn answers() {
        assert_eq!(Answer::read(1, b"\x90\x41"), Some(Answer::Begun));
        assert_eq!(Answer::read(1, b"\x90\x52"), Some(Answer::Done));
        assert_eq!(Answer::read(1, b"\x90\x50\x02"), Some(Answer::Value(vec![2])));
        assert_eq!(Answer::read(3, b"\xb0\x41"), Some(Answer::Begun));
        assert_eq!(Answer::read(1, b"\xb0\x41"), None);
        assert!(
            matches!(Answer::read(1, b"\x90\x61\x41"), Some(Answer::Refused(why)) if why.message().contains("standby"))
        );
    }

    proptest! {
        #[test]
        fn what_is_wrapped_is_unwrapped(number: u32, message in prop::collection::vec(0u8..0xff, 1..15)) {
            let wrapped = Transport::Ip.wrap(Kind::Inquiry, number, &message);
            prop_assert_eq!(Transport::Ip.unwrap(Kind::Reply, &wrapped), Some((Kind::Inquiry, number, &message[..])));
        }

        #[test]
        fn numbers_come_back(value: i16) {
            prop_assert_eq!(number(&nibbles(value)), Some(value));
        }

        #[test]
        fn garbage_is_read_without_harm(bytes: Vec<u8>, camera in 1u8..8) {
            let _ = (Transport::Ip.unwrap(Kind::Reply, &bytes), Answer::read(camera, &bytes), number(&bytes));
        }
    }
}
