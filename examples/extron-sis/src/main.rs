//! Extron matrix switchers (DXP, XTP, DTP CrossPoint and their kin), which speak SIS, by telnet or a serial port.
//!
//! A command is a few characters without a line end, `3*4!` ties input 3 to output 4; those that begin with Escape end with a
//! carriage return. In verbose mode 3 the switcher names what an answer is about, `Out4 In3 All`, and says the same by
//! itself when somebody else has changed it.

mod emulator;
mod sis;

use std::collections::BTreeMap;

use drivers_sdk::Command;
use drivers_sdk::interfaces::{AudioVolume, Layer, Muteable, OneOrEach, Switchable};
use drivers_sdk::prelude::*;
use sis::{Fact, Sis, What, answer, prompt, size, value};

#[derive(Settings)]
pub struct Options {
    /// Password of the switcher, the administrator's or a user's; leave it out if it asks for none.
    password: Option<Secret>,
    /// Seconds between two looks at everything. Switchers end a connection that is silent for five minutes.
    #[setting(default = 120)]
    poll_seconds: u64,
}

#[derive(Default, Status)]
struct State {
    /// As Extron orders it: `60-1168-01`.
    part_number: Option<String>,
    /// Version of its firmware.
    firmware: Option<String>,
    /// How many inputs it has.
    inputs: u32,
    /// How many outputs it has.
    outputs: u32,
    /// The input that each output shows, 0 for none.
    routes: BTreeMap<u32, u32>,
    /// The input that each output plays, 0 for none.
    audio_routes: BTreeMap<u32, u32>,
    /// Whether each output's picture is muted.
    video_mute: BTreeMap<u32, bool>,
    /// Whether each output's sound is muted.
    audio_mute: BTreeMap<u32, bool>,
    /// Whether all that an output has is muted.
    mute: Option<OneOrEach<bool>>,
    /// Percent, of each output.
    volume: Option<OneOrEach<f64>>,
}

#[derive(Default)]
struct Switcher {
    /// Ties have changed, and a look at them is on its way.
    stale: Cell<bool>,
}

/// An Extron matrix switcher.
#[driver(
    name = "Extron SIS switcher", module = "Switcher", tcp = 23, framing = codec::<Sis>(), settings = Options,
    status = State, implements(Switchable, Muteable, AudioVolume),
)]
impl Switcher {
    #[login]
    async fn sign_in(&self, cx: &Cx<Self>) -> Result {
        if let Some(password) = &cx.settings().password {
            // It asks at once on a network, and never on a serial port.
            if cx.expect(exact("Password:")).timeout(secs(3)).await.is_ok() {
                let welcome = prefix("Login ").unless(prompt("the switcher refused the password"));
                cx.send(format!("{}\r", password.reveal())).reply(welcome).await?;
            }
        }
        let asked = prompt("the switcher asks for a password: set `password`");
        cx.send("\x1b3CV\r").reply(exact("Vrb3").unless(asked)).await
    }

    #[connected]
    async fn meet(&self, cx: &Cx<Self>) -> Result {
        cx.every(secs(cx.settings().poll_seconds), Self::look);
        let (inputs, outputs) = cx.send("I").reply(answer(size)).await?;
        let text = |tag| answer(move |line| Some(value(line).trim_start_matches(tag).to_owned()));
        let part_number = Some(cx.send("N").reply(text("Pno")).await?);
        let firmware = Some(cx.send("Q").reply(text("Ver")).await?);
        cx.status.set(|status| {
            *status = State { part_number, firmware, inputs, outputs, ..State::default() };
        });
        self.look(cx).await
    }

    /// Asks for all there is. Not every switcher has sound.
    async fn look(&self, cx: &Cx<Self>) -> Result {
        self.stale.set(false);
        let (video, audio) = (Layer::Video, Layer::Audio);
        let (ties, mutes) = ([What::Tie(video), What::Tie(audio)], [What::Mute(video), What::Mute(audio)]);
        let questions = "%$BZV".chars().zip(ties.into_iter().chain(mutes).chain([What::Volume]));
        for output in 1..=cx.status.get(|status| status.outputs) {
            for (letter, what) in questions.clone() {
                match self.ask(cx, cx.send(format!("{output}{letter}")), what, Some(output)).await {
                    Err(error) if error.code() == "device" => {}
                    result => result?,
                }
            }
        }
        Ok(())
    }

    /// What somebody else has changed. One look is enough for many presets.
    #[received]
    fn told(&self, cx: &Cx<Self>, line: &str) {
        match Fact::read(line) {
            Some(Fact { what: What::Ties, .. }) if self.stale.replace(true) => {}
            Some(Fact { what: What::Ties, .. }) => drop(cx.after(millis(100), Self::look)),
            Some(fact) => self.learn(cx, fact),
            None => {}
        }
    }

