//! Packets of Art-Net 4. Each begins with its name and an operation, whose low byte comes first.

pub const NAME: &[u8; 8] = b"Art-Net\0";
pub const POLL: u16 = 0x2000;
pub const POLL_REPLY: u16 = 0x2100;
pub const DMX: u16 = 0x5000;
/// Of the protocol.
const VERSION: [u8; 2] = [0, 14];
/// Where a node says what it is called, in 18 bytes that end with a zero.
const SHORT_NAME: usize = 26;

/// The levels of a universe. The number, 1 to 255, tells a packet that comes late; what listens may put them in order.
pub fn dmx(number: u8, universe: u16, levels: &[u8]) -> Vec<u8> {
    let [net, universe] = universe.to_be_bytes();
    let head = [&NAME[..], &DMX.to_le_bytes(), &VERSION, &[number, 0, universe, net]].concat();
    [&head, &(levels.len() as u16).to_be_bytes()[..], levels].concat()
}

/// Asks every node that hears it who it is.
pub fn poll() -> Vec<u8> {
    [&NAME[..], &POLL.to_le_bytes(), &VERSION, &[0, 0]].concat()
}

/// What a packet is, and the rest of it.
pub fn operation(packet: &[u8]) -> Option<(u16, &[u8])> {
    let (operation, rest) = packet.strip_prefix(NAME)?.split_first_chunk()?;
    Some((u16::from_le_bytes(*operation), rest))
}

/// What a node calls itself, if the packet says so.
pub fn node(packet: &[u8]) -> Option<String> {
    operation(packet).filter(|(operation, _)| *operation == POLL_REPLY)?;
    let name = packet.get(SHORT_NAME..SHORT_NAME + 18)?.split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(name).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn packets_are_as_the_specification_has_them() {
        let packet = dmx(7, 0x0312, &[1, 2, 3, 255]);
        assert_eq!(packet, b"Art-Net\0\x00\x50\x00\x0e\x07\x00\x12\x03\x00\x04\x01\x02\x03\xff");
        assert_eq!(poll(), b"Art-Net\0\x00\x20\x00\x0e\x00\x00");
        assert_eq!(operation(&packet).map(|(operation, _)| operation), Some(DMX));
        assert_eq!(node(&packet), None);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_node_or_not(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = node(&bytes);
            let _ = node(&[&NAME[..], &POLL_REPLY.to_le_bytes(), &bytes].concat());
        }
    }
}
