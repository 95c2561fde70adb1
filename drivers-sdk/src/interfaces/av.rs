//! Audio and video: power, mute, volume, inputs, and switchers.

use std::collections::BTreeMap;

use super::OneOrEach;
use crate::{Cx, Result, Status, data, interface};

/// Status of [`Powerable`](trait@Powerable).
#[derive(Default, Status)]
struct PowerStatus {
    /// Whether it is on, or on its way there.
    power: Option<bool>,
}

/// What is turned on and off: displays, projectors, amplifiers, lamps, whole rooms.
#[interface(status = PowerStatus)]
pub trait Powerable {
    /// Turns it on or off. The result is what it is on its way to.
    async fn power(&self, cx: &Cx<Self>, on: bool) -> Result<bool>;
}

/// What a signal has: some devices mute and switch them apart.
#[data]
pub enum Layer {
    /// Sound.
    Audio,
    /// Picture.
    Video,
    /// Both.
    AudioVideo,
}

/// Status of [`Muteable`](trait@Muteable).
#[derive(Default, Status)]
struct MuteStatus {
    /// Whether it is muted.
    mute: Option<OneOrEach<bool>>,
}

/// What is muted: a display's picture and sound, a microphone, the outputs of a mixer.
#[interface(status = MuteStatus)]
pub trait Muteable {
    /// Mutes it, or ends that: sound, picture, or both if no layer is given. A device that has but one of them mutes that
    /// one, and refuses the other.
    async fn mute(&self, cx: &Cx<Self>, on: bool, layer: Option<Layer>, output: Option<u32>) -> Result<bool>;

    /// Mutes the sound, or ends that.
    async fn mute_audio(&self, cx: &Cx<Self>, on: bool, output: Option<u32>) -> Result<bool> {
        self.mute(cx, on, Some(Layer::Audio), output).await
    }

    /// Mutes the picture, or ends that.
    async fn mute_video(&self, cx: &Cx<Self>, on: bool, output: Option<u32>) -> Result<bool> {
        self.mute(cx, on, Some(Layer::Video), output).await
    }
}

/// Status of [`AudioVolume`](trait@AudioVolume).
#[derive(Default, Status)]
struct VolumeStatus {
    /// How loud it is, in percent of what the device can do.
    volume: Option<OneOrEach<f64>>,
}

/// What has a volume: displays, players, amplifiers, the faders of a mixer.
#[interface(status = VolumeStatus)]
pub trait AudioVolume {
    /// Sets the volume, in percent. The result is what it is now, which is as near as the device has it.
    async fn volume(&self, cx: &Cx<Self>, level: f64, output: Option<u32>) -> Result<f64>;
}

/// Status of [`InputSelection`](trait@InputSelection).
#[derive(Default, Status)]
struct InputStatus {
    /// The input that is shown or heard.
    input: Option<String>,
}

/// What shows or plays one of several inputs: displays, receivers, presentation switchers. What has several outputs is a
/// [`Switchable`](trait@Switchable).
#[interface(status = InputStatus)]
pub trait InputSelection {
    /// Selects an input, by the name that the driver gives it.
    async fn input(&self, cx: &Cx<Self>, input: String) -> Result;
}

/// Status of [`Switchable`](trait@Switchable).
#[derive(Default, Status)]
struct RouteStatus {
    /// The input of each output, 0 for none.
    routes: BTreeMap<u32, u32>,
}

/// Switchers, whose outputs each show one of the inputs. Inputs and outputs have numbers, from 1.
#[interface(status = RouteStatus)]
pub trait Switchable {
    /// Connects an input to outputs; no output means all of them, and input 0 disconnects them. Picture and sound if no
    /// layer is given.
    async fn switch(&self, cx: &Cx<Self>, input: u32, outputs: Vec<u32>, layer: Option<Layer>) -> Result;

    /// Disconnects outputs; none given means all of them.
    async fn disconnect_outputs(&self, cx: &Cx<Self>, outputs: Vec<u32>, layer: Option<Layer>) -> Result {
        self.switch(cx, 0, outputs, layer).await
    }
}
