//! A service that is spoken to in JSON over HTTP.
//!
//! `GET /relay` answers `{"on": false}`, and `PUT /relay` takes the same. This driver works, against the service in
//! `emulator.rs`: make both yours, from your service's manual. Address, credentials and certificates are the module's affair.

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
    /// Whether the relay is closed; absent until the service has said so.
    on: Option<bool>,
}

/// The relay, as the service shows it.
#[data]
struct Relay {
    on: bool,
}

#[derive(Default)]
struct NewDriver;

/// A relay behind a web service.
#[driver(
    name = "New driver", module = "NewDriver", uri = "http://relay.local/api",
    settings = Options, status = State,
)]
impl NewDriver {
    #[poll(every = poll_seconds)]
    async fn poll(&self, cx: &Cx<Self>) -> Result {
        let relay: Relay = cx.http().get("/relay").send().await?.json()?;
        cx.status.set(|status| status.on = Some(relay.on));
        Ok(())
    }

    /// Closes or opens the relay.
    #[function]
    async fn switch(&self, cx: &Cx<Self>, on: bool) -> Result<bool> {
        let relay: Relay = cx
            .http()
            .put("/relay")
            .json(&Relay { on })
            .send()
            .await?
            .json()?;
        cx.status.set(|status| status.on = Some(relay.on));
        Ok(relay.on)
    }
}

drivers_sdk::main!(NewDriver, emulator = emulator::Emulator);
