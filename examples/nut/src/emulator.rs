//! An `upsd` with one UPS, whose battery test goes on battery for a while.

use std::cell::RefCell;

use drivers_sdk::Instant;
use drivers_sdk::emulator::{Device, DeviceStream};
use drivers_sdk::prelude::*;

use crate::Options;

const TEST: Duration = Duration::from_secs(10);

/// The server as a device that connections share.
pub struct Emulator(RefCell<Ups>);

impl Device for Emulator {
    type Settings = Options;

    fn create(settings: Options) -> Result<Self> {
        let password = settings.password.as_ref().map_or("", Secret::reveal);
        let username = settings.username.as_deref().unwrap_or_default();
        Ok(Emulator(RefCell::new(Ups::new(&settings.ups, username, password))))
    }

    async fn session(&self, mut stream: DeviceStream) -> Result {
        stream.framing(lines("\n"));
        let mut session = Session::default();
        while !session.ended
            && let Some(line) = stream.next().await?
        {
            let answer = self.0.borrow_mut().answer(&mut session, &line.text(), Instant::now());
            stream.send(answer).await?;
        }
        Ok(())
    }
}

/// The UPS, which outlasts connections.
pub struct Ups {
    name: String,
    username: String,
    password: String,
    /// The battery is tested until then.
    test: Option<Instant>,
    beeper: bool,
}

/// What one connection knows.
#[derive(Default)]
pub struct Session {
    username: Option<String>,
    password: Option<String>,
    /// The client said `LOGOUT`: close the connection.
    pub ended: bool,
}

impl Ups {
    pub fn new(name: &str, username: &str, password: &str) -> Self {
        Ups {
            name: name.into(),
            username: username.into(),
            password: password.into(),
            test: None,
            beeper: true,
        }
    }

