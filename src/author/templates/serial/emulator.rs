//! The device itself, written from its manual and not from the driver. Its state outlives connections, and they share it.

use drivers_sdk::prelude::*;

use crate::packet::{INPUT, LENGTH, QUERY, REFUSED, packet, read};

pub struct Emulator {
    input: Cell<u8>,
}

impl Device for Emulator {
    type Settings = ();

    fn create(_: ()) -> Result<Self> {
        Ok(Emulator {
            input: Cell::new(1),
        })
    }

    async fn session(&self, mut stream: DeviceStream) -> Result {
        stream.framing(fixed(LENGTH));
        while let Some(frame) = stream.next().await? {
            // What is no frame has no answer.
            if let Some((command, value)) = read(&frame) {
                stream.send(self.answer(command, value)).await?;
            }
        }
        Ok(())
    }
}

impl Emulator {
    fn answer(&self, command: u8, value: u8) -> [u8; LENGTH] {
        match (command, value) {
            (QUERY, _) => {}
            (INPUT, 1..=4) => self.input.set(value),
            (INPUT, _) => return packet(REFUSED, 2),
            _ => return packet(REFUSED, 1),
        }
        packet(command, self.input.get())
    }
}
