//! A node with one universe, which shows what it is sent to nobody but tests, and tells who asks what it is called.

use drivers_sdk::prelude::*;

use crate::Options;
use crate::packet::{DMX, NAME, POLL, POLL_REPLY, operation};

pub struct Emulator(RefCell<Node>);

impl Device for Emulator {
    type Settings = Options;

    fn create(settings: Options) -> Result<Self> {
        Ok(Emulator(RefCell::new(Node { universe: settings.universe, levels: vec![0; 512] })))
    }

    async fn session(&self, mut stream: DeviceStream) -> Result {
        while let Some(packet) = stream.next().await? {
            let answer = self.0.borrow_mut().hear(&packet);
            if let Some(answer) = answer {
                stream.send(answer).await?;
            }
        }
        Ok(())
    }
}

struct Node {
    universe: u16,
    levels: Vec<u8>,
}

impl Node {
    /// Takes a packet, and answers it or not.
    fn hear(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let (operation, rest) = operation(packet)?;
        match (operation, rest) {
            (POLL, [0, 14..=255, ..]) => Some(self.about()),
            (DMX, [0, 14..=255, _number, _port, universe, net, high, low, levels @ ..]) => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                if u16::from_be_bytes([*net, *universe]) == self.universe && matches!(length, 2..=512) {
                    let levels = levels.get(..length)?;
                    self.levels[..length].copy_from_slice(levels);
                }
                None
            }
            _ => None,
        }
    }

    /// ArtPollReply: 239 bytes, most of which are zero.
    fn about(&self) -> Vec<u8> {
        let mut reply = [&NAME[..], &POLL_REPLY.to_le_bytes(), &[127, 0, 0, 1, 0x36, 0x19]].concat();
        reply.resize(239, 0);
        let [net, sub_net] = self.universe.to_be_bytes();
        let [.., low] = self.universe.to_be_bytes();
        (reply[18], reply[19]) = (net, sub_net >> 4);
        reply[26..34].copy_from_slice(b"Emulated");
        reply[44..57].copy_from_slice(b"Emulated node");
        // One port, which puts DMX out.
        (reply[173], reply[174], reply[190]) = (1, 0x80, low & 15);
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{dmx, node, poll};
    use proptest::prelude::{any, *};

    #[test]
    fn it_shows_its_universe_and_tells_its_name() {
        let mut it = Node { universe: 0x112, levels: vec![0; 512] };
        assert_eq!(it.hear(&dmx(1, 0x112, &[1, 2, 3, 4])), None);
        assert_eq!(it.hear(&dmx(1, 0x113, &[9, 9, 9, 9])), None);
        assert_eq!(it.hear(&dmx(2, 0x112, &[5, 6])), None);
        assert_eq!(it.levels[..5], [5, 6, 3, 4, 0]);
        let reply = it.hear(&poll()).expect("an answer");
        assert_eq!((reply.len(), node(&reply).as_deref()), (239, Some("Emulated")));
        assert_eq!((reply[18], reply[19], reply[190]), (1, 1, 2));
    }

    proptest! {
        #[test]
        fn it_stands_whatever_comes(operation in prop::sample::select(vec![POLL, DMX]), bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let mut it = Node { universe: 0, levels: vec![0; 512] };
            let _ = it.hear(&[&NAME[..], &operation.to_le_bytes(), &bytes].concat());
        }
    }
}
