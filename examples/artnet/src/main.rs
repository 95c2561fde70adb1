//! Lights behind an Art-Net node: dimmers, DMX fixtures, pixels; over UDP port 6454.
//!
//! A universe is 512 channels, which are sent all together, again and again: nodes answer nothing, and some go dark when
//! nothing comes. Nodes that are asked who they are answer to port 6454, which the module hears if that is its
//! `connection.udp.local_port`.

mod emulator;
mod packet;
#[cfg(test)]
mod tests;
mod universe;

use std::collections::{BTreeMap, BTreeSet};

use drivers_sdk::interfaces::{LightingLevels, LightingScenes, OneOrEach};
use drivers_sdk::prelude::*;
use universe::{SIZE, Universe};

/// Between two packets while something fades: 40 in a second, for DMX takes 44.
const STEP: u64 = 25;

#[derive(Settings)]
pub struct Options {
    /// The node's universe, from 0: net × 256 + sub-net × 16 + universe.
    #[setting(default = 0)]
    universe: u16,
    /// What hangs on its channels, by name.
    #[setting(default)]
    fixtures: BTreeMap<String, Fixture>,
    /// Levels of fixtures, in percent, by the number of the scene.
    #[setting(default)]
    scenes: BTreeMap<u32, BTreeMap<String, f64>>,
    /// How long a change takes unless its caller says so.
    #[setting(default = 1000)]
    fade_ms: u64,
    /// Milliseconds after which the levels are sent again though nothing has changed.
    #[setting(default = 900)]
    refresh_ms: u64,
}

/// A lamp, or several that always burn alike.
#[data]
struct Fixture {
    /// Its channels, from 1 to 512.
    channels: Vec<u16>,
    /// The area that it lights.
    #[serde(default = "first")]
    area: u32,
}

fn first() -> u32 {
    1
}

#[derive(Default, Status)]
struct State {
    /// Where each fixture is, or goes to, in percent.
    levels: BTreeMap<String, f64>,
    /// Everything is dark, whatever the levels are.
    blackout: bool,
    /// The scene of each area.
    lighting_scene: Option<OneOrEach<u32>>,
    /// How bright each area is, in percent: the mean of its fixtures.
    lighting_level: Option<OneOrEach<f64>>,
    /// What the node calls itself.
    node: Option<String>,
}

#[derive(Default)]
struct Lights {
    universe: RefCell<Universe>,
    number: Cell<u8>,
    fading: RefCell<Option<Schedule>>,
    scenes: RefCell<BTreeMap<u32, u32>>,
}

/// Lights behind an Art-Net node.
#[driver(
    name = "Art-Net lighting", module = "Lighting", udp = 6454, settings = Options, status = State,
    implements(LightingLevels, LightingScenes),
)]
impl Lights {
    /// What the lights do when the module starts is theirs, until somebody says otherwise.
    #[poll(every = millis(settings.refresh_ms.clamp(STEP, 4000)))]
    async fn refresh(&self, cx: &Cx<Self>) -> Result {
        if self.number.get() == 0 { Ok(()) } else { self.send(cx).await }
    }

    #[poll(every = secs(5))]
    async fn ask(&self, cx: &Cx<Self>) -> Result {
        cx.send(packet::poll()).await
    }

    #[received]
    fn answered(&self, cx: &Cx<Self>, bytes: &[u8]) {
        if let Some(node) = packet::node(bytes) {
            cx.status.set(|status| status.node = Some(node));
        }
    }

    /// Fades a fixture to a level, in percent.
    #[function]
    async fn level(&self, cx: &Cx<Self>, fixture: String, level: f64, fade_ms: Option<u64>) -> Result {
        if !cx.settings().fixtures.contains_key(&fixture) {
            return Err(Error::bad_request(format!("setting `fixtures` has no {fixture:?}")));
        }
        self.fade(cx, [(fixture, level)].into(), fade_ms).await
    }

    /// Puts a channel, from 1 to 512, to a level from 0 to 255 at once, whether a fixture has it or not.
    #[function(security = "support")]
    async fn channel(&self, cx: &Cx<Self>, channel: u16, level: u8) -> Result {
        if channel == 0 || usize::from(channel) > SIZE {
            return Err(Error::bad_request(format!("{channel} is no channel: they are 1 to 512")));
        }
        self.universe.borrow_mut().fade(channel, f32::from(level), 0);
        self.send(cx).await
    }

