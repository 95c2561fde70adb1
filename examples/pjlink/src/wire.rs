//! PJLink on the wire: what a projector answers, and what that means. Commands of class 1 begin with `%1`, those that came with
//! class 2 with `%2`.

use drivers_sdk::prelude::*;
use md5::{Digest, Md5};

/// The digest that signs the first command of a session: 32 hexadecimal digits.
pub fn digest(random: &str, password: &str) -> String {
    Md5::digest(format!("{random}{password}")).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The random number of a greeting: `PJLINK 1 498e4a67` has one, `PJLINK 0` has none. `None` if it is no greeting.
pub fn greeting(line: &str) -> Option<Option<String>> {
    match line.strip_prefix("PJLINK ")? {
        "0" => Some(None),
        other => other.strip_prefix("1 ").map(|random| Some(random.to_owned())),
    }
}

/// Reads what the projector answers to `command`, such as `%1POWR`: the value, or why it refused.
pub fn answer(command: &'static str) -> impl Matcher<Output = String> {
    parse_bytes(move |line| {
        let line = String::from_utf8_lossy(line);
        if line == "PJLINK ERRA" {
            return Some(Err(Error::device("the projector refused the password")));
        }
        let value = line.strip_prefix(command)?.strip_prefix('=')?;
        Some(match value {
            "ERR1" => Err(Error::device("the projector does not know this command")),
            "ERR2" => Err(Error::device("the projector has no such input or value")),
            "ERR3" => {
                Err(Error::device("the projector is off, warming up or cooling down: it cannot do this now"))
            }
            "ERR4" => Err(Error::device("the projector reports a failure")),
            value => Ok(value.to_owned()),
        })
    })
}

/// The parts of `ERST` that are not well: `lamp: warning`, `fan: error`.
pub fn faults(erst: &str) -> Vec<String> {
    let parts = ["fan", "lamp", "temperature", "cover", "filter", "other"];
    parts
        .iter()
        .zip(erst.chars())
        .filter_map(|(part, digit)| match digit {
            '1' => Some(format!("{part}: warning")),
            '2' => Some(format!("{part}: error")),
            _ => None,
        })
        .collect()
}

/// Hours of each lamp: `1200 1 350 0` is 1200 hours for the first, which is on, and 350 for the second.
pub fn lamp_hours(lamp: &str) -> Vec<u32> {
    lamp.split(' ').step_by(2).filter_map(|hours| hours.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use drivers_sdk::matcher::Match;

    #[test]
    fn the_digest_is_that_of_the_specification() {
        assert_eq!(digest("498e4a67", "JBMIAProjectorLink"), "5d8409bc1c3fa39749434aa3a5c38682");
    }

    #[test]
    fn greetings() {
        assert_eq!(greeting("PJLINK 0"), Some(None));
        assert_eq!(greeting("PJLINK 1 498e4a67"), Some(Some("498e4a67".into())));
        assert_eq!(greeting("PJLINK ERRA"), None);
        assert_eq!(greeting("%1POWR=OK"), None);
    }

    /// What the answer to a command is read as; `None` if it is not the answer.
    fn read(command: &'static str, line: &str) -> Option<Result<String>> {
        match answer(command).offer(line.as_bytes()) {
            Match::Done(result) => Some(result),
            _ => None,
        }
    }

    #[test]
    fn answers() {
        assert_eq!(read("%1POWR", "%1POWR=1").unwrap().unwrap(), "1");
        assert_eq!(read("%1NAME", "%1NAME=").unwrap().unwrap(), "");
        assert!(read("%1POWR", "%1INPT=31").is_none());
        assert!(read("%1POWR", "").is_none());
        assert_eq!(read("%2FREZ", "%2FREZ=1").unwrap().unwrap(), "1");
        assert!(read("%2INPT", "%1INPT=31").is_none());
        assert!(read("%1POWR", "%1POWR=ERR3").unwrap().unwrap_err().message().contains("cooling"));
        assert!(read("%1POWR", "PJLINK ERRA").unwrap().unwrap_err().message().contains("password"));
    }

    #[test]
    fn reports() {
        assert_eq!(faults("000000"), Vec::<String>::new());
        assert_eq!(faults("210000"), ["fan: error", "lamp: warning"]);
        assert_eq!(lamp_hours("1200 1 350 0"), [1200, 350]);
        assert_eq!(lamp_hours(""), Vec::<u32>::new());
    }
}
