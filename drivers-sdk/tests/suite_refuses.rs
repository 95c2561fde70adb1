//! The standard suite refuses bad drivers: for each rule there is one that breaks it, and the suite says what is wrong and what helps.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "support/refused.rs"]
mod refused;

use std::rc::Rc;

use drivers_sdk::prelude::*;
use drivers_sdk::testing::suite::Suite;
use drivers_sdk::testing::*;
use refused::broken;

/// What is wrong with a lamp's driver.
#[data]
enum Flaw {
    /// Once a connection was lost before the lamp had said anything, it does nothing.
    SulksAfterADrop,
    /// It keeps what it half received, and is confused by it on the next connection.
    KeepsHalfAMessage,
    /// A lamp that did not answer is never asked again.
    GivesUpAfterATimeout,
    /// What it does not understand makes it useless.
    SulksAfterGarbage,
    /// It takes what arrives at once for a message.
    ReadsPieces,
    /// It has room for so much that nobody asked for.
    FillsUp,
    /// It counts lost connections.
    CountsDrops,
    /// It asks until the lamp is back, which may be never.
    AsksForEver,
    /// It believes that a lamp says only what is in its manual.
    Panics,
    /// It shows the password.
    LogsThePassword,
    TellsThePassword,
    PublishesThePassword,
    /// Its end takes too long.
    Dawdles,
}

#[derive(Settings)]
struct Options {
    /// The password of the lamp.
    password: Secret,
    /// What is wrong with the driver.
    flaw: Option<Flaw>,
}

#[derive(Default, Status)]
struct State {
    /// Whether the lamp burns.
    power: Option<bool>,
    /// What it is up to.
    note: Option<String>,
}

#[derive(Default)]
struct Lamp {
    sulks: Cell<bool>,
    met: Cell<bool>,
    drops: Cell<usize>,
    unasked: Cell<usize>,
    /// Something came on this connection.
    heard: Rc<Cell<bool>>,
    half: Rc<RefCell<Vec<u8>>>,
}

/// A lamp's driver with a flaw.
#[driver(name = "Lamp", module = "Lamp", tcp = 5000, settings = Options, status = State, timeout_ms = 1000)]
impl Lamp {
    fn has(&self, cx: &Cx<Self>, flaw: Flaw) -> bool {
        cx.settings().flaw == Some(flaw)
    }

    #[login]
    async fn sign_in(&self, cx: &Cx<Self>) -> Result {
        let password = cx.settings().password.clone();
        self.heard.set(false);
        if !self.reads_pieces(cx) {
            cx.framing(lines("\r\n"));
        }
        if self.has(cx, Flaw::LogsThePassword) {
            cx.info(format!("signing in with {}", password.reveal()));
        }
        if self.has(cx, Flaw::PublishesThePassword) {
            cx.status.set(|status| status.note = Some(format!("I say {}", password.reveal())));
        }
        let answer = self.ask(cx, format!("PASS {}", password.reveal()), "WELCOME").await;
        let late = answer.as_ref().is_err_and(Error::is_timeout);
        if late && self.has(cx, Flaw::GivesUpAfterATimeout) {
            self.sulks.set(true);
        }
        answer
    }

    #[connected]
    async fn connected(&self, cx: &Cx<Self>) -> Result {
        self.met.set(true);
        self.power(cx, false).await.map(drop)
    }

    #[disconnected]
    fn disconnected(&self, cx: &Cx<Self>) {
        self.drops.set(self.drops.get() + 1);
        let early = self.has(cx, Flaw::SulksAfterADrop) && !self.heard.get();
        let often = self.has(cx, Flaw::CountsDrops) && self.drops.get() > 100;
        if early || often {
            self.sulks.set(true);
        }
    }

    /// Turns the lamp on or off.
    #[function]
    async fn power(&self, cx: &Cx<Self>, on: bool) -> Result<bool> {
        let word = if on { "LAMP ON" } else { "LAMP OFF" };
        while let Err(error) = self.ask(cx, word.into(), word).await {
            if !(self.has(cx, Flaw::AsksForEver) && self.met.get() && error.is_offline()) {
                return Err(error);
            }
            sleep(secs(1)).await;
        }
        cx.status.set(|status| status.power = Some(on));
        Ok(on)
    }