    /// Makes everything dark, or as it was before. Levels that are set meanwhile show afterwards.
    #[function]
    async fn blackout(&self, cx: &Cx<Self>, on: bool) -> Result<bool> {
        cx.status.set(|status| status.blackout = on);
        self.send(cx).await?;
        Ok(on)
    }

    async fn fade(&self, cx: &Cx<Self>, levels: BTreeMap<String, f64>, fade_ms: Option<u64>) -> Result {
        let settings = cx.settings();
        let steps = u32::try_from(fade_ms.unwrap_or(settings.fade_ms) / STEP).unwrap_or(u32::MAX);
        let mut faded = BTreeMap::new();
        for (name, level) in levels {
            let Some(fixture) = settings.fixtures.get(&name) else { continue };
            let level = level.clamp(0.0, 100.0);
            for channel in &fixture.channels {
                self.universe.borrow_mut().fade(*channel, (level * 2.55) as f32, steps);
            }
            faded.insert(name, level);
        }
        cx.status.set(|status| {
            status.levels.extend(faded);
            let mean = |area| {
                let levels: Vec<_> =
                    settings.of(Some(area)).filter_map(|name| status.levels.get(name)).collect();
                levels.iter().copied().sum::<f64>() / levels.len().max(1) as f64
            };
            status.lighting_level = settings.each(mean);
            status.lighting_scene =
                settings.each(|area| self.scenes.borrow().get(&area).copied().unwrap_or(0));
        });
        let earlier = self.fading.replace((steps > 0).then(|| cx.every(millis(STEP), Self::step)));
        earlier.inspect(Schedule::cancel);
        self.send(cx).await
    }

    async fn step(&self, cx: &Cx<Self>) -> Result {
        let goes_on = self.universe.borrow_mut().step();
        let sent = self.send(cx).await;
        if !goes_on {
            self.fading.take().inspect(Schedule::cancel);
        }
        sent
    }

    async fn send(&self, cx: &Cx<Self>) -> Result {
        let dark = cx.status.get(|status| status.blackout);
        let levels = if dark { vec![0; SIZE] } else { self.universe.borrow().levels() };
        // 0 would say that they are not numbered.
        self.number.set(self.number.get() % 255 + 1);
        cx.send(packet::dmx(self.number.get(), cx.settings().universe, &levels)).named("levels").await
    }
}

impl LightingLevels for Lights {
    async fn light(&self, cx: &Cx<Self>, level: f64, area: Option<u32>, fade_ms: Option<u64>) -> Result {
        let settings = cx.settings();
        self.fade(cx, settings.of(area).map(|name| (name.clone(), level)).collect(), fade_ms).await
    }
}

impl LightingScenes for Lights {
    async fn scene(&self, cx: &Cx<Self>, scene: u32, area: Option<u32>, fade_ms: Option<u64>) -> Result {
        let settings = cx.settings();
        let Some(levels) = settings.scenes.get(&scene) else {
            return Err(Error::bad_request(format!("setting `scenes` has no {scene}")));
        };
        let names: BTreeSet<_> = settings.of(area).collect();
        let levels = levels.clone().into_iter().filter(|(name, _)| names.contains(name)).collect();
        self.scenes.borrow_mut().extend(
            settings.areas().filter(|of| area.is_none_or(|area| area == *of)).map(|area| (area, scene)),
        );
        self.fade(cx, levels, fade_ms).await
    }
}

impl Options {
    /// The fixtures of an area, or all.
    fn of(&self, area: Option<u32>) -> impl Iterator<Item = &String> {
        let fixtures =
            self.fixtures.iter().filter(move |(_, fixture)| area.is_none_or(|area| area == fixture.area));
        fixtures.map(|(name, _)| name)
    }

    fn areas(&self) -> impl Iterator<Item = u32> {
        self.fixtures.values().map(|fixture| fixture.area).collect::<BTreeSet<_>>().into_iter()
    }

    /// What holds for the only area, or for each.
    fn each<T>(&self, of: impl Fn(u32) -> T) -> Option<OneOrEach<T>> {
        let mut each: BTreeMap<_, _> = self.areas().map(|area| (area, of(area))).collect();
        if each.len() == 1 {
            each.pop_first().map(|(_, one)| OneOrEach::One(one))
        } else {
            Some(OneOrEach::Each(each))
        }
    }
}

drivers_sdk::main!(Lights, emulator = emulator::Emulator);