    /// Recalls a preset: the ties that it keeps.
    #[function]
    async fn recall_preset(&self, cx: &Cx<Self>, preset: u32) -> Result {
        self.ask(cx, cx.send(format!("{preset}.")), What::Ties, None).await?;
        self.look(cx).await
    }

    /// Keeps the ties of now as a preset.
    #[function(security = "support")]
    async fn save_preset(&self, cx: &Cx<Self>, preset: u32) -> Result {
        cx.send(format!("{preset},")).reply(answer(|line| line.strip_prefix("Spr").map(drop))).await
    }

    /// Tells or asks the switcher something, and learns from its answer, which may be the value alone.
    async fn ask(&self, cx: &Cx<Self>, command: Command<'_>, what: What, output: Option<u32>) -> Result {
        let about = move |line: &str| match line.parse() {
            Ok(value) => Some(Fact { what, output, value }),
            Err(_) => Fact::read(line).filter(|fact| fact.what == what && fact.output == output),
        };
        let fact = command.reply(answer(about)).await?;
        self.learn(cx, fact);
        Ok(())
    }

    fn learn(&self, cx: &Cx<Self>, Fact { what, output, value }: Fact) {
        cx.status.set(|status| {
            for output in output.map_or(1..=status.outputs, |output| output..=output) {
                match what {
                    What::Tie(layer) => {
                        if layer != Layer::Audio {
                            status.routes.insert(output, value);
                        }
                        if layer != Layer::Video {
                            status.audio_routes.insert(output, value);
                        }
                    }
                    What::Mute(Layer::Audio) => drop(status.audio_mute.insert(output, value > 0)),
                    What::Mute(_) => drop(status.video_mute.insert(output, value > 0)),
                    What::Volume => each(&mut status.volume, output, percent(value)),
                    What::Ties => {}
                }
                let mutes = [status.video_mute.get(&output), status.audio_mute.get(&output)];
                each(&mut status.mute, output, mutes.iter().all(|mute| *mute != Some(&false)));
            }
        });
    }
}

impl Switchable for Switcher {
    async fn switch(&self, cx: &Cx<Self>, input: u32, outputs: Vec<u32>, layer: Option<Layer>) -> Result {
        let layer = layer.unwrap_or(Layer::AudioVideo);
        let what = What::Tie(layer);
        let sign = match layer {
            Layer::AudioVideo => '!',
            Layer::Video => '%',
            Layer::Audio => '$',
        };
        match outputs[..] {
            [] => self.ask(cx, cx.send(format!("{input}*{sign}")), what, None).await,
            [output] => self.ask(cx, cx.send(format!("{input}*{output}{sign}")), what, Some(output)).await,
            // All at the same moment.
            _ => {
                let ties: String = outputs.iter().map(|output| format!("{input}*{output}{sign}")).collect();
                self.ask(cx, cx.send(format!("\x1b+Q{ties}\r")), What::Ties, None).await?;
                outputs
                    .iter()
                    .for_each(|output| self.learn(cx, Fact { what, output: Some(*output), value: input }));
                Ok(())
            }
        }
    }
}

impl Muteable for Switcher {
    async fn mute(&self, cx: &Cx<Self>, on: bool, layer: Option<Layer>, output: Option<u32>) -> Result<bool> {
        let value = u8::from(on);
        for (letter, kind) in [('B', Layer::Video), ('Z', Layer::Audio)] {
            if layer.is_none_or(|layer| layer == kind || layer == Layer::AudioVideo) {
                let command = match output {
                    Some(output) => format!("{output}*{value}{letter}"),
                    None => format!("{value}*{letter}"),
                };
                self.ask(cx, cx.send(command), What::Mute(kind), output).await?;
            }
        }
        Ok(on)
    }
}

impl AudioVolume for Switcher {
    async fn volume(&self, cx: &Cx<Self>, level: f64, output: Option<u32>) -> Result<f64> {
        let steps = (level.clamp(0.0, 100.0) * 0.64).round() as u32;
        for output in output.map_or(1..=cx.status.get(|status| status.outputs), |output| output..=output) {
            let command = cx.send(format!("{output}*{steps}V")).named(format!("volume {output}"));
            self.ask(cx, command, What::Volume, Some(output)).await?;
        }
        Ok(percent(steps))
    }
}

/// Of the 64 steps of a volume.
fn percent(steps: u32) -> f64 {
    f64::from(steps) / 0.64
}

fn each<T>(status: &mut Option<OneOrEach<T>>, output: u32, value: T) {
    match status {
        Some(OneOrEach::Each(values)) => drop(values.insert(output, value)),
        _ => *status = Some(OneOrEach::Each([(output, value)].into())),
    }
}

#[cfg(test)]
mod tests;

drivers_sdk::main!(Switcher, emulator = emulator::Emulator);