    async fn ask(&self, cx: &Cx<Self>, command: String, answer: &'static str) -> Result {
        if self.sulks.get() {
            return Err(Error::device("the driver has had enough"));
        }
        let (heard, lines) = (self.heard.clone(), !self.reads_pieces(cx));
        let answer = if lines { answer.to_owned() } else { format!("{answer}\r\n") };
        let keeps = self.has(cx, Flaw::KeepsHalfAMessage).then(|| self.half.clone());
        let reply = matching(move |piece| {
            heard.set(true);
            let Some(half) = &keeps else { return piece == answer.as_bytes() };
            half.borrow_mut().extend(piece);
            let whole = *half.borrow() == answer.as_bytes();
            if whole {
                half.take();
            }
            whole
        });
        let command = if lines { command } else { format!("{command}\r\n") };
        let result = cx.send(command).reply(reply).await.map(drop);
        if self.has(cx, Flaw::TellsThePassword) {
            let password = cx.settings().password.clone();
            return result.map_err(|error| Error::device(format!("{error}, {}", password.reveal())));
        }
        result
    }

    fn reads_pieces(&self, cx: &Cx<Self>) -> bool {
        self.has(cx, Flaw::ReadsPieces) || self.has(cx, Flaw::KeepsHalfAMessage)
    }

    #[received]
    fn received(&self, cx: &Cx<Self>, line: &[u8]) {
        let known = [&b"WELCOME"[..], b"NO", b"LAMP ON", b"LAMP OFF"].contains(&line);
        if self.has(cx, Flaw::Panics) {
            assert!(known || !line.starts_with(b"LAMP ") && line.is_ascii(), "the manual does not say that");
        }
        self.unasked.set(self.unasked.get() + 1);
        let full = self.has(cx, Flaw::FillsUp) && self.unasked.get() > 10_000;
        if full || !known && self.has(cx, Flaw::SulksAfterGarbage) {
            self.sulks.set(true);
        }
    }

    #[stopped]
    async fn stopped(&self, cx: &Cx<Self>) {
        if self.has(cx, Flaw::Dawdles) {
            sleep(secs(2)).await;
        }
    }
}

/// The lamp's own side.
struct Emulator {
    password: Secret,
}

impl Device for Emulator {
    type Settings = Options;

    fn create(options: Options) -> Result<Self> {
        Ok(Emulator { password: options.password })
    }

    async fn session(&self, mut stream: DeviceStream) -> Result {
        stream.framing(lines("\r\n"));
        while let Some(line) = stream.next().await? {
            let line = line.text().into_owned();
            let answer = match line.strip_prefix("PASS ") {
                Some(password) if password == self.password.reveal() => "WELCOME",
                Some(_) => "NO",
                None => &line,
            };
            stream.send(answer).await?;
        }
        Ok(())
    }
}

fn lamp(flaw: Option<Flaw>) -> Suite<Lamp> {
    Suite::<Lamp>::default().emulator::<Emulator>().settings(json!({ "flaw": flaw }))
}

/// What is broken by a driver with this flaw, and what the suite says of the first of it.
#[track_caller]
fn refuses<D: drivers_sdk::Driver>(suite: &Suite<D>, rules: &[&str], words: &str) {
    let broken = broken(suite);
    let names: Vec<&str> = broken.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, rules, "{broken:#?}");
    let first = broken.first().and_then(|(_, why)| why.lines().next()).unwrap();
    assert!(first.contains(words), "{words:?} is not in: {first}");
    let advice = Suite::<D>::RULES.iter().find(|rule| rule.name == rules[0]).unwrap().advice;
    assert!(first.ends_with(advice), "{first}");
}

#[test]
fn a_good_driver_passes() {
    assert_eq!(broken(&lamp(None)), []);
}

#[test]
fn a_driver_that_does_nothing_after_a_drop() {
    refuses(
        &lamp(Some(Flaw::SulksAfterADrop)),
        &[
            "recovers_from_a_drop_at_any_moment",
            "recovers_from_a_drop_in_mid_frame",
            "recovers_from_a_silent_device",
        ],
        "after a connection that broke when the device had said 0 bytes: `power` does not work again: the driver has had enough",
    );
}

#[test]
fn a_driver_that_keeps_half_a_message() {
    refuses(
        &lamp(Some(Flaw::KeepsHalfAMessage)),
        &[
            "recovers_from_a_drop_at_any_moment",
            "recovers_from_a_drop_in_mid_frame",
            "recovers_from_garbage",
            "recovers_from_a_flood",
        ],
        "after a connection that broke when the device had said ",
    );
}

