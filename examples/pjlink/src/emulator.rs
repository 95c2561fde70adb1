//! A projector that speaks PJLink class 2, as the specification describes it: it warms up and cools down, refuses
//! what cannot be done meanwhile (`ERR3`), and asks for the password if it has one.

use std::cell::RefCell;
use std::hash::{BuildHasher, Hasher, RandomState};

use drivers_sdk::Instant;
use drivers_sdk::emulator::{Device, DeviceStream};
use drivers_sdk::prelude::*;

use crate::{Options, digest};

/// The projector as a device that connections share.
pub struct Emulator(RefCell<Projector>);

impl Device for Emulator {
    type Settings = Options;

    fn create(settings: Options) -> Result<Self> {
        let password = settings.password.as_ref().map_or("", Secret::reveal);
        Ok(Emulator(RefCell::new(Projector::new(password))))
    }

    async fn session(&self, mut stream: DeviceStream) -> Result {
        stream.framing(lines("\r"));
        let random = RandomState::new().build_hasher().finish();
        let (mut session, greeting) = self.0.borrow().greet(random as u32);
        stream.send(greeting).await?;
        while let Some(line) = stream.next().await? {
            let answer = self.0.borrow_mut().answer(&mut session, &line.text(), Instant::now());
            if let Some(answer) = answer {
                stream.send(answer).await?;
            }
        }
        Ok(())
    }
}

/// Command, space, 128 bytes of parameter, and the end of line.
const LONGEST: usize = 136;
const WARM_UP: Duration = Duration::from_secs(2);
const COOL_DOWN: Duration = Duration::from_secs(3);
/// What came with class 2.
const CLASS2: [&str; 9] = ["FREZ", "INNM", "IRES", "RRES", "FILT", "RLMP", "RFIL", "SNUM", "SVER"];
const INPUTS: [&str; 4] = ["11", "31", "32", "51"];

/// The projector, which outlasts connections.
pub struct Projector {
    password: String,
    power: Power,
    input: &'static str,
    /// As `AVMT ?` says it.
    mute: &'static str,
    frozen: bool,
    used: Duration,
}

enum Power {
    Standby,
    On(Instant),
    Cooling(Instant),
    Warming(Instant),
}

/// What one connection knows.
pub struct Session {
    /// The random number that the first command must be signed with.
    nonce: Option<String>,
}

impl Projector {
    pub fn new(password: &str) -> Self {
        Projector {
            password: password.to_owned(),
            power: Power::Standby,
            input: INPUTS[1],
            mute: "30",
            frozen: false,
            used: Duration::from_secs(1_200 * 3_600),
        }
    }

    /// A controller connects: its session, and the line that greets it. `random` is what it must sign with.
    pub fn greet(&self, random: u32) -> (Session, String) {
        if self.password.is_empty() {
            return (Session { nonce: None }, "PJLINK 0".into());
        }
        let nonce = format!("{random:08x}");
        let greeting = format!("PJLINK 1 {nonce}");
        (Session { nonce: Some(nonce) }, greeting)
    }

    /// Answers a line; neither has its end of line. What is no command has no answer.
    pub fn answer(&mut self, session: &mut Session, line: &str, now: Instant) -> Option<String> {
        let mut line = line;
        if let Some(nonce) = &session.nonce {
            let Some(rest) = line.strip_prefix(&digest(nonce, &self.password)) else {
                return Some("PJLINK ERRA".into());
            };
            (line, session.nonce) = (rest, None);
        }
        let (command, parameter) = line.split_once(' ')?;
        let (class, _) = command.split_at_checked(2).filter(|(class, _)| ["%1", "%2"].contains(class))?;
        if line.len() >= LONGEST {
            return Some(format!("{command}=ERR2"));
        }
        self.pass(now);
        let command = command.to_uppercase();
        let name = command.strip_prefix(class)?;
        let answer = if CLASS2.contains(&name) == (class == "%2") {
            self.obey(name, parameter, now)
        } else {
            "ERR1".into()
        };
        Some(format!("{command}={answer}"))
    }

    fn obey(&mut self, command: &str, parameter: &str, now: Instant) -> String {
        let on = matches!(self.power, Power::On(_));
        match (command, parameter) {
            ("POWR", "?") => match self.power {
                Power::Standby => "0",
                Power::On(_) => "1",
                Power::Cooling(_) => "2",
                Power::Warming(_) => "3",
            },
            ("POWR", "0" | "1") => match (&self.power, parameter) {
                (Power::Cooling(_) | Power::Warming(_), _) => "ERR3",
                (Power::Standby, "1") => {
                    self.power = Power::Warming(now + WARM_UP);
                    "OK"
                }
                (Power::On(_), "0") => {
                    self.power = Power::Cooling(now + COOL_DOWN);
                    (self.mute, self.frozen) = ("30", false);
                    "OK"
                }
                _ => "OK",
            },
            ("INPT" | "AVMT" | "FREZ" | "IRES", _) if !on => "ERR3",
            ("INPT", "?") => self.input,
            ("INPT", wanted) => match INPUTS.iter().find(|input| **input == wanted) {
                Some(input) => {
                    self.input = input;
                    "OK"
                }
                None => "ERR2",
            },
            ("AVMT", "?") => self.mute,
            ("AVMT", wanted) => {
                match ["11", "21", "31", "10", "20", "30"].iter().find(|word| **word == wanted) {
                    Some(word) => {
                        self.mute = if word.ends_with('1') { word } else { "30" };
                        "OK"
                    }
                    None => "ERR2",
                }
            }
            ("ERST", "?") => "000000",
            ("LAMP", "?") => return format!("{} {}", self.used.as_secs() / 3_600, u8::from(on)),
            ("INST", "?") => return INPUTS.join(" "),
            ("NAME", "?") => "Emulated projector",
            ("INF1", "?") => "Headend",
            ("INF2", "?") => "PJLink emulator",
            ("INFO", "?") => "Not a real lamp",
            ("CLSS", "?") => "2",
            ("FREZ", "?") => return u8::from(self.frozen).to_string(),
            ("FREZ", "0" | "1") => {
                self.frozen = parameter == "1";
                "OK"
            }
            ("INNM", wanted) => {
                match INPUTS.iter().position(|input| Some(*input) == wanted.strip_prefix('?')) {
                    Some(place) => ["Computer", "HDMI 1", "HDMI 2", "Network"][place],
                    None => "ERR2",
                }
            }
            ("IRES" | "RRES", "?") => "1920x1080",
            ("FILT", "?") => return (self.used.as_secs() / 3_600).to_string(),
            ("RLMP", "?") => "LAMP-1",
            ("RFIL", "?") => "FILTER-1",
            ("SNUM", "?") => "0001",
            ("SVER", "?") => "1.0",
            ("FREZ" | "IRES" | "RRES" | "FILT" | "RLMP" | "RFIL" | "SNUM" | "SVER", _) => "ERR2",
            ("POWR" | "ERST" | "LAMP" | "INST" | "NAME" | "INF1" | "INF2" | "INFO" | "CLSS", _) => "ERR2",
            _ => "ERR1",
        }
        .into()
    }

