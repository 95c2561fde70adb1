//! Extron matrix switchers (DXP, XTP, DTP CrossPoint and their kin), which speak SIS, by telnet or a serial port.
//!
//! A command is a few characters without a line end, `3*4!` ties input 3 to output 4; those that begin with Escape end with a
//! carriage return. In verbose mode 3 the switcher names what an answer is about, `Out4 In3 All`, and says the same by
//! itself when somebody else has changed it.

mod emulator;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use drivers_sdk::Command;
use drivers_sdk::interfaces::{AudioVolume, Layer, Muteable, Switchable};
use drivers_sdk::prelude::*;

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
    mute: BTreeMap<u32, bool>,
    /// Percent, of each output that has sound.
    volume: BTreeMap<u32, f64>,
}

#[derive(Default)]
struct Switcher;

/// An Extron matrix switcher.
#[driver(
    name = "Extron SIS switcher", module = "Switcher", tcp = 23, settings = Options, status = State,
    framing = lines("\r\n").send("").prompts(&["Password:"]), refusal = why,
    implements(Switchable, Muteable, AudioVolume),
)]
impl Switcher {
    #[login]
    async fn sign_in(&self, cx: &Cx<Self>) -> Result {
        let prompt = || exact("Password:");
        if let Some(password) = &cx.settings().password {
            // It asks at once on a network, and never on a serial port.
            if cx.expect(prompt()).timeout(secs(3)).await.is_ok() {
                let welcome = prefix("Login ").unless(prompt().refuses("the switcher refused the password"));
                cx.send(format!("{}\r", password.reveal())).reply(welcome).await?;
            }
        }
        let asked = prompt().refuses("the switcher asks for a password: set `password`");
        cx.send("\x1b3CV\r").reply(exact("Vrb3").unless(asked)).await
    }

    #[connected]
    async fn meet(&self, cx: &Cx<Self>) -> Result {
        let (inputs, outputs) = cx.send("I").reply(parse(size)).await?;
        let text = |tag| parse(move |line| Some(value(line).trim_start_matches(tag).to_owned()));
        let part_number = Some(cx.send("N").reply(text("Pno")).await?);
        let firmware = Some(cx.send("Q").reply(text("Ver")).await?);
        cx.status.set(|status| {
            *status = State { part_number, firmware, inputs, outputs, ..State::default() };
        });
        Ok(())
    }

    /// Asks for all there is. Not every switcher has sound.
    #[poll(every = poll_seconds)]
    async fn look(&self, cx: &Cx<Self>) -> Result {
        for output in 1..=cx.status.get(|status| status.outputs) {
            for (letter, tag) in [('%', "Vid"), ('$', "Aud"), ('B', "Vmt"), ('Z', "Amt"), ('V', "Vol")] {
                let question = cx.send(format!("{output}{letter}"));
                self.ask(cx, question, tag, Some(output)).await.unless_refused()?;
            }
        }
        Ok(())
    }

    /// What somebody else has changed. A preset does not say what it has.
    #[received]
    fn told(&self, cx: &Cx<Self>, line: &str) {
        match fact(line) {
            Some(("Qik" | "Rpr", ..)) => cx.poll_soon(millis(100)),
            Some((tag, output, value)) => self.show(cx, tag, output, value),
            None => {}
        }
    }

    /// Recalls a preset: the ties that it keeps.
    #[function]
    async fn recall_preset(&self, cx: &Cx<Self>, preset: u32) -> Result {
        self.ask(cx, cx.send(format!("{preset}.")), "Rpr", None).await?;
        self.look(cx).await
    }

    /// Keeps the ties of now as a preset.
    #[function(security = "support")]
    async fn save_preset(&self, cx: &Cx<Self>, preset: u32) -> Result {
        self.ask(cx, cx.send(format!("{preset},")), "Spr", None).await
    }

    /// Tells or asks the switcher something, and shows its answer, which may be the value alone.
    async fn ask(
        &self,
        cx: &Cx<Self>,
        command: Command<'_>,
        tag: &'static str,
        output: Option<u32>,
    ) -> Result {
        let about = move |line: &str| match line.parse() {
            Ok(value) => Some(value),
            Err(_) => fact(line).filter(|fact| (fact.0, fact.1) == (tag, output)).map(|fact| fact.2),
        };
        let value = command.reply(parse(about)).await?;
        self.show(cx, tag, output, value);
        Ok(())
    }

    /// What is so now of an output, or of all.
    fn show(&self, cx: &Cx<Self>, tag: &str, output: Option<u32>, value: u32) {
        cx.status.set(|status| {
            for output in output.map_or(1..=status.outputs, |output| output..=output) {
                if let "Vid" | "All" = tag {
                    status.routes.insert(output, value);
                }
                if let "Aud" | "All" = tag {
                    status.audio_routes.insert(output, value);
                }
                if tag == "Vol" {
                    status.volume.insert(output, percent(value));
                }
                if let "Vmt" | "Amt" = tag {
                    let State { video_mute, audio_mute, .. } = status;
                    if tag == "Vmt" { &mut *video_mute } else { &mut *audio_mute }.insert(output, value > 0);
                    let mutes = [video_mute.get(&output), audio_mute.get(&output)];
                    status.mute.insert(output, mutes.iter().all(|mute| *mute != Some(&false)));
                }
            }
        });
    }
}

