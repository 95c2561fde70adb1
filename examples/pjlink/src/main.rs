//! Projectors and displays that speak PJLink, class 1 or 2, over TCP port 4352.
//!
//! The projector speaks first: `PJLINK 0`, or `PJLINK 1` and a random number, with which the first command of the
//! connection must be signed. Commands are `%1`, or `%2` for what came with class 2, and four letters; lines end with a carriage
//! return.

mod emulator;
mod wire;

use std::collections::BTreeMap;

use drivers_sdk::interfaces::{InputSelection, Layer, Muteable, Powerable};
use drivers_sdk::prelude::*;
use wire::{answer, digest, faults, greeting, lamp_hours};

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
    /// The input it shows: `11` is the first RGB input, `21` video, `31` digital, `41` storage, `51` network.
    input: Option<String>,
    /// The inputs it has.
    inputs: Vec<String>,
    /// Whether picture and sound are muted.
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

#[derive(Default)]
struct Projector {
    polls: RefCell<Option<Schedule>>,
}

/// Any projector or display that speaks PJLink.
#[driver(
    name = "PJLink projector", module = "Display", tcp = 4352, framing = lines("\r"),
    settings = Options, status = State, implements(Powerable, InputSelection, Muteable),
)]
impl Projector {
    /// Signs the first command, if the projector asks for it.
    #[login]
    async fn greet(&self, cx: &Cx<Self>) -> Result {
        let random = cx.expect(parse(greeting)).await?;
        let signature = match (random, &cx.settings().password) {
            (None, _) => String::new(),
            (Some(random), Some(password)) => digest(&random, password.reveal()),
            (Some(_), None) => {
                return Err(Error::device("the projector asks for a password: set `password`"));
            }
        };
        cx.hide(&signature);
        let class = cx.send(format!("{signature}%1CLSS ?")).reply(answer("%1CLSS")).await?;
        cx.status.set(|status| status.class = class.parse().ok());
        Ok(())
    }

    /// Learns what never changes.
    #[connected]
    async fn meet(&self, cx: &Cx<Self>) -> Result {
        self.schedule(cx);
        let inputs = self.ask(cx, "%1INST", "?").await?;
        let name = self.ask(cx, "%1NAME", "?").await?;
        let manufacturer = self.ask(cx, "%1INF1", "?").await?;
        let model = self.ask(cx, "%1INF2", "?").await?;
        cx.status.set(|status| {
            status.inputs = inputs.split(' ').map(Into::into).collect();
            status.name = Some(name);
            status.manufacturer = Some(manufacturer);
            status.model = Some(model);
        });
        if self.is_class2(cx) {
            self.meet_class2(cx).await?;
        }
        self.poll(cx).await
    }

    /// Not every projector has all of it: what it refuses is absent.
    async fn meet_class2(&self, cx: &Cx<Self>) -> Result {
        let mut names = BTreeMap::new();
        for input in cx.status.get(|status| status.inputs.clone()) {
            if let Some(name) = self.learn(cx, "%2INNM", &format!("?{input}")).await? {
                names.insert(input, name);
            }
        }
        let (serial, software) = (self.learn(cx, "%2SNUM", "?").await?, self.learn(cx, "%2SVER", "?").await?);
        let (lamp, filter) = (self.learn(cx, "%2RLMP", "?").await?, self.learn(cx, "%2RFIL", "?").await?);
        cx.status.set(|status| {
            (status.input_names, status.serial_number, status.software) = (names, serial, software);
            (status.lamp_model, status.filter_model) = (lamp, filter);
        });
        Ok(())
    }

    /// Polls as often as the settings say, as long as the connection lives.
    #[settings_changed]
    fn schedule(&self, cx: &Cx<Self>) {
        let polls = cx.is_connected().then(|| cx.every(secs(cx.settings().poll_seconds), Self::poll));
        if let Some(earlier) = self.polls.replace(polls) {
            earlier.cancel();
        }
    }

    #[disconnected]
    fn left(&self) {
        self.polls.take().inspect(Schedule::cancel);
    }

    async fn poll(&self, cx: &Cx<Self>) -> Result {
        let power = self.ask(cx, "%1POWR", "?").await?;
        let state = match &*power {
            "0" => Power::Standby,
            "1" => Power::On,
            "2" => Power::Cooling,
            "3" => Power::Warming,
            _ => return Err(Error::device(format!("the projector says its power is {power}"))),
        };
        cx.status.set(|status| {
            status.power_state = Some(state);
            status.power = Some(matches!(state, Power::On | Power::Warming));
        });
        if state == Power::On {
            let input = self.ask(cx, "%1INPT", "?").await?;
            let mute = self.ask(cx, "%1AVMT", "?").await?;
            cx.status.set(|status| {
                status.input = Some(input);
                status.mute = Some(mute == "31");
            });
        }
        if self.is_class2(cx) {
            // Off, it refuses both.
            let (resolution, frozen) =
                (self.learn(cx, "%2IRES", "?").await?, self.learn(cx, "%2FREZ", "?").await?);
            let hours = self.learn(cx, "%2FILT", "?").await?;
            cx.status.set(|status| {
                status.resolution = resolution.filter(|resolution| resolution.contains('x'));
                status.frozen = frozen.map(|frozen| frozen == "1");
                status.filter_hours = hours.and_then(|hours| hours.parse().ok());
            });
        }
        let faults = faults(&self.ask(cx, "%1ERST", "?").await?);
        // Projectors without a lamp refuse this one.
        let lamps = self.learn(cx, "%1LAMP", "?").await?.map_or(Vec::new(), |lamps| lamp_hours(&lamps));
        cx.status.set(|status| {
            status.faults = faults;
            status.lamp_hours = lamps;
        });
        Ok(())
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

    /// What the projector may refuse to say.
    async fn learn(&self, cx: &Cx<Self>, command: &'static str, parameter: &str) -> Result<Option<String>> {
        match self.ask(cx, command, parameter).await {
            Err(error) if error.code() == "device" => Ok(None),
            result => result.map(Some),
        }
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

#[cfg(test)]
mod tests;

drivers_sdk::main!(Projector, emulator = emulator::Emulator);
