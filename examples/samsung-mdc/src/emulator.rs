//! A display with three inputs that answers as the manual says, and refuses what it does not know. In standby it hears
//! nothing but questions and the command to turn on.

use drivers_sdk::prelude::*;

use crate::Options;
use crate::mdc::{ANY, FAULTS, INPUT, MODEL, MUTE, PANEL, POWER, STATUS, VOLUME, message, read};

const INPUTS: [u8; 3] = [0x21, 0x23, 0x25];
/// What is written after a command that is refused.
const REFUSED: u8 = 0x01;

/// The display as a device that connections share.
pub struct Emulator {
    number: u8,
    panel: RefCell<Panel>,
}

#[derive(Clone, Copy)]
struct Panel {
    on: bool,
    volume: u8,
    mute: bool,
    input: u8,
    dark: bool,
}

impl Device for Emulator {
    type Settings = Options;

    fn create(settings: Options) -> Result<Self> {
        let number = if settings.display == ANY { 1 } else { settings.display };
        let panel = Panel { on: false, volume: 20, mute: false, input: INPUTS[0], dark: false };
        Ok(Emulator { number, panel: RefCell::new(panel) })
    }

    async fn session(&self, mut stream: DeviceStream) -> Result {
        stream.framing(length_field().offset(3).adjust(1));
        while let Some(frame) = stream.next().await? {
            if let Some(answer) = self.answer(&frame) {
                stream.send(answer).await?;
            }
        }
        Ok(())
    }
}

impl Emulator {
    /// Nothing, if it is for another display or has been garbled.
    fn answer(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let (command, display, data) = read(frame)?;
        if display != self.number && display != ANY {
            return None;
        }
        let mut answer = match self.panel.borrow_mut().obey(command, data) {
            Some(values) => [&b"A"[..], &[command], &values].concat(),
            None => vec![b'N', command, REFUSED],
        };
        answer.truncate(255);
        Some(message(0xff, self.number, &answer))
    }
}

impl Panel {
    /// The values after the command; none if it is refused.
    fn obey(&mut self, command: u8, data: &[u8]) -> Option<Vec<u8>> {
        match (command, data) {
            (STATUS, []) => {
                return Some(vec![self.on.into(), self.volume, self.mute.into(), self.input, 0x10, 0, 0]);
            }
            (FAULTS, []) => return Some(vec![0, 0, 0, 0, 38, 0]),
            (MODEL, []) => return Some(b"Emulated QM55".to_vec()),
            (POWER, [on @ 0..=1]) => self.on = *on == 1,
            (POWER, [2]) if self.on => self.dark = false,
            (VOLUME, [level @ 0..=100]) if self.on => self.volume = *level,
            (MUTE, [on @ 0..=1]) if self.on => self.mute = *on == 1,
            (INPUT, [input]) if self.on && INPUTS.contains(input) => self.input = *input,
            (PANEL, [dark @ 0..=1]) if self.on => self.dark = *dark == 1,
            (POWER, []) => return Some(vec![self.on.into()]),
            (VOLUME, []) => return Some(vec![self.volume]),
            (MUTE, []) => return Some(vec![self.mute.into()]),
            (INPUT, []) => return Some(vec![self.input]),
            (PANEL, []) => return Some(vec![self.dark.into()]),
            _ => return None,
        }
        Some(data.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_what_it_is_told_and_refuses_the_rest() {
        let options = Options { display: 3, poll_seconds: 1 };
        let display = Emulator::create(options).unwrap();
        let ask = |command, data: &[u8]| {
            let answer = display.answer(&message(command, 3, data)).unwrap();
            read(&answer).unwrap().2.to_vec()
        };
        assert_eq!(ask(STATUS, &[]), [b'A', STATUS, 0, 20, 0, 0x21, 0x10, 0, 0]);
        assert_eq!(ask(VOLUME, &[30]), [b'N', VOLUME, REFUSED], "it is in standby");
        assert_eq!(ask(POWER, &[1]), [b'A', POWER, 1]);
        assert_eq!(ask(VOLUME, &[30]), [b'A', VOLUME, 30]);
        assert_eq!(ask(VOLUME, &[101]), [b'N', VOLUME, REFUSED]);
        assert_eq!(ask(INPUT, &[0x14]), [b'N', INPUT, REFUSED]);
        assert_eq!(ask(STATUS, &[]), [b'A', STATUS, 1, 30, 0, 0x21, 0x10, 0, 0]);
        assert_eq!(display.answer(&message(STATUS, 4, &[])), None);
        assert_eq!(display.answer(b"\xaa\x00\x03\x00\x04"), None, "garbled");
        assert!(display.answer(&message(STATUS, ANY, &[])).is_some());
    }
}