impl Switchable for Switcher {
    async fn switch(&self, cx: &Cx<Self>, input: u32, outputs: Vec<u32>, layer: Option<Layer>) -> Result {
        let (sign, tag) = match layer.unwrap_or(Layer::AudioVideo) {
            Layer::AudioVideo => ('!', "All"),
            Layer::Video => ('%', "Vid"),
            Layer::Audio => ('$', "Aud"),
        };
        match outputs[..] {
            [] => self.ask(cx, cx.send(format!("{input}*{sign}")), tag, None).await,
            [output] => self.ask(cx, cx.send(format!("{input}*{output}{sign}")), tag, Some(output)).await,
            // All at the same moment.
            _ => {
                let ties: String = outputs.iter().map(|output| format!("{input}*{output}{sign}")).collect();
                self.ask(cx, cx.send(format!("\x1b+Q{ties}\r")), "Qik", None).await?;
                outputs.iter().for_each(|output| self.show(cx, tag, Some(*output), input));
                Ok(())
            }
        }
    }
}

impl Muteable for Switcher {
    async fn mute(&self, cx: &Cx<Self>, on: bool, layer: Option<Layer>, output: Option<u32>) -> Result<bool> {
        let (value, all) = (u8::from(on), Layer::AudioVideo);
        for (letter, tag, kind) in [('B', "Vmt", Layer::Video), ('Z', "Amt", Layer::Audio)] {
            if [kind, all].contains(&layer.unwrap_or(all)) {
                let command = match output {
                    Some(output) => format!("{output}*{value}{letter}"),
                    None => format!("{value}*{letter}"),
                };
                self.ask(cx, cx.send(command), tag, output).await?;
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
            self.ask(cx, command, "Vol", Some(output)).await?;
        }
        Ok(percent(steps))
    }
}

/// Of the 64 steps of a volume.
fn percent(steps: u32) -> f64 {
    f64::from(steps) / 0.64
}

/// What is so now, asked for or not: `Out04 In02 Vid`, `Amt1`. A tag, the output (all, if none is named), and the value: the input
/// of a tie (0 for none), whether it is muted, a volume's step, a preset.
fn fact(line: &str) -> Option<(&str, Option<u32>, u32)> {
    let split = |word: &'_ str| word.find(|letter: char| !letter.is_alphabetic()).unwrap_or(word.len());
    let words: Vec<(&str, &str)> = line.split(' ').map(|word| word.split_at(split(word))).collect();
    let number = |text: &str| text.parse().ok();
    let (tag, output, value) = match words[..] {
        [("Out", output), ("In", input), (tag, "")] => (tag, Some(number(output)?), number(input)?),
        [("Out", output), ("Vol", steps)] => ("Vol", Some(number(output)?), number(steps)?),
        [("In", input), (tag, "")] => (tag, None, number(input)?),
        [(tag, numbers)] => match numbers.split_once('*') {
            Some((output, value)) => (tag, Some(number(output)?), number(value)?),
            None => (tag, None, number(numbers).unwrap_or(0)),
        },
        _ => return None,
    };
    Some((if tag == "RGB" { "Vid" } else { tag }, output, value))
}

/// The size of `V8X4 A8X4`, or `Inf00*V8X4 A8X4`: inputs and outputs for pictures.
fn size(line: &str) -> Option<(u32, u32)> {
    let (video, _) = value(line).strip_prefix('V')?.split_once(' ')?;
    let (inputs, outputs) = video.split_once('X')?;
    let number = |text: &str| text.parse().ok().filter(|number| *number < 1000);
    Some((number(inputs)?, number(outputs)?))
}

/// `1.07` of `Ver01*1.07`: in verbose mode 3 a value has a tag.
fn value(line: &str) -> &str {
    line.rsplit('*').next().unwrap_or(line)
}

/// `E13`.
fn why(line: &str) -> Option<String> {
    let number = line.strip_prefix('E').filter(|number| number.len() == 2)?;
    number.parse::<u8>().ok()?;
    let why = match number {
        "01" => "it has no such input",
        "10" => "it does not know the command",
        "11" => "it has no such preset",
        "12" => "it has no such output",
        "13" => "the value is out of range",
        "14" => "the command does not fit its configuration",
        "17" => "the command does not fit this kind of signal",
        "22" => "it is busy",
        "24" => "that takes the administrator's password",
        "26" => "it has too many connections",
        _ => "look the number up in its manual",
    };
    Some(format!("the switcher refused: {why} ({line})"))
}

drivers_sdk::main!(Switcher, emulator = emulator::Emulator);
