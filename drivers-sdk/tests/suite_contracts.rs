//! The standard suite refuses a driver whose interfaces do not do what they promise, although it answers as if all were well.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "support/refused.rs"]
mod refused;

use std::collections::BTreeMap;

use drivers_sdk::interfaces::{AudioVolume, Blinds, InputSelection, Powerable, Relays, Switchable};
use drivers_sdk::interfaces::{Layer, OneOrEach};

use drivers_sdk::prelude::*;
use drivers_sdk::testing::suite::Suite;
use refused::broken;

/// The text that an echo sends back is all that these drivers need of a device.
#[derive(Default)]
struct Echo;

impl Device for Echo {
    type Settings = ();

    fn create(_: ()) -> Result<Self> {
        Ok(Echo)
    }

    async fn session(&self, mut stream: DeviceStream) -> Result {
        stream.framing(lines("\n"));
        while let Some(line) = stream.next().await? {
            stream.send(line.text().into_owned()).await?;
        }
        Ok(())
    }
}

#[derive(Settings)]
struct Options {
    /// The interface whose contract it breaks.
    #[setting(default = "none")]
    breaks: String,
}

#[derive(Default, Status)]
struct State {
    /// Whether it is on.
    power: Option<bool>,
    /// How loud it is.
    volume: Option<OneOrEach<f64>>,
    /// What it shows.
    input: Option<String>,
    /// What it could show.
    inputs: Vec<String>,
    /// What is closed.
    relays: BTreeMap<u32, bool>,
    /// What goes where.
    routes: BTreeMap<u32, u32>,
    /// How far it is closed.
    blind: Option<OneOrEach<f64>>,
}

#[derive(Default)]
struct Panel;

/// A panel that does it all.
#[driver(
    name = "Panel", module = "Panel", tcp = 5000, framing = lines("\n"), settings = Options, status = State,
    implements(Powerable, AudioVolume, InputSelection, Relays, Switchable, Blinds),
)]
impl Panel {
    #[connected]
    fn connected(&self, cx: &Cx<Self>) {
        cx.status.set(|status| status.inputs = vec!["hdmi1".into(), "hdmi2".into()]);
    }

    fn breaks(&self, cx: &Cx<Self>, what: &str) -> bool {
        cx.settings().breaks == what
    }
}

impl Powerable for Panel {
    async fn power(&self, cx: &Cx<Self>, on: bool) -> Result<bool> {
        if self.breaks(cx, "power is refused") {
            return Err(Error::device("not today"));
        }
        cx.send(if on { "ON" } else { "OFF" }).reply(anything()).await?;
        if !self.breaks(cx, "power has no status") {
            cx.status.set(|status| status.power = Some(on));
        }
        Ok(on || self.breaks(cx, "power only goes on"))
    }
}

impl AudioVolume for Panel {
    async fn volume(&self, cx: &Cx<Self>, level: f64, _: Option<u32>) -> Result<f64> {
        let shown = if self.breaks(cx, "volume has other steps") { level * 0.3 } else { level };
        cx.status.set(|status| status.volume = Some(OneOrEach::One(shown)));
        Ok(level)
    }
}

impl InputSelection for Panel {
    async fn input(&self, cx: &Cx<Self>, input: String) -> Result {
        let shown = if self.breaks(cx, "input has other names") { input.to_uppercase() } else { input };
        cx.status.set(|status| status.input = Some(shown));
        Ok(())
    }
}

impl Relays for Panel {
    async fn relay(&self, cx: &Cx<Self>, relay: u32, on: bool) -> Result {
        let first = u32::from(self.breaks(cx, "relays are counted from 0"));
        cx.status.set(|status| status.relays.insert(relay - first, on));
        Ok(())
    }
}

impl Switchable for Panel {
    async fn switch(&self, cx: &Cx<Self>, input: u32, outputs: Vec<u32>, _: Option<Layer>) -> Result {
        let reversed = self.breaks(cx, "routes are reversed");
        let routes =
            outputs.into_iter().map(|output| if reversed { (input, output) } else { (output, input) });
        cx.status.set(|status| status.routes.extend(routes));
        Ok(())
    }
}

impl Blinds for Panel {
    async fn move_blind(&self, cx: &Cx<Self>, closed: f64, _: Option<u32>) -> Result {
        let shown = if self.breaks(cx, "blinds are open") { 100.0 - closed } else { closed };
        cx.status.set(|status| status.blind = Some(BTreeMap::from([(1, shown), (2, shown)]).into()));
        Ok(())
    }

    async fn stop_blind(&self, _: &Cx<Self>, _: Option<u32>) -> Result {
        Ok(())
    }
}

fn panel(breaks: &str) -> Suite<Panel> {
    Suite::<Panel>::default().emulator::<Echo>().settings(json!({ "breaks": breaks }))
}

#[test]
fn interfaces_that_do_not_do_what_they_promise() {
    assert_eq!(broken(&panel("none")), []);
    for (breaks, words) in [
        (
            "power has no status",
            "`power` of `Powerable`, called with [true], succeeded, and the status `power` is null instead of true",
        ),
        ("power only goes on", "`power` of `Powerable`, called with [false], returned true instead of false"),
        ("power is refused", "`power` of `Powerable`, called with [true], fails: not today"),
        (
            "volume has other steps",
            "`volume` of `AudioVolume`, called with [30], succeeded, and the status `volume` is 9.0 instead of 30",
        ),
        ("input has other names", "the status `input` is \"HDMI1\" instead of \"hdmi1\""),
        ("relays are counted from 0", "the status `relays/1` is null instead of true"),
        (
            "routes are reversed",
            "`switch` of `Switchable`, called with [2,[1]], succeeded, and the status `routes/1` is 1 instead of 2",
        ),
        (
            "blinds are open",
            "called with [100], succeeded, and the status `blind` is {\"1\":0.0,\"2\":0.0} instead of 100",
        ),
    ] {
        let refused = panel(breaks).look("keeps_the_contracts_of_its_interfaces").unwrap_err();
        assert!(refused.lines().next().unwrap().contains(words), "{words:?} is not in: {refused}");
    }
}
