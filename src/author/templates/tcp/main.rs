//! A device that is spoken to in lines of text over TCP, each ended by CR LF.
//!
//! It is asked `POWER ?` and told `POWER ON`, answers `POWER ON` or `ERROR …`, and says `LEVEL 40` by itself when somebody
//! turns its knob. This driver works, against the device in `emulator.rs`: make both yours, from your device's manual.

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
    /// Whether it is on; absent until the device has said so.
    power: Option<bool>,
    /// How bright it is, in percent.
    level: Option<u8>,
}

#[derive(Default)]
struct NewDriver;

/// A device that is turned on and off.
#[driver(
    name = "New driver", module = "NewDriver", tcp = 5000, framing = lines("\r\n"),
    settings = Options, status = State,
)]
impl NewDriver {
    #[poll(every = poll_seconds)]
    async fn poll(&self, cx: &Cx<Self>) -> Result {
        let power = cx.send("POWER ?").reply(prefix("POWER ")).await?;
        cx.status.set(|status| status.power = Some(power == "ON"));
        Ok(())
    }

    /// Turns it on or off.
    #[function]
    async fn power(&self, cx: &Cx<Self>, on: bool) -> Result<bool> {
        let command = format!("POWER {}", if on { "ON" } else { "OFF" });
        cx.send(&*command)
            .named("power")
            .reply(exact(&*command).unless(prefix("ERROR")))
            .await?;
        cx.status.set(|status| status.power = Some(on));
        Ok(on)
    }

    #[received]
    fn knob(&self, cx: &Cx<Self>, line: &str) -> Result {
        if let Some(level) = line.strip_prefix("LEVEL ") {
            let level = level.parse()?;
            cx.status.set(|status| status.level = Some(level));
        }
        Ok(())
    }
}

drivers_sdk::main!(NewDriver, emulator = emulator::Emulator);
