//! The device itself, written from its manual and not from the driver. Its state outlives connections, and they share it.

use drivers_sdk::prelude::*;

#[derive(Default)]
pub struct Emulator {
    volume: Cell<u64>,
}

impl Device for Emulator {
    type Settings = ();

    fn create(_: ()) -> Result<Self> {
        Ok(Emulator::default())
    }

    async fn session(&self, mut stream: DeviceStream) -> Result {
        while let Some(message) = stream.next().await? {
            stream
                .send_text(self.answer(&message.text().parse()?).to_string())
                .await?;
        }
        Ok(())
    }
}

impl Emulator {
    fn answer(&self, request: &Value) -> Value {
        let id = &request["id"];
        match (
            request["get"] == "volume",
            request["set"]["volume"].as_u64(),
        ) {
            (true, _) => {}
            (_, Some(volume @ 0..=100)) => self.volume.set(volume),
            _ => return json!({ "id": id, "error": "only the volume, from 0 to 100" }),
        }
        json!({ "id": id, "volume": self.volume.get() })
    }
}
