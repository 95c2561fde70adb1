//! The life of modules, seen from the daemon: starting, stopping, handlers, panics, settings, status.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::unnecessary_literal_unwrap,
    reason = "modules that panic are what is tested"
)]

mod calls;
mod life;
mod panics;
mod settings;
#[path = "../support/mod.rs"]
mod support;

use drivers_sdk::prelude::*;
use drivers_sdk_protocol::Kind;
use support::Daemon;

#[derive(Settings)]
struct LampSettings {
    /// Seconds between two polls.
    #[setting(default = 30)]
    poll_every: u64,
    /// Who is greeted.
    #[setting(default = "nobody")]
    greeted: String,
    password: Option<Secret>,
    /// What to do: `refuse`, `panic`.
    mood: Option<String>,
}

#[derive(Default, Status)]
struct LampStatus {
    power: Option<bool>,
    level: u8,
    polls: u32,
}

thread_local! {
    /// How often a lamp was polled, and how many lamps there are.
    static POLLS: Cell<u32> = const { Cell::new(0) };
    static LAMPS: Cell<i32> = const { Cell::new(0) };
}

struct Lamp {
    greeted: String,
    log: RefCell<Vec<String>>,
}

#[driver(
    name = "Lamp",
    module = "Lamp",
    tcp = 5000,
    framing = lines("\n"),
    settings = LampSettings,
    status = LampStatus
)]
impl Lamp {
    #[create]
    fn create(settings: &LampSettings) -> Result<Self> {
        match settings.mood.as_deref() {
            Some("refuse") => return Err(Error::new("moody", "not today")),
            Some("panic") => panic!("no settings like these"),
            _ => {}
        }
        LAMPS.set(LAMPS.get() + 1);
        Ok(Lamp { greeted: settings.greeted.clone(), log: RefCell::default() })
    }

    fn note(&self, what: impl Into<String>) {
        self.log.borrow_mut().push(what.into());
    }

    #[started]
    async fn started(&self, cx: &Cx<Self>) {
        self.note("started");
        sleep(millis(10)).await;
        cx.info(format!("hello {}", self.greeted));
    }

    #[stopped]
    async fn stopped(&self, cx: &Cx<Self>) -> Result {
        if cx.settings().mood.as_deref() == Some("stuck") {
            std::future::pending::<()>().await;
        }
        cx.send("bye").await
    }

    #[connected]
    async fn connected(&self, cx: &Cx<Self>) -> Result {
        self.note("connected");
        cx.every(secs(cx.settings().poll_every), Self::poll);
        cx.after(secs(1), async |lamp: &Lamp, _: &Cx<Lamp>| lamp.note("after"));
        sleep(secs(2)).await;
        self.note("connected to the end");
        Ok(())
    }

    #[disconnected]
    fn disconnected(&self, cx: &Cx<Self>) {
        self.note("disconnected");
        cx.status.set(|status| status.power = None);
    }

    #[settings_changed]
    fn settings_changed(&self, cx: &Cx<Self>) {
        self.note(format!("settings {}", cx.settings().poll_every));
    }

    #[received]
    async fn received(&self, line: String) -> Result {
        match &*line {
            "panic" => panic!("a line too many"),
            "pause" => sleep(secs(5)).await,
            "bad" => return Err(Error::device("a bad line")),
            _ => {}
        }
        self.note(line);
        Ok(())
    }

    async fn poll(&self, cx: &Cx<Self>) -> Result {
        POLLS.set(POLLS.get() + 1);
        cx.status.set(|status| status.polls += 1);
        // Longer than the period, now and then.
        if cx.status.get(|status| status.polls) == 2 {
            sleep(secs(65)).await;
        }
        Err(Error::device("the same every time"))
    }

    #[function]
    fn log(&self) -> Vec<String> {
        self.log.take()
    }

    #[function]
    fn power(&self, cx: &Cx<Self>, on: bool, level: Option<u8>) -> bool {
        cx.status.set(|status| {
            status.power = Some(on);
            status.level = level.unwrap_or(status.level);
        });
        on
    }

    #[function]
    fn break_down(&self, cx: &Cx<Self>) {
        let missing = cx.settings().mood.clone();
        cx.info("about to break");
        missing.expect("a bulb");
    }

    #[function]
    async fn forever(&self) {
        std::future::pending::<()>().await;
    }

    #[function]
    async fn save(&self, cx: &Cx<Self>, level: u8) -> Result {
        cx.save_setting("level", &level).await
    }

    #[function]
    fn secret(&self, cx: &Cx<Self>) -> String {
        format!("{:?} {}", cx.settings().password, cx.settings().password.as_ref().unwrap().reveal())
    }

    #[function]
    fn unplugged(&self, cx: &Cx<Self>, unplugged: bool) {
        if unplugged { cx.set_connected(false, "the lamp is unplugged") } else { cx.clear_connected() }
    }

    #[function]
    fn fail(&self) -> Result<u8> {
        Ok("x".parse::<u8>()?)
    }

    #[function]
    fn set_key(&self, cx: &Cx<Self>, key: &str) -> Result {
        cx.status.set_key(key, &230)
    }
}

impl Drop for Lamp {
    fn drop(&mut self) {
        LAMPS.set(LAMPS.get() - 1);
    }
}

async fn started(settings: serde_json::Value, link: Option<u64>) -> Daemon {
    let mut daemon = Daemon::of::<Lamp>().await;
    let answer = daemon.start(1, settings, link).await;
    assert_eq!(answer.kind(), Some(Kind::Done));
    daemon
}
