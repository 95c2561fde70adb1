//! Projectors and displays that speak PJLink, class 1 or 2, over TCP port 4352.
//!
//! The projector speaks first: `PJLINK 0`, or `PJLINK 1` and a random number, with which the first command of the
//! connection must be signed. Commands are `%1`, or `%2` for what came with class 2, and four letters; lines end with a carriage
//! return.

mod emulator;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use drivers_sdk::interfaces::{InputSelection, Layer, Muteable, Powerable};
use drivers_sdk::prelude::*;
use md5::{Digest, Md5};

#[derive(Settings)]
pub struct Options {
    /// Password of the projector; leave it out if it asks for none.
    password: Option<Secret>,
    /// Seconds between two polls. Projectors close a connection that is silent for 30 seconds.
    #[setting(default = 15)]
    poll_seconds: u64,
}

#[derive(Default, Status)]
struct State {
    /// Whether it is on, or on its way there.
    power: Option<bool>,
    /// What the lamp does.
    power_state: Option<Power>,
    /// The input it shows: `11` is the first RGB input, `21` video, `31` digital, `41` storage, `51` network. Absent while it is
    /// off.
    input: Option<String>,
    /// The inputs it has.
    inputs: Vec<String>,
    /// Whether picture and sound are muted; absent while it is off.
    mute: Option<bool>,
    /// Parts that are not well: `filter: warning`.
    faults: Vec<String>,
    /// Hours of each lamp.
    lamp_hours: Vec<u32>,
    /// The name somebody gave it.
    name: Option<String>,
    /// Who made it.
    manufacturer: Option<String>,
    /// What its maker calls it.
    model: Option<String>,
    /// 1 or 2. What follows is only known of class 2.
    class: Option<u8>,
    /// What people call the inputs, by their numbers.
    input_names: BTreeMap<String, String>,
    /// What comes in: `1920x1080`; absent if nothing does, or it does not know.
    resolution: Option<String>,
    /// Whether the picture stands still.
    frozen: Option<bool>,
    /// Hours of the filter.
    filter_hours: Option<u32>,
    /// As its maker numbers it.
    serial_number: Option<String>,
    /// The version of its firmware.
    software: Option<String>,
    /// Models to order when they are used up.
    lamp_model: Option<String>,
    /// The filter to order for it.
    filter_model: Option<String>,
}

/// What the lamp does.
#[data]
enum Power {
    Standby,
    Warming,
    On,
    Cooling,
}

/// What is asked, and what of the status its answer is: nothing, if the projector refuses to say. What begins with `%2` is for
/// class 2 alone.
type Question = (&'static str, fn(&mut State, Option<&str>));

/// What never changes.
const FACTS: &[Question] = &[
    ("%1INST", |status, inputs| status.inputs = words(inputs)),
    ("%1NAME", |status, name| status.name = name.map(Into::into)),
    ("%1INF1", |status, name| status.manufacturer = name.map(Into::into)),
    ("%1INF2", |status, name| status.model = name.map(Into::into)),
    ("%2SNUM", |status, number| status.serial_number = number.map(Into::into)),
    ("%2SVER", |status, version| status.software = version.map(Into::into)),
    ("%2RLMP", |status, model| status.lamp_model = model.map(Into::into)),
    ("%2RFIL", |status, model| status.filter_model = model.map(Into::into)),
];

const NOW: &[Question] = &[
    ("%1POWR", |status, power| {
        let states = [Power::Standby, Power::On, Power::Cooling, Power::Warming];
        status.power_state = power.and_then(|power| states.get(power.parse::<usize>().ok()?).copied());
        status.power = status.power_state.map(|state| matches!(state, Power::On | Power::Warming));
    }),
    ("%1INPT", |status, input| status.input = input.map(Into::into)),
    ("%1AVMT", |status, mute| status.mute = mute.map(|mute| mute == "31")),
    ("%1ERST", |status, digits| {
        let parts = ["fan", "lamp", "temperature", "cover", "filter", "other"];
        let fault = |(part, digit)| match digit {
            '1' => Some(format!("{part}: warning")),
            '2' => Some(format!("{part}: error")),
            _ => None,
        };
        status.faults = parts.iter().zip(digits.unwrap_or_default().chars()).filter_map(fault).collect();
    }),
    // Hours of each lamp, and whether it burns: `1200 1 350 0`.
    ("%1LAMP", |status, lamps| {
        status.lamp_hours = words(lamps).iter().step_by(2).filter_map(|hours| hours.parse().ok()).collect();
    }),
    // `-` if nothing comes in, `*` if it does not know what.
    ("%2IRES", |status, size| status.resolution = size.filter(|size| size.contains('x')).map(Into::into)),
    ("%2FREZ", |status, frozen| status.frozen = frozen.map(|frozen| frozen == "1")),
    ("%2FILT", |status, hours| status.filter_hours = hours.and_then(|hours| hours.parse().ok())),
];

#[derive(Default)]
struct Projector;

/// Any projector or display that speaks PJLink.
#[driver(
    name = "PJLink projector", module = "Display", tcp = 4352, framing = lines("\r"),
    settings = Options, status = State, implements(Powerable, InputSelection, Muteable),
)]
impl Projector {
    /// Signs the first command, if the projector asks for it.
    #[login]
    async fn greet(&self, cx: &Cx<Self>) -> Result {
        let random = cx.expect(prefix("PJLINK 1 ").map(Some).or(exact("PJLINK 0").map(|()| None))).await?;
        let signature = match (random, &cx.settings().password) {
            (None, _) => String::new(),
            (Some(random), Some(password)) => digest(&random.text(), password.reveal()),
            (Some(_), None) => {
                return Err(Error::device("the projector asks for a password: set `password`"));
            }
        };
        cx.hide(&signature);
        let class = cx.send(format!("{signature}%1CLSS ?")).reply(answer("%1CLSS")).await?;
        cx.status.set(|status| status.class = class.parse().ok());
        Ok(())
    }

