//! The device itself, written from its manual and not from the driver. Its state outlives connections, and they share it.

use drivers_sdk::prelude::*;

#[derive(Default)]
pub struct Emulator {
    on: Cell<bool>,
}

impl Device for Emulator {
    type Settings = ();

    fn create(_: ()) -> Result<Self> {
        Ok(Emulator::default())
    }

    async fn session(&self, mut stream: DeviceStream) -> Result {
        stream.framing(lines("\r\n"));
        while let Some(line) = stream.next().await? {
            stream.send(self.answer(&line.text())).await?;
        }
        Ok(())
    }
}

impl Emulator {
    fn answer(&self, line: &str) -> &'static str {
        match line {
            "POWER ON" => self.on.set(true),
            "POWER OFF" => self.on.set(false),
            "POWER ?" => {}
            _ => return "ERROR 1",
        }
        if self.on.get() {
            "POWER ON"
        } else {
            "POWER OFF"
        }
    }
}
