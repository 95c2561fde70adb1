//! What a Music Player Daemon answers, and how requests are put to it.
//!
//! At rest the connection waits in `idle`, in which MPD tells at once what changed and takes no command but `noidle`.
//! So a request leaves `idle`, goes as a command list, and returns to `idle`, all in one write ([`request`]). MPD
//! ignores `noidle` when it is not waiting, and marks what a list answers with `list_OK`, so that an answer to `idle`
//! is never taken for the answer to a request, whatever happens at the same moment.

use drivers_sdk::Error;
use drivers_sdk::matcher::{Match, Matcher};

/// Lines `name: value`, in order.
pub type Pairs = Vec<(String, String)>;

/// Takes the answers to a request, one [`Pairs`] for each of its commands, and leaves the answers to `idle` alone.
#[derive(Debug, Default)]
pub struct Answers {
    pairs: Pairs,
    answers: Vec<Pairs>,
}

impl Matcher for Answers {
    type Output = Vec<Pairs>;

    fn offer(&mut self, line: &[u8]) -> Match<Vec<Pairs>> {
        let line = String::from_utf8_lossy(line);
        if let Some(error) = line.strip_prefix("ACK ") {
            return Match::Done(Err(Error::device(format!("MPD refused: {}", refusal(error)))));
        }
        match &*line {
            "OK" if self.answers.is_empty() => return Match::No,
            "OK" => return Match::Done(Ok(std::mem::take(&mut self.answers))),
            "list_OK" => self.answers.push(std::mem::take(&mut self.pairs)),
            line if line.starts_with("OK MPD ") || line.starts_with("changed: ") => return Match::No,
            line => self.pairs.extend(line.split_once(": ").map(|(name, value)| (name.into(), value.into()))),
        }
        Match::More
    }

    fn reset(&mut self) {
        *self = Answers::default();
    }
}

/// The message of `[50@0] {play} Bad song index`.
fn refusal(error: &str) -> &str {
    error.split_once("} ").map_or(error, |(_, message)| message)
}

/// What to send for these commands, but for the last end of line: [`Answers`] takes what they are answered with.
pub fn request<S: AsRef<str>>(commands: &[S]) -> String {
    let mut text = String::from("noidle\ncommand_list_ok_begin\n");
    for command in commands {
        text.push_str(command.as_ref());
        text.push('\n');
    }
    text.push_str("command_list_end\nidle");
    text
}

/// A command with its arguments, each in quotes. An argument cannot hold a line break: it ends there.
pub fn command(name: &str, arguments: &[&str]) -> String {
    let mut text = name.to_owned();
    for argument in arguments {
        text.push_str(" \"");
        for character in argument.chars().take_while(|character| *character != '\n') {
            if matches!(character, '"' | '\\') {
                text.push('\\');
            }
            text.push(character);
        }
        text.push('"');
    }
    text
}

/// The value of `name`, if the answer has it.
pub fn value<'a>(pairs: &'a Pairs, name: &str) -> Option<&'a str> {
    pairs.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use drivers_sdk::Result;

    /// What the matcher takes of these lines, and what it leaves.
    fn read(text: &str) -> (Option<Result<Vec<Pairs>>>, Vec<&str>) {
        let (mut answers, mut left) = (Answers::default(), Vec::new());
        for line in text.lines() {
            match answers.offer(line.as_bytes()) {
                Match::No => left.push(line),
                Match::More => {}
                Match::Done(result) => return (Some(result), left),
            }
        }
        (None, left)
    }

    #[test]
    fn answers_to_idle_and_to_requests_are_told_apart() {
        let (answers, left) = read(
            "OK MPD 0.24.0\nchanged: mixer\nOK\nvolume: 40\nstate: play\nlist_OK\nfile: a: b.ogg\nlist_OK\nOK\n",
        );
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected =
            vec![vec![pair("volume", "40"), pair("state", "play")], vec![pair("file", "a: b.ogg")]];
        assert_eq!(answers.unwrap().unwrap(), expected);
        assert_eq!(left, ["OK MPD 0.24.0", "changed: mixer", "OK"]);
        assert_eq!(read("OK\nlist_OK\nOK\n").0.unwrap().unwrap(), [vec![]], "no answer is an answer too");
        assert!(read("OK\nvolume: 40\nlist_OK\n").0.is_none(), "it waits for the end");
    }

    #[test]
    fn a_refusal_ends_the_request() {
        let (answers, _) = read("OK\nvolume: 40\nlist_OK\nACK [2@1] {setvol} Integer expected: x\n");
        assert_eq!(answers.unwrap().unwrap_err().message(), "MPD refused: Integer expected: x");
    }

    #[test]
    fn requests_leave_and_enter_idle() {
        assert_eq!(
            request(&["status", "currentsong"]),
            "noidle\ncommand_list_ok_begin\nstatus\ncurrentsong\ncommand_list_end\nidle"
        );
    }

    #[test]
    fn arguments_are_quoted() {
        assert_eq!(command("add", &[r#"a "b" \c"#]), r#"add "a \"b\" \\c""#);
        assert_eq!(command("add", &["x\nkill"]), r#"add "x""#);
        assert_eq!(command("stop", &[]), "stop");
    }
}
