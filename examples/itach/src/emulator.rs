//! A unit with three relays (module 1) and three infrared connectors (module 2).

use std::cell::RefCell;

use drivers_sdk::emulator::{Device, DeviceStream};
use drivers_sdk::prelude::*;

use crate::{Options, infrared};

/// The unit as a device that connections share.
#[derive(Default)]
pub struct Emulator(RefCell<Unit>);

impl Device for Emulator {
    type Settings = Options;

    fn create(_: Options) -> Result<Self> {
        Ok(Emulator::default())
    }

    async fn session(&self, mut stream: DeviceStream) -> Result {
        stream.framing(lines("\r"));
        while let Some(line) = stream.next().await? {
            let answer = self.0.borrow_mut().answer(&line.text());
            stream.send(answer).await?;
        }
        Ok(())
    }
}

#[derive(Default)]
pub struct Unit {
    relays: [bool; 3],
    unknown: u32,
}

impl Unit {
    /// Answers a line. The answer may have several, but no end of line.
    pub fn answer(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(',').collect();
        match words[..] {
            ["getdevices"] => "device,0,0 ETHERNET\rdevice,1,3 RELAY\rdevice,2,3 IR\rendlistdevices".into(),
            ["getversion"] => "710-0000-00".into(),
            ["getstate", at] => self.relay(at, |_| {}),
            ["setstate", at, to @ ("0" | "1")] => self.relay(at, |relay| *relay = to == "1"),
            ["sendir", at, id, ref code @ ..] => match connector(at, 2) {
                Ok(_) if id.parse::<u16>().is_err() => format!("ERR_{at},004"),
                Ok(_) if infrared(&code.join(","), None).is_err() => format!("ERR_{at},010"),
                Ok(_) => format!("completeir,{at},{id}"),
                Err(error) => error,
            },
            ["stopir", at] => connector(at, 2).map_or_else(|error| error, |_| line.to_owned()),
            _ => {
                self.unknown += 1;
                format!("unknowncommand,{}", self.unknown)
            }
        }
    }

    fn relay(&mut self, at: &str, change: impl FnOnce(&mut bool)) -> String {
        match connector(at, 1) {
            Ok(number) => {
                let relay = &mut self.relays[number - 1];
                change(relay);
                format!("state,{at},{}", u8::from(*relay))
            }
            Err(error) => error,
        }
    }
}

/// The number of a connector of that module, from 1 to 3.
fn connector(at: &str, module: usize) -> Result<usize, String> {
    match at.split_once(':').map(|(module, connector)| (module.parse::<usize>(), connector.parse::<usize>()))
    {
        Some((Ok(found), Ok(connector @ 1..=3))) if found == module => Ok(connector),
        Some((Ok(found), _)) if found == module => Err(format!("ERR_{at},003")),
        _ => Err(format!("ERR_{at},002")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relays_keep_their_state() {
        let mut unit = Unit::default();
        assert_eq!(unit.answer("getstate,1:2"), "state,1:2,0");
        assert_eq!(unit.answer("setstate,1:2,1"), "state,1:2,1");
        assert_eq!(unit.answer("getstate,1:2"), "state,1:2,1");
        assert_eq!(unit.answer("getstate,1:1"), "state,1:1,0");
        assert_eq!(unit.answer("setstate,1:4,1"), "ERR_1:4,003");
        assert_eq!(unit.answer("setstate,2:1,1"), "ERR_2:1,002");
        assert_eq!(unit.answer("explode"), "unknowncommand,1");
        assert_eq!(unit.answer("setstate,1:1,2"), "unknowncommand,2");
    }

    #[test]
    fn infrared_is_sent_and_stopped() {
        let mut unit = Unit::default();
        assert_eq!(unit.answer("sendir,2:3,7,38000,1,1,342,171"), "completeir,2:3,7");
        assert_eq!(unit.answer("sendir,2:3,8,38000,1,1,342"), "ERR_2:3,010");
        assert_eq!(unit.answer("sendir,1:1,9,38000,1,1,342,171"), "ERR_1:1,002");
        assert_eq!(unit.answer("stopir,2:3"), "stopir,2:3");
    }
}
