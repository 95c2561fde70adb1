//! The standard suite: what every driver package has to pass, by one line in its tests:
//!
//! ```text
//! drivers_sdk::testing::standard_suite!(Lamp, emulator = Emulator);
//! ```
//!
//! The emulator lets the suite see a healthy device before and after each fault; without one, and for logic drivers, the rules that
//! need it do not apply. Options, in this order: `emulator = TYPE`, `settings = json!({…})` where the settings that must be
//! configured cannot be guessed from their schema, `system = MockSystem` for a logic driver.
//!
//! Each rule is a test of its own in a module `standard_suite`, with the rule's name. It prints one line, which
//! `headend driver check` reads (`cargo test standard_suite -- --nocapture`):
//!
//! ```text
//! check: RULE: ok
//! check: RULE: failed: WHY
//! check: RULE: not applicable: WHY
//! ```
//!
//! RULE is words, without a colon. WHY is one line, and ends with what helps.
//!
//! What the suite plays of the recovery contract (`docs/connections.md`), which reaches a driver as a link that is down, bytes, or
//! silence:
//!
//! | fault | played as |
//! | --- | --- |
//! | refused, unroutable, name unknown, handshake answered with something else | a link that does not come up, and one that goes down and stays so: callers |
//! | accepted, then closed; reset or closed, in the middle of a frame or not; host gone; half-open; name leads elsewhere; address changed | the connection ends after any byte that the device said (of a service: any answer), and before the first, and is made again |
//! | device says nothing | silence from the beginning, and later |
//! | device takes nothing | what is sent is refused after 20 s |
//! | one byte a second | byte by byte |
//! | a flood of 100 MB | 256 KiB of what the device says, or 3000 messages, while calls wait and while none does |
//! | 200 flaps in a row | 200 flaps |
//!
//! What it cannot see: a status that is there and not true any more; what the link itself does in each fault, which is the daemon's and
//! tested there; times that are not the test's own. A secret is looked for as it is, in hexadecimal and in percent-encoding, not in
//! what is calculated of it.

mod contracts;
mod faults;
mod garbage;
mod probe;
mod rules;

use std::marker::PhantomData;
use std::rc::Rc;

use serde_json::Value;

use super::daemon::Around;
use super::device::Far;
use super::harness::Run;
use super::system::MockSystem;
use crate::driver::Driver;
use crate::emulator::Device;
use crate::error::Result;
use crate::manifest::manifest;
use crate::settings::Settings;
use drivers_sdk_protocol::Manifest;
use drivers_sdk_protocol::manifest::Kind;

/// What a rule finds: `Ok(None)` if all is well, `Ok(Some(why))` if it does not apply.
pub type Verdict = Result<Option<String>, String>;

/// What every driver keeps.
pub struct Rule<D: Driver> {
    /// Words, joined by `_`.
    pub name: &'static str,
    /// What helps a driver that breaks it.
    pub advice: &'static str,
    look: fn(&Suite<D>) -> Verdict,
}

/// Makes a device of a module's settings.
type Create = fn(&Value) -> Result<Rc<dyn Far>>;

/// The suite of one driver. Made by [`standard_suite!`](crate::standard_suite).
pub struct Suite<D: Driver> {
    device: Option<Create>,
    system: Option<fn() -> MockSystem>,
    settings: Value,
    manifest: Manifest,
    driver: PhantomData<fn() -> D>,
}

impl<D: Driver> std::fmt::Debug for Suite<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Suite of {}", self.manifest.name)
    }
}

impl<D: Driver> Default for Suite<D> {
    fn default() -> Self {
        let manifest = manifest::<D>(false);
        let settings = probe::settings(&manifest.settings);
        Suite { device: None, system: None, settings, manifest, driver: PhantomData }
    }
}

impl<D: Driver> Suite<D> {
    /// With the package's model of its device.
    pub fn emulator<E: Device>(mut self) -> Self {
        self.device = Some(|settings| {
            let device = E::create(E::Settings::parse(&settings.to_string())?)?;
            Ok(Rc::new(device))
        });
        self
    }

    /// With these settings, over those that are guessed.
    pub fn settings(mut self, settings: Value) -> Self {
        if let (Value::Object(all), Value::Object(given)) = (&mut self.settings, settings) {
            all.extend(given);
        }
        self
    }

    /// With a system around a logic driver.
    pub fn system(mut self, system: fn() -> MockSystem) -> Self {
        self.system = Some(system);
        self
    }

    /// Looks at a rule, by its name. Why it is broken, and what helps, is the first line.
    pub fn look(&self, name: &str) -> Verdict {
        let rule = Suite::<D>::RULES.iter().find(|rule| rule.name == name);
        let rule = rule.ok_or_else(|| format!("there is no rule `{name}`"))?;
        (rule.look)(self).map_err(|why| {
            let (first, rest) = why.split_at(why.find('\n').unwrap_or(why.len()));
            format!("{first}. {}{rest}", rule.advice)
        })
    }