    /// Answers a line. The answer may have several, but no end of line.
    pub fn answer(&mut self, session: &mut Session, line: &str, now: Instant) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["LIST", "VAR", ups] | ["GET", "VAR", ups, _] | ["INSTCMD", ups, ..] | ["LIST", "CMD", ups] =
            words[..]
            && ups != self.name
        {
            return "ERR UNKNOWN-UPS".into();
        }
        match &words[..] {
            ["VER"] => "Network UPS Tools upsd (Headend emulator)".into(),
            ["LIST", "UPS"] => format!("BEGIN LIST UPS\nUPS {} \"Emulated UPS\"\nEND LIST UPS", self.name),
            ["LIST", "VAR", ups] => {
                let list = self
                    .variables(now)
                    .map(|(name, value)| format!("VAR {ups} {name} \"{value}\"\n"))
                    .concat();
                format!("BEGIN LIST VAR {ups}\n{list}END LIST VAR {ups}")
            }
            ["GET", "VAR", ups, name] => match self.variables(now).iter().find(|(found, _)| found == name) {
                Some((name, value)) => format!("VAR {ups} {name} \"{value}\""),
                None => "ERR VAR-NOT-SUPPORTED".into(),
            },
            ["USERNAME", _] if session.username.is_some() => "ERR ALREADY-SET-USERNAME".into(),
            ["PASSWORD", _] if session.password.is_some() => "ERR ALREADY-SET-PASSWORD".into(),
            ["USERNAME", name] => {
                session.username = Some((*name).into());
                "OK".into()
            }
            ["PASSWORD", word] => {
                session.password = Some((*word).into());
                "OK".into()
            }
            ["INSTCMD", ..] if session.username.is_none() => "ERR USERNAME-REQUIRED".into(),
            ["INSTCMD", ..] if session.password.is_none() => "ERR PASSWORD-REQUIRED".into(),
            ["INSTCMD", ..]
                if session.username.as_ref() != Some(&self.username)
                    || session.password.as_ref() != Some(&self.password) =>
            {
                "ERR ACCESS-DENIED".into()
            }
            ["INSTCMD", _, command] => match *command {
                "test.battery.start" => self.obey(|ups| ups.test = Some(now + TEST)),
                "test.battery.stop" => self.obey(|ups| ups.test = None),
                "beeper.enable" => self.obey(|ups| ups.beeper = true),
                "beeper.disable" => self.obey(|ups| ups.beeper = false),
                _ => "ERR CMD-NOT-SUPPORTED".into(),
            },
            ["LOGOUT"] => {
                session.ended = true;
                "OK Goodbye".into()
            }
            _ => "ERR UNKNOWN-COMMAND".into(),
        }
    }

    fn obey(&mut self, change: impl FnOnce(&mut Self)) -> String {
        change(self);
        "OK".into()
    }

    fn variables(&self, now: Instant) -> [(&'static str, String); 8] {
        let testing = self.test.is_some_and(|until| now < until);
        let (status, charge) = if testing { ("OB DISCHRG", 88) } else { ("OL CHRG", 97) };
        [
            ("battery.charge", charge.to_string()),
            ("battery.runtime", (charge * 18).to_string()),
            ("device.mfr", "Headend".into()),
            ("device.model", "Emulated UPS".into()),
            ("input.voltage", if testing { "0.0" } else { "230.1" }.into()),
            ("ups.beeper.status", if self.beeper { "enabled" } else { "disabled" }.into()),
            ("ups.load", "23".into()),
            ("ups.status", status.into()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_listed_and_got() {
        let (mut ups, mut session, now) = (Ups::new("rack", "", ""), Session::default(), Instant::now());
        let list = ups.answer(&mut session, "LIST VAR rack", now);
        assert!(list.starts_with("BEGIN LIST VAR rack\n") && list.ends_with("END LIST VAR rack"));
        assert_eq!(list.lines().filter(|line| line.starts_with("VAR rack ")).count(), 8);
        let charge = ups.answer(&mut session, "GET VAR rack battery.charge", now);
        assert_eq!(charge, "VAR rack battery.charge \"97\"");
        assert_eq!(ups.answer(&mut session, "GET VAR rack nothing", now), "ERR VAR-NOT-SUPPORTED");
        assert_eq!(ups.answer(&mut session, "LIST VAR other", now), "ERR UNKNOWN-UPS");
    }

    #[test]
    fn commands_need_the_right_login_and_a_test_ends_by_itself() {
        let (mut ups, now) = (Ups::new("rack", "admin", "secret"), Instant::now());
        let status = |ups: &mut Ups, after| {
            ups.answer(&mut Session::default(), "GET VAR rack ups.status", now + after)
        };
        let mut session = Session::default();
        let mut say = |ups: &mut Ups, line: &str| ups.answer(&mut session, line, now);
        assert_eq!(say(&mut ups, "INSTCMD rack test.battery.start"), "ERR USERNAME-REQUIRED");
        assert_eq!(say(&mut ups, "USERNAME admin"), "OK");
        assert_eq!(say(&mut ups, "PASSWORD wrong"), "OK");
        assert_eq!(say(&mut ups, "INSTCMD rack test.battery.start"), "ERR ACCESS-DENIED");
        session = Session::default();
        let mut say = |ups: &mut Ups, line: &str| ups.answer(&mut session, line, now);
        assert_eq!(say(&mut ups, "USERNAME admin"), "OK");
        assert_eq!(say(&mut ups, "PASSWORD secret"), "OK");
        assert_eq!(say(&mut ups, "INSTCMD rack explode"), "ERR CMD-NOT-SUPPORTED");
        assert_eq!(say(&mut ups, "INSTCMD rack test.battery.start"), "OK");
        assert!(status(&mut ups, Duration::ZERO).contains("\"OB "));
        assert!(status(&mut ups, TEST).contains("\"OL "));
        assert_eq!(say(&mut ups, "LOGOUT"), "OK Goodbye");
        assert!(session.ended);
    }
}
