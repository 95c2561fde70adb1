//! The standard suite: a driver as it should be passes it, and each kind of bad driver fails the rule that is for it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use drivers_sdk::prelude::*;
use drivers_sdk::testing::suite::{Suite, Verdict};
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

/// A driver with everything that a driver may do wrong.
#[derive(Default)]
struct Wreck {
    /// It has lost a connection once, and does nothing since.
    sulks: Cell<bool>,
}

#[driver(
    name = "Wreck", module = "Wreck", tcp = 5000, framing = lines("\r\n"), settings = LampSettings,
    timeout_ms = 1000,
)]
impl Wreck {
    #[connected]
    async fn connected(&self, cx: &Cx<Self>) -> Result {
        let password = cx.settings().password.clone();
        cx.info(format!("signing in with {}", password.reveal()));
        cx.send(format!("PASS {}", password.reveal())).reply(exact("WELCOME")).await
    }

    #[disconnected]
    fn disconnected(&self) {
        self.sulks.set(true);
    }

    #[function]
    async fn ask(&self, cx: &Cx<Self>) -> Result {
        if self.sulks.get() {
            std::future::pending::<()>().await;
        }
        cx.send("LAMP ?").reply(prefix("LAMP ")).await.map(drop)
    }

    #[stopped]
    async fn stopped(&self) {
        sleep(secs(2)).await;
    }

    #[received]
    fn received(&self, line: &[u8]) {
        assert!(line.is_ascii(), "what is that");
    }
}

#[test]
fn bad_drivers_fail() {
    type Rule = fn(&Suite<Wreck>) -> Verdict;
    let rules: [(Rule, &str); 7] = [
        (Suite::documented, "no doc comment on the driver itself, the function `ask`"),
        (Suite::drops, "was not answered within 600s"),
        (Suite::flaps, "was not answered within 600s"),
        (Suite::callers, "was not answered within 600s"),
        (Suite::anything, "the driver panicked at "),
        (Suite::secrets, "a secret of the settings is in the log: signing in with Sup3r+Secret/Suite"),
        (Suite::stops, "the module took 2"),
    ];
    let suite = Suite::<Wreck>::default().emulator::<Emulator>();
    for (rule, words) in rules {
        let why = rule(&suite).unwrap_err();
        assert!(why.contains(words), "{words:?} is not in {why}");
    }
    assert_eq!(suite.interfaces(), Ok(Some("it implements none".into())));
}