    #[connected]
    async fn meet(&self, cx: &Cx<Self>) -> Result {
        self.learn(cx, FACTS).await?;
        if self.is_class2(cx) {
            let mut names = BTreeMap::new();
            for input in cx.status.get(|status| status.inputs.clone()) {
                if let Some(name) = self.ask(cx, "%2INNM", &format!("?{input}")).await.unless_refused()? {
                    names.insert(input, name);
                }
            }
            cx.status.set(|status| status.input_names = names);
        }
        Ok(())
    }

    #[poll(every = poll_seconds)]
    async fn poll(&self, cx: &Cx<Self>) -> Result {
        self.learn(cx, NOW).await
    }

    /// Makes the picture stand still, or go on: class 2.
    #[function]
    async fn freeze(&self, cx: &Cx<Self>, on: bool) -> Result<bool> {
        self.ask(cx, "%2FREZ", if on { "1" } else { "0" }).await?;
        cx.status.set(|status| status.frozen = Some(on));
        Ok(on)
    }

    /// Makes the speaker a step louder, or quieter: class 2.
    #[function]
    async fn step_volume(&self, cx: &Cx<Self>, louder: bool) -> Result {
        self.ask(cx, "%2SVOL", if louder { "1" } else { "0" }).await.map(drop)
    }

    fn is_class2(&self, cx: &Cx<Self>) -> bool {
        cx.status.get(|status| status.class >= Some(2))
    }

    async fn learn(&self, cx: &Cx<Self>, questions: &[Question]) -> Result {
        for (command, show) in questions {
            if command.starts_with("%1") || self.is_class2(cx) {
                let answer = self.ask(cx, command, "?").await.unless_refused()?;
                cx.status.set(|status| show(status, answer.as_deref()));
            }
        }
        Ok(())
    }

    async fn ask(&self, cx: &Cx<Self>, command: &'static str, parameter: &str) -> Result<String> {
        cx.send(format!("{command} {parameter}")).reply(answer(command)).await
    }
}

impl Powerable for Projector {
    async fn power(&self, cx: &Cx<Self>, on: bool) -> Result<bool> {
        self.ask(cx, "%1POWR", if on { "1" } else { "0" }).await?;
        self.poll(cx).await?;
        Ok(on)
    }
}

impl InputSelection for Projector {
    async fn input(&self, cx: &Cx<Self>, input: String) -> Result {
        if input.len() != 2 || !input.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Error::bad_request(format!("{input:?} is no input: it has two digits, such as 31")));
        }
        self.ask(cx, "%1INPT", &input).await?;
        cx.status.set(|status| status.input = Some(input));
        Ok(())
    }
}

impl Muteable for Projector {
    async fn mute(&self, cx: &Cx<Self>, on: bool, layer: Option<Layer>, _: Option<u32>) -> Result<bool> {
        let what = match layer.unwrap_or(Layer::AudioVideo) {
            Layer::Video => 1,
            Layer::Audio => 2,
            Layer::AudioVideo => 3,
        };
        self.ask(cx, "%1AVMT", &format!("{what}{}", u8::from(on))).await?;
        let muted = self.ask(cx, "%1AVMT", "?").await?;
        cx.status.set(|status| status.mute = Some(muted == "31"));
        Ok(on)
    }
}

/// What signs the first command of a session: 32 hexadecimal digits.
fn digest(random: &str, password: &str) -> String {
    Md5::digest(format!("{random}{password}")).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The value that a command is answered with, or why the projector refuses.
fn answer(command: &'static str) -> impl Matcher<Output = String> {
    let why = move |line: &str| match line.strip_prefix(command)? {
        "=ERR1" => Some("the projector does not know this command"),
        "=ERR2" => Some("the projector has no such input or value"),
        "=ERR3" => Some("the projector is off, warming up or cooling down: it cannot do this now"),
        "=ERR4" => Some("the projector reports a failure"),
        _ => None,
    };
    let refused = exact("PJLINK ERRA").refuses("the projector refused the password").or(refusal(why));
    prefix(format!("{command}=")).map(|value| value.to_string()).unless(refused)
}

fn words(text: Option<&str>) -> Vec<String> {
    text.unwrap_or_default().split_whitespace().map(Into::into).collect()
}

drivers_sdk::main!(Projector, emulator = emulator::Emulator);
