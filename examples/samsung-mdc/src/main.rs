//! Samsung's professional displays, which speak MDC (Multiple Display Control), by TCP port 1515 or a serial port, several of
//! them on one line. The "Secured Protocol" of newer ones must be off.

mod emulator;
mod mdc;

use drivers_sdk::interfaces::{AudioVolume, InputSelection, Layer, Muteable, Powerable};
use drivers_sdk::prelude::*;
use mdc::{FAULTS, INPUT, MODEL, MUTE, PANEL, POWER, STATUS, VOLUME};

#[derive(Settings)]
pub struct Options {
    /// Number of the display, as its menu has it; 254 for the only one.
    #[setting(default = mdc::ANY)]
    display: u8,
    /// Seconds between two polls.
    #[setting(default = 15)]
    poll_seconds: u64,
}

#[derive(Default, Status)]
struct State {
    /// Whether it is on.
    power: Option<bool>,
    /// Percent.
    volume: Option<u8>,
    /// Whether the sound is muted.
    mute: Option<bool>,
    /// The input that it shows: `hdmi1`, `display_port1`, `magic_info`, …
    input: Option<String>,
    /// Parts that are not well: `lamp`, `temperature`, `fan`, `no signal`.
    faults: Vec<String>,
    /// Degrees Celsius.
    temperature: Option<u8>,
    /// Its name in Samsung's catalogue.
    model: Option<String>,
}

#[derive(Default)]
struct Display;

/// A Samsung display that speaks MDC.
#[driver(
    name = "Samsung MDC display", module = "Display", tcp = 1515, framing = length_field().offset(3).adjust(1),
    timeout_ms = 3000, retries = 1, settings = Options, status = State,
    implements(Powerable, InputSelection, Muteable, AudioVolume),
)]
impl Display {
    #[connected]
    async fn meet(&self, cx: &Cx<Self>) -> Result {
        // Old ones do not know it.
        let model = self.ask(cx, MODEL, &[]).await.unless_refused()?;
        let text = |model: Vec<u8>| String::from_utf8_lossy(&model).trim_end_matches('\0').to_owned();
        cx.status.set(|status| status.model = model.map(text));
        Ok(())
    }

    #[poll(every = poll_seconds)]
    async fn poll(&self, cx: &Cx<Self>) -> Result {
        let now = self.ask(cx, STATUS, &[]).await?;
        // 255 is what it has not got.
        let value = |at: usize| now.get(at).copied().filter(|value| *value != 0xff);
        cx.status.set(|status| {
            status.power = value(0).map(|on| on == 1);
            status.volume = value(1);
            status.mute = value(2).map(|on| on == 1);
            status.input = value(3).map(mdc::input_name);
        });
        let health = self.ask(cx, FAULTS, &[]).await?;
        cx.status.set(|status| {
            status.faults = mdc::faults(&health);
            status.temperature = health.get(4).copied();
        });
        Ok(())
    }

    /// Starts it anew, as after a failure of the mains.
    #[function(security = "support")]
    async fn restart(&self, cx: &Cx<Self>) -> Result {
        self.ask(cx, POWER, &[2]).await.map(drop)
    }

    async fn ask(&self, cx: &Cx<Self>, command: u8, data: &[u8]) -> Result<Vec<u8>> {
        let display = cx.settings().display;
        // A newer value replaces one that still waits.
        let name = (!data.is_empty()).then(|| format!("{command:#04x}"));
        cx.send(mdc::message(command, display, data)).named(name).reply(mdc::reply(command, display)).await
    }
}

impl Powerable for Display {
    async fn power(&self, cx: &Cx<Self>, on: bool) -> Result<bool> {
        self.ask(cx, POWER, &[u8::from(on)]).await?;
        cx.status.set(|status| status.power = Some(on));
        Ok(on)
    }
}

impl InputSelection for Display {
    async fn input(&self, cx: &Cx<Self>, input: String) -> Result {
        let number = mdc::input_number(&input)?;
        self.ask(cx, INPUT, &[number]).await?;
        cx.status.set(|status| status.input = Some(mdc::input_name(number)));
        Ok(())
    }
}

impl Muteable for Display {
    async fn mute(&self, cx: &Cx<Self>, on: bool, layer: Option<Layer>, _: Option<u32>) -> Result<bool> {
        let layer = layer.unwrap_or(Layer::AudioVideo);
        if layer != Layer::Audio {
            self.ask(cx, PANEL, &[u8::from(on)]).await?;
        }
        if layer != Layer::Video {
            self.ask(cx, MUTE, &[u8::from(on)]).await?;
            cx.status.set(|status| status.mute = Some(on));
        }
        Ok(on)
    }
}

impl AudioVolume for Display {
    async fn volume(&self, cx: &Cx<Self>, level: f64, _: Option<u32>) -> Result<f64> {
        let level = level.clamp(0.0, 100.0).round() as u8;
        self.ask(cx, VOLUME, &[level]).await?;
        cx.status.set(|status| status.volume = Some(level));
        Ok(level.into())
    }
}

#[cfg(test)]
mod tests;

drivers_sdk::main!(Display, emulator = emulator::Emulator);
