//! A device that is spoken to in datagrams: each command is one, and so is each answer.
//!
//! It is asked `GET` and told `SET 40`, and answers `LEVEL 40` or `ERROR …`. Datagrams get lost, so a command is sent again
//! when no answer comes. This driver works, against the device in `emulator.rs`: make both yours, from your device's manual.

mod emulator;
#[cfg(test)]
mod tests;

use drivers_sdk::prelude::*;

#[derive(Settings)]
struct Options {
    /// Seconds between two polls.
    #[setting(default = 30)]
    poll_seconds: u64,
}

#[derive(Default, Status)]
struct State {
    /// In percent; absent until the device has said so.
    level: Option<u8>,
}

#[derive(Default)]
struct NewDriver;

/// A device with a level.
#[driver(
    name = "New driver", module = "NewDriver", udp = 5000, timeout_ms = 500, retries = 3,
    settings = Options, status = State,
)]
impl NewDriver {
    #[poll(every = poll_seconds)]
    async fn poll(&self, cx: &Cx<Self>) -> Result {
        self.ask(cx, "GET".into()).await.map(drop)
    }

    /// Sets the level, in percent; the level that the device then has.
    #[function]
    async fn level(&self, cx: &Cx<Self>, percent: u8) -> Result<u8> {
        self.ask(cx, format!("SET {percent}")).await
    }

    async fn ask(&self, cx: &Cx<Self>, command: String) -> Result<u8> {
        let reply = prefix("LEVEL ")
            .try_map(|rest| rest.parse())
            .unless(prefix("ERROR"));
        let level = cx.send(command).reply(reply).await?;
        cx.status.set(|status| status.level = Some(level));
        Ok(level)
    }
}

drivers_sdk::main!(NewDriver, emulator = emulator::Emulator);