    /// Looks at a rule, prints what came of it, and fails the test if it is broken.
    #[track_caller]
    #[allow(clippy::panic, reason = "a test fails by panicking")]
    pub fn check(&self, name: &str) {
        let words = name.replace('_', " ");
        match self.look(name) {
            Ok(None) => println!("check: {words}: ok"),
            Ok(Some(why)) => println!("check: {words}: not applicable: {why}"),
            Err(why) => {
                println!("check: {words}: failed: {}", why.lines().next().unwrap_or_default());
                panic!("{why}");
            }
        }
    }

    /// Starts a module, with a device or system around it, whose link is down.
    async fn start(&self) -> Result<Run, String> {
        self.start_against(&self.settings).await
    }

    /// The same with a device that has other settings.
    async fn start_against(&self, device: &Value) -> Result<Run, String> {
        let settings = &self.settings;
        let device = self.device.map(|create| create(device)).transpose();
        let device = device.map_err(|error| format!("the device model does not start: {error}"))?;
        let logic = self.manifest.kind == Kind::Logic;
        let system = logic.then(|| self.system.map_or_else(MockSystem::new, |system| system()));
        let run = Run::start::<D>(settings.clone(), Around { device, system }).await?;
        run.map_err(|error| format!("the module does not start with the settings {settings}: {error}"))
    }

    /// Why a rule does not apply that needs a device which answers.
    fn no_device(&self) -> Option<String> {
        match self.manifest.kind {
            Kind::Logic => Some("a logic driver has no device".into()),
            _ if self.device.is_none() => Some("the package has no emulator".into()),
            _ => None,
        }
    }
}

/// Runs a part of the suite in a time of its own.
fn block_on<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.map_err(|error| error.to_string())?.block_on(work)
}

/// Tests that a driver keeps what every driver has to keep: see [`testing::suite`](crate::testing::suite).
#[macro_export]
macro_rules! standard_suite {
    ($driver:ty $(, emulator = $emulator:ty)? $(, settings = $settings:expr)? $(, system = $system:expr)? $(,)?) => {
        mod standard_suite {
            #[allow(unused_imports)]
            use super::*;

            fn suite() -> $crate::testing::suite::Suite<$driver> {
                let suite = $crate::testing::suite::Suite::<$driver>::default();
                $(let suite = suite.emulator::<$emulator>();)?
                $(let suite = suite.settings($settings);)?
                $(let suite = suite.system(|| $system);)?
                suite
            }

            $crate::__standard_suite_rules!($crate::__standard_suite_test);
        }
    };
}

/// The rules: their names, what looks at them, and what helps a driver that breaks one.
#[doc(hidden)]
#[macro_export]
macro_rules! __standard_suite_rules {
    ($($each:tt)*) => {
        $($each)*! {
            has_docs_on_every_function_setting_and_status: documented,
                "Write one (`///`): people read it where they use the driver.";
            keeps_the_contracts_of_its_interfaces: interfaces,
                "Publish what the device was told (`cx.status.set`), as the interface's documentation says; the emulator does it too.";
            recovers_from_a_drop_at_any_moment: drops,
                "Nothing of a connection may outlive it: begin anew in `#[login]` or `#[connected]`, and forget flags and waiters there.";
            recovers_from_a_drop_in_mid_frame: drops_in_mid_frame,
                "What was half received may not outlive its connection: use a framing, or empty your own buffer in `#[connected]`.";
            recovers_from_a_silent_device: silence,
                "After a time-out the device may answer again: let the next call or poll ask it, and the login be tried anew.";
            recovers_from_garbage: garbage,
                "Pass over what makes no sense, or drop the connection (`cx.disconnect`), and begin anew in `#[connected]`.";
            understands_one_byte_at_a_time: bytewise,
                "A stream is cut anywhere: give the driver a `framing`, and do not take what arrives at once for a message.";
            recovers_from_a_flood: flood,
                "What the device says by itself may not pile up: keep the latest of it, and queue nothing for each.";
            recovers_from_a_flapping_link: flaps,
                "Do not count or remember lost connections: the daemon does, and slows down; begin anew in `#[connected]`.";
            never_loses_a_caller: callers,
                "End whatever a function waits for: `.timeout(…)` for commands, and no loop until the device is back.";
            survives_changes_of_its_system: system_changes,
                "Another module may be absent, new, or say anything: take an `Option` of its status, and pass on its errors (`?`).";
            parses_anything_without_a_panic: anything,
                "Read with `get`, `strip_prefix`, `parse` and `?` instead of indexing, slicing, `unwrap` and `assert`.";
            keeps_secrets_out_of_logs_and_status: secrets,
                "Use what `reveal()` gives only in what is sent to the device.";
            stops_promptly: stops,
                "Keep `#[stopped]` short: send what must be sent, and wait for little.";
        }
    };
}

/// The table of the rules.
macro_rules! table {
    ($($name:ident: $look:ident, $advice:literal;)*) => {
        impl<D: Driver> Suite<D> {
            /// Every rule.
            pub const RULES: &[Rule<D>] = &[
                $(Rule { name: stringify!($name), advice: $advice, look: |suite| suite.$look() },)*
            ];
        }
    };
}

__standard_suite_rules!(table);

/// A test for each rule.
#[doc(hidden)]
#[macro_export]
macro_rules! __standard_suite_test {
    ($($name:ident: $look:ident, $advice:literal;)*) => {
        $(#[test]
        fn $name() {
            suite().check(stringify!($name));
        })*
    };
}
