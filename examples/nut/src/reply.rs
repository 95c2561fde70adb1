//! What a Network UPS Tools server (`upsd`) answers.

use drivers_sdk::matcher::Match;
use drivers_sdk::prelude::*;

/// Any refusal, as an error.
pub fn refused() -> impl Matcher<Output = ()> {
    parse_bytes(|line| refusal(&String::from_utf8_lossy(line)).map(|why| Err(Error::device(why))))
}

/// The answers to user name and password, if they are sent, and to a command: `lines` in all.
pub fn login(lines: usize) -> impl Matcher<Output = ()> {
    Login { lines, seen: 0, refusal: None }
}

struct Login {
    lines: usize,
    seen: usize,
    refusal: Option<String>,
}

impl Matcher for Login {
    type Output = ();

    fn offer(&mut self, line: &[u8]) -> Match<()> {
        self.seen += 1;
        let line = String::from_utf8_lossy(line);
        // The connection may still be that of the last command.
        let known = line.starts_with("ERR ALREADY-SET-");
        if let (None, false) = (&self.refusal, known) {
            self.refusal = refusal(&line);
        }
        match self.refusal.take_if(|_| self.seen == self.lines) {
            Some(why) => Match::Done(Err(Error::device(why))),
            None if self.seen < self.lines => Match::More,
            None => Match::Done(Ok(())),
        }
    }

    fn reset(&mut self) {
        (self.seen, self.refusal) = (0, None);
    }
}

/// An argument of a request: one that could be taken for more than one is refused.
pub fn word<'a>(what: &str, text: &'a str) -> Result<&'a str> {
    let plain = |character: char| {
        !character.is_whitespace() && !character.is_control() && !"\"\\#=".contains(character)
    };
    match !text.is_empty() && text.chars().all(plain) {
        true => Ok(text),
        false => Err(Error::bad_request(format!(
            "{what} must be a word, without spaces, quotes, `\\`, `#` or `=`"
        ))),
    }
}

/// Why it refused: the code of `ERR code`, as a sentence.
fn refusal(line: &str) -> Option<String> {
    let code = line.strip_prefix("ERR ")?;
    let code = code.split(' ').next().unwrap_or(code);
    let sentence = match code {
        "ACCESS-DENIED" => "the server refused the user name or password, or this user may not do that",
        "UNKNOWN-UPS" => "the server has no UPS of that name",
        "VAR-NOT-SUPPORTED" => "the UPS has no such variable",
        "CMD-NOT-SUPPORTED" => "the UPS has no such command",
        "INSTCMD-FAILED" => "the UPS failed to carry out the command",
        "DATA-STALE" => "the server has lost contact with the UPS",
        "DRIVER-NOT-CONNECTED" => "the server is not connected to the UPS",
        "USERNAME-REQUIRED" => "the server wants a user name: set `username`",
        "PASSWORD-REQUIRED" => "the server wants a password: set `password`",
        other => other,
    };
    Some(sentence.to_owned())
}

/// `VAR ups battery.charge "100"`: name and value, if the line is one of this UPS.
pub fn variable(ups: &str, line: &str) -> Option<(String, String)> {
    let (name, quoted) = line.strip_prefix("VAR ")?.strip_prefix(ups)?.strip_prefix(' ')?.split_once(' ')?;
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let mut value = String::new();
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        value.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    Some((name.to_owned(), value))
}

/// What the words of `ups.status` say: `OL CHRG`, `OB LB`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Flags {
    pub online: bool,
    pub on_battery: bool,
    pub low_battery: bool,
    pub replace_battery: bool,
    pub charging: bool,
    pub overload: bool,
}

impl Flags {
    pub fn read(status: &str) -> Flags {
        let has = |word| status.split(' ').any(|found| found == word);
        Flags {
            online: has("OL"),
            on_battery: has("OB"),
            low_battery: has("LB"),
            replace_battery: has("RB"),
            charging: has("CHRG"),
            overload: has("OVER"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables() {
        let found = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
        assert_eq!(variable("rack", r#"VAR rack battery.charge "87""#), found("battery.charge", "87"));
        assert_eq!(variable("rack", r#"VAR rack ups.id "a \"b\" \\""#), found("ups.id", r#"a "b" \"#));
        assert_eq!(variable("rack", r#"VAR other battery.charge "87""#), None);
        assert_eq!(variable("rack", r#"VAR rackety battery.charge "87""#), None);
        assert_eq!(variable("rack", "END LIST VAR rack"), None);
    }

    #[test]
    fn refusals() {
        assert!(refusal("ERR ACCESS-DENIED").unwrap().contains("refused"));
        assert_eq!(refusal("ERR NEW-TROUBLE some detail").unwrap(), "NEW-TROUBLE");
        assert_eq!(refusal("OK"), None);
    }

    #[test]
    fn a_login_is_answered_line_by_line() {
        let told = |lines: &[&str]| {
            let mut login = login(3);
            lines.iter().map(|line| login.offer(line.as_bytes())).last().unwrap()
        };
        assert!(matches!(told(&["OK", "OK"]), Match::More));
        assert!(matches!(told(&["OK", "OK", "OK"]), Match::Done(Ok(()))));
        assert!(matches!(
            told(&["ERR ALREADY-SET-USERNAME", "ERR ALREADY-SET-PASSWORD", "OK"]),
            Match::Done(Ok(()))
        ));
        assert!(matches!(told(&["OK", "OK", "ERR ACCESS-DENIED"]), Match::Done(Err(_))));
        assert!(
            matches!(told(&["ERR ACCESS-DENIED", "OK"]), Match::More),
            "nothing is left for the next command"
        );
        assert!(matches!(told(&["ERR ACCESS-DENIED", "OK", "OK"]), Match::Done(Err(_))));
    }

    #[test]
    fn an_argument_cannot_smuggle_a_request() {
        assert_eq!(word("the variable", "battery.charge").unwrap(), "battery.charge");
        for text in ["", "a b", "a\nINSTCMD rack load.off", "\"a\"", "a\\"] {
            assert_eq!(word("the variable", text).unwrap_err().code(), "bad_request", "{text:?}");
        }
    }

    #[test]
    fn flags() {
        assert_eq!(Flags::read("OL CHRG"), Flags { online: true, charging: true, ..Flags::default() });
        assert_eq!(Flags::read("OB LB"), Flags { on_battery: true, low_battery: true, ..Flags::default() });
        assert_eq!(Flags::read("OFFLB"), Flags::default(), "whole words only");
    }
}