#[test]
fn a_driver_that_gives_up_after_a_time_out() {
    refuses(
        &lamp(Some(Flaw::GivesUpAfterATimeout)),
        &["recovers_from_a_silent_device"],
        "after a device that said nothing for a while: `power` does not work again",
    );
}

#[test]
fn a_driver_that_sulks_after_garbage() {
    refuses(&lamp(Some(Flaw::SulksAfterGarbage)), &["recovers_from_garbage"], "after the garbage ");
}

#[test]
fn a_driver_that_takes_pieces_for_messages() {
    refuses(
        &lamp(Some(Flaw::ReadsPieces)),
        &["understands_one_byte_at_a_time"],
        "`power`, with its answer byte by byte",
    );
}

#[test]
fn a_driver_that_fills_up() {
    refuses(
        &lamp(Some(Flaw::FillsUp)),
        &["recovers_from_a_flood"],
        "after a flood of what the device says: `power` does not work again",
    );
}

#[test]
fn a_driver_that_counts_drops() {
    refuses(
        &lamp(Some(Flaw::CountsDrops)),
        &["recovers_from_a_flapping_link"],
        "after a link that flapped: `power` does not work again",
    );
}

#[test]
fn a_driver_that_asks_for_ever() {
    refuses(
        &lamp(Some(Flaw::AsksForEver)),
        &["never_loses_a_caller"],
        "when the connection breaks: the call {\"function\":\"power\"",
    );
}

#[test]
fn a_driver_that_panics() {
    refuses(&lamp(Some(Flaw::Panics)), &["parses_anything_without_a_panic"], "when the device says ");
}

#[test]
fn a_driver_that_logs_a_secret() {
    refuses(
        &lamp(Some(Flaw::LogsThePassword)),
        &["keeps_secrets_out_of_logs_and_status"],
        "a secret of the settings is in the log: signing in with",
    );
}

#[test]
fn a_driver_that_tells_a_secret() {
    refuses(
        &lamp(Some(Flaw::TellsThePassword)),
        &["keeps_secrets_out_of_logs_and_status"],
        "a secret of the settings is in what `power` answers",
    );
}

#[test]
fn a_driver_that_publishes_a_secret() {
    refuses(
        &lamp(Some(Flaw::PublishesThePassword)),
        &["keeps_secrets_out_of_logs_and_status"],
        "a secret of the settings is in the status `note`",
    );
}

#[test]
fn a_driver_that_dawdles() {
    refuses(&lamp(Some(Flaw::Dawdles)), &["stops_promptly"], "before it was connected the module took 2");
}

/// Rooms, whose drivers look at a display.
#[derive(Default)]
struct Room;

/// A room that believes in its display.
#[driver(name = "Room", module = "Room", logic)]
impl Room {
    #[started]
    fn started(&self, cx: &Cx<Self>) {
        cx.system().module("Display", 1).subscribe(
            "power",
            async |_: &Room, cx: &Cx<Room>, power: Option<bool>| {
                cx.info(power.unwrap());
            },
        );
    }
}

#[test]
fn a_room_that_believes_in_its_display() {
    let system = || MockSystem::new().module("Display", Fake::new().status("power", true));
    let suite = Suite::<Room>::default().system(system);
    refuses(&suite, &["survives_changes_of_its_system"], "the driver panicked at ");
}

#[derive(Settings)]
struct BareOptions {
    #[setting(default = 1)]
    speed: u8,
}

#[derive(Default, Status)]
struct BareStatus {
    level: Option<u8>,
}

#[derive(Default)]
struct Bare;

#[driver(name = "Bare", module = "Bare", logic, settings = BareOptions, status = BareStatus)]
impl Bare {
    #[function]
    fn ask(&self, cx: &Cx<Self>) -> u8 {
        cx.settings().speed
    }
}

#[test]
fn a_driver_without_documentation() {
    let words =
        "no doc comment on the driver itself, the function `ask`, the setting `speed`, the status `level`. ";
    refuses(&Suite::<Bare>::default(), &["has_docs_on_every_function_setting_and_status"], words);
}

/// A rule that nothing breaks is none: whoever adds one adds a driver that breaks it.
#[test]
fn each_rule_has_a_bad_driver() {
    let source = concat!(include_str!("suite_refuses.rs"), include_str!("suite_contracts.rs"));
    for rule in Suite::<Lamp>::RULES {
        assert!(source.contains(&format!("\"{}\"", rule.name)), "{}", rule.name);
    }
}
