//! Messages of Samsung's Multiple Display Control: `AA`, command, display, length, data, and the sum of all but the first.
//! In a reply the command is `FF`, and the data begin with `A` or `N` and the command that was obeyed or refused.

use drivers_sdk::prelude::*;

pub const STATUS: u8 = 0x00;
pub const FAULTS: u8 = 0x0d;
pub const POWER: u8 = 0x11;
pub const VOLUME: u8 = 0x12;
pub const MUTE: u8 = 0x13;
pub const INPUT: u8 = 0x14;
pub const MODEL: u8 = 0x8a;
/// The picture alone: 1 is dark.
pub const PANEL: u8 = 0xf9;

/// The display that answers whatever its number is.
pub const ANY: u8 = 0xfe;

const INPUTS: [(u8, &str); 19] = [
    (0x08, "component"),
    (0x0c, "av"),
    (0x14, "vga"),
    (0x18, "dvi"),
    (0x1f, "dvi_video"),
    (0x20, "magic_info"),
    (0x21, "hdmi1"),
    (0x22, "hdmi1_pc"),
    (0x23, "hdmi2"),
    (0x24, "hdmi2_pc"),
    (0x25, "display_port1"),
    (0x26, "display_port2"),
    (0x31, "hdmi3"),
    (0x33, "hdmi4"),
    (0x40, "tv"),
    (0x55, "hdbaset"),
    (0x60, "magic_info_s"),
    (0x61, "screen_mirroring"),
    (0x63, "url_launcher"),
];

/// The name of an input; that of one without a name is its number, `0x77`.
pub fn input_name(number: u8) -> String {
    let named = INPUTS.iter().find(|(known, _)| *known == number);
    named.map_or_else(|| format!("{number:#04x}"), |(_, name)| (*name).into())
}

pub fn input_number(name: &str) -> Result<u8> {
    let named = INPUTS.iter().find(|(_, known)| *known == name).map(|(number, _)| *number);
    named.or_else(|| u8::from_str_radix(name.strip_prefix("0x")?, 16).ok()).ok_or_else(|| {
        let names: Vec<_> = INPUTS.iter().map(|(_, name)| *name).collect();
        Error::bad_request(format!(
            "{name:?} is no input: it is one of {}, or a number such as 0x21",
            names.join(", ")
        ))
    })
}

/// A message; `data` has at most 255 bytes.
pub fn message(command: u8, display: u8, data: &[u8]) -> Vec<u8> {
    let mut message = vec![0xaa, command, display, data.len() as u8];
    message.extend(data);
    message.push(sum(&message));
    message
}

/// The command, the display and the data of a message that is whole.
pub fn read(message: &[u8]) -> Option<(u8, u8, &[u8])> {
    let (checksum, rest) = message.split_last()?;
    let [0xaa, command, display, length, data @ ..] = rest else { return None };
    (usize::from(*length) == data.len() && sum(rest) == *checksum).then_some((*command, *display, data))
}

/// What a display says to a command: the values, or why it refuses.
pub fn reply(command: u8, display: u8) -> impl Matcher<Output = Vec<u8>> {
    parse_bytes(move |message| match read(message)? {
        (0xff, from, [answer, about, values @ ..])
            if *about == command && (from == display || display == ANY) =>
        {
            match answer {
                b'A' => Some(Ok(values.to_vec())),
                b'N' => Some(Err(Error::device(format!(
                    "the display refused command {command:#04x}: {values:02x?}"
                )))),
                _ => None,
            }
        }
        _ => None,
    })
}

/// The parts that are not well.
pub fn faults(values: &[u8]) -> Vec<String> {
    let parts = ["lamp", "temperature", "brightness sensor", "no signal", "", "fan"];
    let broken = parts.iter().zip(values).filter(|(part, value)| !part.is_empty() && **value == 1);
    broken.map(|(part, _)| (*part).into()).collect()
}

fn sum(message: &[u8]) -> u8 {
    message.iter().skip(1).fold(0, |sum, byte| sum.wrapping_add(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use drivers_sdk::matcher::Match;
    use proptest::prelude::*;

    #[test]
    fn messages_are_those_of_the_manual() {
        // Power on, display 1.
        assert_eq!(message(POWER, 1, &[1]), [0xaa, 0x11, 0x01, 0x01, 0x01, 0x14]);
        assert_eq!(
            read(&[0xaa, 0xff, 0x01, 0x03, b'A', 0x11, 0x01, 0x56]),
            Some((0xff, 1, &[b'A', 0x11, 1][..]))
        );
        assert_eq!(read(&[0xaa, 0xff, 0x01, 0x03, b'A', 0x11, 0x01, 0x57]), None);
    }

    #[test]
    fn replies_are_those_of_the_same_command_and_display() {
        let offer = |to: (u8, u8), data: &[u8]| reply(to.0, to.1).offer(&message(0xff, 3, data));
        assert!(matches!(offer((POWER, 3), &[b'A', POWER, 1]), Match::Done(Ok(values)) if values == [1]));
        assert!(matches!(offer((POWER, ANY), &[b'A', POWER, 1]), Match::Done(Ok(_))));
        assert!(matches!(offer((POWER, 3), &[b'N', POWER, 4]), Match::Done(Err(_))));
        assert!(matches!(offer((POWER, 4), &[b'A', POWER, 1]), Match::No));
        assert!(matches!(offer((MUTE, 3), &[b'A', POWER, 1]), Match::No));
        assert!(matches!(offer((MUTE, 3), &[]), Match::No));
    }

    #[test]
    fn inputs_have_names_or_numbers() {
        for (number, name) in INPUTS.into_iter().chain([(0x77, "0x77")]) {
            assert_eq!((input_name(number).as_str(), input_number(name).unwrap()), (name, number));
        }
        assert!(input_number("hdmi9").unwrap_err().message().contains("hdmi1"));
    }

    #[test]
    fn faults_are_named() {
        assert_eq!(faults(&[0, 1, 2, 0, 41, 1]), ["temperature", "fan"]);
        assert_eq!(faults(&[]), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(command: u8, display: u8, data in prop::collection::vec(prop::num::u8::ANY, 0..256)) {
            let message = message(command, display, &data);
            prop_assert_eq!(read(&message), Some((command, display, &data[..])));
        }

        #[test]
        fn no_other_byte_passes_the_checksum(command: u8, data: Vec<u8>, at: prop::sample::Index, change in 1u8..) {
            let mut message = message(command, 1, &data);
            let at = at.index(message.len());
            message[at] = message[at].wrapping_add(change);
            prop_assert_eq!(read(&message), None);
        }

        #[test]
        fn garbage_is_no_reply(bytes: Vec<u8>) {
            prop_assert!(matches!(reply(STATUS, ANY).offer(&bytes), Match::No));
        }
    }
}
