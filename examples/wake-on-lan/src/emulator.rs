//! The computers of the settings, asleep: each wakes when a packet holds its address (AMD's Magic Packet, 1995), and
//! says so in the module's log.

use std::collections::BTreeSet;

use drivers_sdk::prelude::*;

use crate::{Options, hardware};

pub struct Emulator(RefCell<Network>);

impl Device for Emulator {
    type Settings = Options;

    fn create(settings: Options) -> Result<Self> {
        let cards = settings.targets.into_iter().map(|(name, address)| Ok((hardware(&address)?, name)));
        Ok(Emulator(RefCell::new(Network { cards: cards.collect::<Result<_>>()?, awake: BTreeSet::new() })))
    }

    async fn session(&self, mut stream: DeviceStream) -> Result {
        while let Some(packet) = stream.next().await? {
            for name in self.0.borrow_mut().hear(&packet) {
                eprintln!("{name} wakes up");
            }
        }
        Ok(())
    }
}

struct Network {
    cards: Vec<([u8; 6], String)>,
    awake: BTreeSet<String>,
}

impl Network {
    /// Who wakes by this packet. Sixteen addresses may be anywhere in it, after six times 255.
    fn hear(&mut self, packet: &[u8]) -> Vec<String> {
        let calls = |address: &[u8; 6]| {
            let wanted = [&[0xff; 6][..], &address.repeat(16)].concat();
            packet.windows(wanted.len()).any(|bytes| bytes == wanted)
        };
        let called = self.cards.iter().filter(|(address, _)| calls(address)).map(|(_, name)| name.clone());
        called.filter(|name| self.awake.insert(name.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::magic;
    use proptest::prelude::*;

    #[test]
    fn who_is_called_wakes_up_once() {
        let address = hardware("00:1b:44:11:3a:b7").expect("it is one");
        let other = hardware("00-1B-44-11-3A-B8").expect("it is one");
        let cards = vec![(address, "desk".into()), (other, "wall".into())];
        let mut network = Network { cards, awake: BTreeSet::new() };
        let packet = magic(address);
        assert_eq!((packet.len(), &packet[..8]), (102, &b"\xff\xff\xff\xff\xff\xff\x00\x1b"[..]));
        assert_eq!(network.hear(&packet[..101]), [""; 0]);
        assert_eq!(network.hear(&[b"noise", &packet[..]].concat()), ["desk"]);
        assert_eq!(network.hear(&packet), [""; 0]);
        assert_eq!(network.hear(&magic(other)), ["wall"]);
    }

    proptest! {
        #[test]
        fn an_address_is_read_as_it_is_written(address: [u8; 6], dashes: bool) {
            let text = address.map(|byte| format!("{byte:02x}")).join(if dashes { "-" } else { ":" });
            prop_assert_eq!(hardware(&text), Ok(address));
        }

        #[test]
        fn what_is_no_address_is_refused(text in "[0-9a-f:+ -]{0,20}") {
            let bytes: Vec<_> = text.split([':', '-']).collect();
            let is_one = bytes.len() == 6 && bytes.iter().all(|byte| byte.len() == 2 && byte.bytes().all(|b| b.is_ascii_hexdigit()));
            prop_assert_eq!(hardware(&text).is_ok(), is_one);
        }
    }
}
