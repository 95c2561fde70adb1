//! Buildings: light, blinds, relays and sensors.

use std::collections::BTreeMap;
use std::time::Duration;

use super::OneOrEach;
use crate::{Cx, Result, Status, data, interface, sleep};

/// Status of [`LightingScenes`](trait@LightingScenes).
#[derive(Default, Status)]
struct SceneStatus {
    /// The scene that is lit.
    lighting_scene: Option<OneOrEach<u32>>,
}

/// Light in scenes: each area of the system has a few, by number.
#[interface(status = SceneStatus)]
pub trait LightingScenes {
    /// Lights a scene, fading to it in so many milliseconds.
    async fn scene(&self, cx: &Cx<Self>, scene: u32, area: Option<u32>, fade_ms: Option<u64>) -> Result;
}

/// Status of [`LightingLevels`](trait@LightingLevels).
#[derive(Default, Status)]
struct LevelStatus {
    /// How bright it is, in percent.
    lighting_level: Option<OneOrEach<f64>>,
}

/// Light that is dimmed.
#[interface(status = LevelStatus)]
pub trait LightingLevels {
    /// Dims to a level, in percent, fading to it in so many milliseconds.
    async fn light(&self, cx: &Cx<Self>, level: f64, area: Option<u32>, fade_ms: Option<u64>) -> Result;
}

/// Status of [`Blinds`](trait@Blinds).
#[derive(Default, Status)]
struct BlindStatus {
    /// How far it is closed, in percent.
    blind: Option<OneOrEach<f64>>,
}

/// Blinds, shades, curtains and screens.
#[interface(status = BlindStatus)]
pub trait Blinds {
    /// Moves it to a position: 0 is open, 100 is closed. One that knows no positions opens or closes.
    async fn move_blind(&self, cx: &Cx<Self>, closed: f64, blind: Option<u32>) -> Result;

    /// Stops it where it is.
    async fn stop_blind(&self, cx: &Cx<Self>, blind: Option<u32>) -> Result;

    /// Opens it.
    async fn open_blind(&self, cx: &Cx<Self>, blind: Option<u32>) -> Result {
        self.move_blind(cx, 0.0, blind).await
    }

    /// Closes it.
    async fn close_blind(&self, cx: &Cx<Self>, blind: Option<u32>) -> Result {
        self.move_blind(cx, 100.0, blind).await
    }
}

/// Status of [`Relays`](trait@Relays).
#[derive(Default, Status)]
struct RelayStatus {
    /// Whether each relay is closed, by its number.
    relays: BTreeMap<u32, bool>,
}

/// Relays and contacts, by number from 1.
#[interface(status = RelayStatus)]
pub trait Relays {
    /// Closes a relay, or opens it.
    async fn relay(&self, cx: &Cx<Self>, relay: u32, on: bool) -> Result;

    /// Closes a relay, and opens it after so many milliseconds; a second if that is left out.
    async fn pulse_relay(&self, cx: &Cx<Self>, relay: u32, ms: Option<u64>) -> Result {
        self.relay(cx, relay, true).await?;
        sleep(Duration::from_millis(ms.unwrap_or(1000))).await;
        self.relay(cx, relay, false).await
    }
}

/// What a sensor measures; in brackets the unit of its value.
#[data]
pub enum SensorKind {
    /// Temperature (°C).
    Temperature,
    /// Relative humidity (percent).
    Humidity,
    /// Carbon dioxide (parts per million).
    CarbonDioxide,
    /// Light (lux).
    Illuminance,
    /// Noise (decibel).
    Noise,
    /// Whether somebody is there (0 or 1).
    Presence,
    /// How many people are there.
    People,
    /// Whether a door, window or switch is closed (0 or 1).
    Contact,
    /// Electrical power (watt).
    Power,
    /// Electrical energy (kilowatt-hour).
    Energy,
    /// Charge of a battery (percent).
    Battery,
    /// Anything else, in the unit that it names.
    Other,
}

/// What a sensor says.
#[data]
pub struct Reading {
    /// What it measures.
    pub kind: SensorKind,
    /// Its value.
    pub value: f64,
    /// What people call it.
    pub name: Option<String>,
    /// The unit, where the kind does not tell.
    pub unit: Option<String>,
}

/// Status of [`Sensors`](trait@Sensors).
#[derive(Default, Status)]
struct SensorStatus {
    /// What each sensor said last, by its id.
    sensors: BTreeMap<String, Reading>,
}

/// What measures something.
#[interface(status = SensorStatus)]
pub trait Sensors {
    /// Asks a sensor now, by its id in the status `sensors`.
    async fn read_sensor(&self, cx: &Cx<Self>, sensor: String) -> Result<Reading>;
}
