//! The standard suite: drivers as they should be pass it, by one line each. Bad ones are in `suite_refuses.rs`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use drivers_sdk::prelude::*;
use drivers_sdk::testing::*;

#[derive(Settings)]
struct LampSettings {
    /// The password of the lamp.
    password: Secret,
}

#[derive(Default, Status)]
struct LampStatus {
    /// Whether the lamp burns.
    power: Option<bool>,
}

#[derive(Default)]
struct Lamp;

/// A lamp as it should be.
#[driver(
    name = "Lamp", module = "Lamp", tcp = 5000, framing = lines("\r\n"), settings = LampSettings,
    status = LampStatus,
)]
impl Lamp {
    #[login]
    async fn sign_in(&self, cx: &Cx<Self>) -> Result {
        let password = cx.settings().password.clone();
        cx.send(format!("PASS {}", password.reveal())).reply(exact("WELCOME").unless(exact("NO"))).await
    }

    #[connected]
    async fn connected(&self, cx: &Cx<Self>) -> Result {
        let power = cx.send("LAMP ?").reply(prefix("LAMP ")).await?;
        cx.status.set(|status| status.power = Some(power == "ON"));
        Ok(())
    }

    /// Turns the lamp on or off.
    #[function]
    async fn power(&self, cx: &Cx<Self>, on: bool) -> Result<bool> {
        let word = if on { "ON" } else { "OFF" };
        cx.send(format!("LAMP {word}")).reply(exact(format!("LAMP {word}"))).await?;
        cx.status.set(|status| status.power = Some(on));
        Ok(on)
    }
}

/// The lamp's own side.
struct Emulator {
    password: Secret,
    on: Cell<bool>,
}

impl Device for Emulator {
    type Settings = LampSettings;

    fn create(settings: LampSettings) -> Result<Self> {
        Ok(Emulator { password: settings.password, on: Cell::new(false) })
    }

    async fn session(&self, mut stream: DeviceStream) -> Result {
        stream.framing(lines("\r\n"));
        while let Some(line) = stream.next().await? {
            if let Some(password) = line.text().strip_prefix("PASS ") {
                let known = password == self.password.reveal();
                stream.send(if known { "WELCOME" } else { "NO" }).await?;
                continue;
            }
            match &*line.text() {
                "LAMP ON" => self.on.set(true),
                "LAMP OFF" => self.on.set(false),
                _ => {}
            }
            stream.send(if self.on.get() { "LAMP ON" } else { "LAMP OFF" }).await?;
        }
        Ok(())
    }
}

drivers_sdk::testing::standard_suite!(Lamp, emulator = Emulator);

mod a_logic_driver {
    use super::*;

    #[derive(Default)]
    struct Room;

    /// A room as it should be.
    #[driver(name = "Room", module = "Room", logic)]
    impl Room {
        #[started]
        fn started(&self, cx: &Cx<Self>) {
            cx.system().module("Display", 1).subscribe("power", Self::changed);
        }

        async fn changed(&self, cx: &Cx<Self>, power: Option<bool>) {
            cx.info(format!("{power:?}"));
        }

        /// Turns everything on or off.
        #[function]
        async fn power(&self, cx: &Cx<Self>, on: bool) -> usize {
            cx.system().all("Display").call("power", (on,)).await.len()
        }
    }

    drivers_sdk::testing::standard_suite!(
        Room,
        system = MockSystem::new().module("Display", Fake::new().status("power", true)),
    );
}
