//! The device's command line, written from its manual and not from the driver. Its state outlives connections, and they
//! share it.

use drivers_sdk::prelude::*;

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
        stream.framing(lines("\n"));
        while let Some(line) = stream.next().await? {
            stream.send(self.answer(&line.text())).await?;
        }
        Ok(())
    }
}

impl Emulator {
    fn answer(&self, line: &str) -> String {
        let wanted = line.strip_prefix("set input ").map(str::parse::<u8>);
        match (line, wanted) {
            ("show input", _) => {}
            (_, Some(Ok(input @ 1..=4))) => self.input.set(input),
            (_, Some(_)) => return "% there is no such input".into(),
            _ => return "% unknown command".into(),
        }
        format!("input {}", self.input.get())
    }
}
