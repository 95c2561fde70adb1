//! The device itself, written from its manual and not from the driver. Its state outlives connections, and they share it.

use drivers_sdk::prelude::*;

#[derive(Default)]
pub struct Emulator {
    level: Cell<u8>,
}

impl Device for Emulator {
    type Settings = ();

    fn create(_: ()) -> Result<Self> {
        Ok(Emulator::default())
    }

    async fn session(&self, mut stream: DeviceStream) -> Result {
        while let Some(datagram) = stream.next().await? {
            stream.send(self.answer(&datagram.text())).await?;
        }
        Ok(())
    }
}

impl Emulator {
    fn answer(&self, command: &str) -> String {
        let wanted = command.strip_prefix("SET ").map(str::parse::<u8>);
        match (command, wanted) {
            ("GET", _) => {}
            (_, Some(Ok(level @ 0..=100))) => self.level.set(level),
            _ => return "ERROR 1".into(),
        }
        format!("LEVEL {}", self.level.get())
    }
}