    /// What time alone does.
    fn pass(&mut self, now: Instant) {
        match self.power {
            Power::Warming(until) if now >= until => self.power = Power::On(until),
            Power::Cooling(until) if now >= until => self.power = Power::Standby,
            Power::On(since) => {
                self.used += now.saturating_duration_since(since);
                self.power = Power::On(now);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(projector: &mut Projector, session: &mut Session, line: &str, after: u64) -> String {
        // The same moment for all calls of a test, so that only `after` moves its time.
        thread_local!(static START: Instant = Instant::now());
        let now = START.with(|start| *start + Duration::from_secs(after));
        projector.answer(session, line, now).unwrap_or_default()
    }

    #[test]
    fn it_warms_up_and_cools_down() {
        let mut projector = Projector::new("");
        let (mut session, greeting) = projector.greet(1);
        assert_eq!(greeting, "PJLINK 0");
        let mut ask = |line, after| ask(&mut projector, &mut session, line, after);
        assert_eq!(ask("%1POWR ?", 0), "%1POWR=0");
        assert_eq!(ask("%1INPT 31", 0), "%1INPT=ERR3");
        assert_eq!(ask("%1POWR 1", 0), "%1POWR=OK");
        assert_eq!(ask("%1POWR ?", 1), "%1POWR=3");
        assert_eq!(ask("%1POWR 0", 1), "%1POWR=ERR3");
        assert_eq!(ask("%1POWR ?", 2), "%1POWR=1");
        assert_eq!(ask("%1INPT 32", 2), "%1INPT=OK");
        assert_eq!(ask("%1INPT ?", 2), "%1INPT=32");
        assert_eq!(ask("%1INPT 99", 2), "%1INPT=ERR2");
        assert_eq!(ask("%1AVMT 31", 2), "%1AVMT=OK");
        assert_eq!(ask("%1AVMT ?", 2), "%1AVMT=31");
        assert_eq!(ask("%1POWR 0", 3), "%1POWR=OK");
        assert_eq!(ask("%1POWR ?", 4), "%1POWR=2");
        assert_eq!(ask("%1POWR 1", 4), "%1POWR=ERR3");
        assert_eq!(ask("%1POWR ?", 6), "%1POWR=0");
        assert_eq!(ask("%1LAMP ?", 6), "%1LAMP=1200 0");
        assert_eq!(ask("%1ABCD ?", 6), "%1ABCD=ERR1");
        assert_eq!(ask("%1POWR 7", 6), "%1POWR=ERR2");
        assert_eq!(ask("nonsense", 6), "");
        assert_eq!(ask("%2FREZ 1", 6), "%2FREZ=ERR3");
        assert_eq!(ask("%1FREZ ?", 6), "%1FREZ=ERR1");
        assert_eq!(ask("%2INNM ?31", 6), "%2INNM=HDMI 1");
        assert_eq!(ask("%2INNM ?99", 6), "%2INNM=ERR2");
        assert_eq!(ask("%3POWR ?", 6), "");
    }

    #[test]
    fn a_password_is_asked_for_once_in_a_session() {
        let mut projector = Projector::new("JBMIAProjectorLink");
        // The example of the specification.
        let (mut session, greeting) = projector.greet(0x498e_4a67);
        assert_eq!(greeting, "PJLINK 1 498e4a67");
        let mut ask = |line| ask(&mut projector, &mut session, line, 0);
        assert_eq!(ask("%1POWR ?"), "PJLINK ERRA");
        assert_eq!(ask("00000000000000000000000000000000%1POWR ?"), "PJLINK ERRA");
        assert_eq!(ask("5d8409bc1c3fa39749434aa3a5c38682%1POWR ?"), "%1POWR=0");
        assert_eq!(ask("%1CLSS ?"), "%1CLSS=2");
    }

    #[test]
    fn a_line_that_is_too_long_is_refused() {
        let mut projector = Projector::new("");
        let (mut session, _) = projector.greet(1);
        let line = format!("%1NAME {}", "x".repeat(129));
        assert_eq!(ask(&mut projector, &mut session, &line, 0), "%1NAME=ERR2");
    }
}
