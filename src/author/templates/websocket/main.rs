//! A device that is spoken to in JSON messages over a WebSocket.
//!
//! A request is `{"id": 1, "set": {"volume": 40}}`, its answer `{"id": 1, "volume": 40}` or `{"id": 1, "error": "…"}`, and
//! what has no id the device says by itself. This driver works, against the device in `emulator.rs`: make both yours.

mod emulator;
#[cfg(test)]
mod tests;

use drivers_sdk::prelude::*;

#[derive(Default, Status)]
struct State {
    /// In percent; absent until the device has said so.
    volume: Option<u64>,
}

#[derive(Default)]
struct NewDriver {
    asked: Cell<u64>,
}

/// A device with a volume.
#[driver(name = "New driver", module = "NewDriver", uri = "ws://device.local/api", status = State)]
impl NewDriver {
    #[connected]
    async fn meet(&self, cx: &Cx<Self>) -> Result {
        self.ask(cx, json!({ "get": "volume" })).await.map(drop)
    }

    /// Sets the volume, in percent.
    #[function]
    async fn volume(&self, cx: &Cx<Self>, percent: u8) -> Result<u64> {
        self.ask(cx, json!({ "set": { "volume": percent } })).await
    }

    async fn ask(&self, cx: &Cx<Self>, mut request: Value) -> Result<u64> {
        let id = self.asked.get() + 1;
        self.asked.set(id);
        request["id"] = json!(id);
        let volume = cx
            .send_text(request.to_string())
            .reply(parse_bytes(move |text| answer(text, id)))
            .await?;
        cx.status.set(|status| status.volume = Some(volume));
        Ok(volume)
    }

    #[received]
    fn said(&self, cx: &Cx<Self>, message: &str) -> Result {
        let message: Value = message.parse()?;
        if let Some(volume) = message["volume"].as_u64() {
            cx.status.set(|status| status.volume = Some(volume));
        }
        Ok(())
    }
}

/// The volume in the answer to request `id`; `None` if this is something else.
fn answer(text: &[u8], id: u64) -> Option<Result<u64>> {
    let message: Value = std::str::from_utf8(text).ok()?.parse().ok()?;
    if message["id"] != id {
        return None;
    }
    let refused = || Error::device(format!("the device refused: {}", message["error"]));
    Some(message["volume"].as_u64().ok_or_else(refused))
}

drivers_sdk::main!(NewDriver, emulator = emulator::Emulator);
