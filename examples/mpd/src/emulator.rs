//! A Music Player Daemon with a small library and no sound: enough of its protocol for the driver and for a person
//! with `nc`. Connections share the player; each has its own `idle`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::{Rc, Weak};

use drivers_sdk::emulator::{Device, DeviceStream, DeviceWriter};
use drivers_sdk::prelude::*;

use crate::Options;

const LIBRARY: [(&str, &str, &str); 4] = [
    ("lobby/rain.ogg", "Rain on the Roof", "The Gutters"),
    ("lobby/noon.ogg", "High Noon", "The Sundials"),
    ("rooms/quiet.ogg", "Quiet, Please", "The Librarians"),
    ("rooms/applause.ogg", "Applause", "The Audience"),
];

/// The player as a device that connections share.
pub struct Emulator {
    player: RefCell<Player>,
    peers: RefCell<Vec<Weak<Peer>>>,
}

struct Peer {
    session: RefCell<Session>,
    writer: DeviceWriter,
}

impl Device for Emulator {
    type Settings = Options;

    fn create(settings: Options) -> Result<Self> {
        let player = Player { password: settings.password, ..Player::new() };
        Ok(Emulator { player: RefCell::new(player), peers: RefCell::default() })
    }

    async fn session(&self, mut stream: DeviceStream) -> Result {
        stream.framing(lines("\n"));
        let peer = Rc::new(Peer { session: RefCell::default(), writer: stream.writer() });
        self.peers.borrow_mut().push(Rc::downgrade(&peer));
        peer.send(GREETING).await?;
        while let Some(line) = stream.next().await? {
            let (answer, changed) =
                peer.session.borrow_mut().line(&mut self.player.borrow_mut(), &line.text());
            peer.send(&answer).await?;
            self.tell(&changed).await;
        }
        Ok(())
    }
}

impl Emulator {
    /// Tells every connection what changed.
    async fn tell(&self, changed: &[&'static str]) {
        if changed.is_empty() {
            return;
        }
        self.peers.borrow_mut().retain(|peer| peer.strong_count() > 0);
        let peers: Vec<_> = self.peers.borrow().iter().filter_map(Weak::upgrade).collect();
        for peer in peers {
            let text = peer.session.borrow_mut().changed(changed);
            // One that has gone away is no concern of the others.
            let _ = peer.send(&text).await;
        }
    }
}

impl Peer {
    /// Sends whole lines, or nothing.
    async fn send(&self, text: &str) -> Result {
        match text.strip_suffix('\n') {
            Some(lines) => self.writer.send(lines).await,
            None => Ok(()),
        }
    }
}

/// The player, which outlasts connections.
#[derive(Default)]
pub struct Player {
    /// Indices into the library.
    queue: Vec<usize>,
    /// Position in the queue.
    song: usize,
    state: State,
    volume: u8,
    random: bool,
    password: Option<Secret>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum State {
    #[default]
    Stop,
    Play,
    Pause,
}

/// What one connection knows.
#[derive(Default)]
pub struct Session {
    idle: bool,
    /// What changed since `idle` was last answered.
    changed: BTreeSet<&'static str>,
    /// The commands of an open command list, and whether each is answered by `list_OK`.
    list: Option<(Vec<String>, bool)>,
}

const GREETING: &str = "OK MPD 0.24.0\n";

impl Session {
    /// Another connection changed something: what to send, if this one waits.
    pub fn changed(&mut self, subsystems: &[&'static str]) -> String {
        self.changed.extend(subsystems);
        self.notify()
    }

    fn notify(&mut self) -> String {
        if !self.idle || self.changed.is_empty() {
            return String::new();
        }
        self.idle = false;
        std::mem::take(&mut self.changed).iter().map(|name| format!("changed: {name}\n")).collect::<String>()
            + "OK\n"
    }

    /// Answers a line. The second part is what it changed, for all sessions including this one.
    pub fn line(&mut self, player: &mut Player, line: &str) -> (String, Vec<&'static str>) {
        let nothing = |text: &str| (text.to_owned(), Vec::new());
        match (line, &mut self.list) {
            ("noidle", _) if self.idle => {
                self.idle = false;
                nothing("OK\n")
            }
            ("noidle", _) => nothing(""),
            ("idle", None) => {
                self.idle = true;
                (self.notify(), Vec::new())
            }
            ("command_list_begin" | "command_list_ok_begin", None) => {
                self.list = Some((Vec::new(), line == "command_list_ok_begin"));
                nothing("")
            }
            ("command_list_end", list) => {
                let (commands, marked) = list.take().unwrap_or_default();
                player.list(&commands, if marked { "list_OK\n" } else { "" })
            }
            (_, Some((commands, _))) => {
                commands.push(line.to_owned());
                nothing("")
            }
            (_, None) => player.list(&[line.to_owned()], ""),
        }
    }
}

impl Player {
    pub fn new() -> Self {
        Player { queue: vec![0, 1], volume: 50, ..Player::default() }
    }

    fn list(&mut self, commands: &[String], mark: &str) -> (String, Vec<&'static str>) {
        let (mut out, mut changed) = (String::new(), Vec::new());
        for (index, line) in commands.iter().enumerate() {
            let words = words(line);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            match self.command(&words, &mut changed) {
                Ok(answer) => out += &(answer + mark),
                Err((code, message)) => {
                    // MPD names only commands that it knows.
                    let name = words.first().copied().filter(|_| code != 5).unwrap_or_default();
                    return (out + &format!("ACK [{code}@{index}] {{{name}}} {message}\n"), changed);
                }
            }
        }
        (out + "OK\n", changed)
    }

    fn command(&mut self, words: &[&str], changed: &mut Vec<&'static str>) -> Result<String, (u8, String)> {
        let number = |text: &str| text.parse::<usize>().map_err(|_| (2, format!("Integer expected: {text}")));
        match words {
            ["ping"] => {}
            ["password", given] => match &self.password {
                Some(password) if password.reveal() == *given => {}
                _ => return Err((3, "incorrect password".into())),
            },
            ["status"] => return Ok(self.status()),
            ["currentsong"] => {
                return Ok(self.queue.get(self.song).map_or_else(String::new, |song| describe(*song)));
            }
            ["play"] => self.play(self.song, changed)?,
            ["play", position] => self.play(number(position)?, changed)?,
            ["pause", flag] if self.state != State::Stop => {
                self.state = if *flag == "1" { State::Pause } else { State::Play };
                changed.push("player");
            }
            ["pause", _] => {}
            ["stop"] => {
                self.state = State::Stop;
                changed.push("player");
            }
            ["next"] => match self.song + 1 < self.queue.len() {
                true => self.play(self.song + 1, changed)?,
                false => self.state = State::Stop,
            },
            ["previous"] => self.play(self.song.saturating_sub(1), changed)?,
            ["setvol", volume] => match number(volume)? {
                volume @ 0..=100 => {
                    self.volume = volume as u8;
                    changed.push("mixer");
                }
                _ => return Err((2, "Invalid volume value".into())),
            },
            ["random", flag] => {
                self.random = *flag == "1";
                changed.push("options");
            }
            ["add", uri] => {
                let before = self.queue.len();
                self.queue.extend((0..LIBRARY.len()).filter(|song| LIBRARY[*song].0.starts_with(uri)));
                if self.queue.len() == before {
                    return Err((50, "No such directory".into()));
                }
                changed.push("playlist");
            }
            ["clear"] => {
                (self.queue, self.song, self.state) = (Vec::new(), 0, State::Stop);
                changed.extend(["playlist", "player"]);
            }
            ["playlistinfo"] => return Ok(self.queue.iter().map(|song| describe(*song)).collect()),
            ["search", "any", text] => {
                let text = text.to_lowercase();
                let found =
                    (0..LIBRARY.len()).map(describe).filter(|song| song.to_lowercase().contains(&text));
                return Ok(found.collect());
            }
            _ => return Err((5, format!("unknown command \"{}\"", words.first().unwrap_or(&"")))),
        }
        Ok(String::new())
    }

    fn play(&mut self, position: usize, changed: &mut Vec<&'static str>) -> Result<(), (u8, String)> {
        if position >= self.queue.len() && position > 0 {
            return Err((2, "Bad song index".into()));
        }
        if !self.queue.is_empty() {
            (self.song, self.state) = (position, State::Play);
            changed.push("player");
        }
        Ok(())
    }

    fn status(&self) -> String {
        let state = match self.state {
            State::Stop => "stop",
            State::Play => "play",
            State::Pause => "pause",
        };
        let (volume, random, length) = (self.volume, u8::from(self.random), self.queue.len());
        let mut text = format!(
            "volume: {volume}\nrepeat: 0\nrandom: {random}\nplaylistlength: {length}\nstate: {state}\n"
        );
        if self.state != State::Stop {
            text += &format!("song: {}\nelapsed: 0.000\n", self.song);
        }
        text
    }
}

fn describe(song: usize) -> String {
    let (file, title, artist) = LIBRARY[song];
    format!("file: {file}\nTitle: {title}\nArtist: {artist}\n")
}

/// The words of a command line; those in quotes may hold spaces and `\"`.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted => (quoted, _) = (false, words.extend(word.take())),
            '"' => (quoted, word) = (true, Some(String::new())),
            ' ' if !quoted => words.extend(word.take()),
            '\\' if quoted => word.get_or_insert_default().extend(characters.next()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the session answers to commands that are put to it from `idle`, and that it tells of what they change.
    fn ask(player: &mut Player, session: &mut Session, commands: &str) -> String {
        let mut out = String::new();
        for line in format!("noidle\ncommand_list_ok_begin\n{commands}\ncommand_list_end\nidle").lines() {
            let (answer, changed) = session.line(player, line);
            out += &answer;
            out += &session.changed(&changed);
        }
        out
    }

    #[test]
    fn requests_are_answered_from_idle_and_changes_are_told() {
        let (mut player, mut session, mut other) = (Player::new(), Session::default(), Session::default());
        let said = ask(&mut player, &mut session, "status\ncurrentsong");
        assert!(said.starts_with("volume: 50\n") && said.contains("state: stop\nlist_OK\nfile: "), "{said}");
        assert!(said.ends_with("Title: Rain on the Roof\nArtist: The Gutters\nlist_OK\nOK\n"), "{said}");

        // It waits in idle: `noidle` is answered first, and the change that the request makes after it.
        let said = ask(&mut player, &mut session, "play 1");
        assert_eq!(said, "OK\nlist_OK\nOK\nchanged: player\nOK\n");
        let said = ask(&mut player, &mut session, "play 9");
        assert_eq!(said, "ACK [2@0] {play} Bad song index\n", "it waited no more");

        // What another connection changes is told to the one that waits.
        let (_, changed) = other.line(&mut player, "setvol 20");
        assert_eq!(session.changed(&changed), "changed: mixer\nOK\n");
        assert_eq!(session.changed(&changed), "", "it waits no more");
        assert_eq!(session.line(&mut player, "idle").0, "changed: mixer\nOK\n", "but nothing is lost");
    }

    #[test]
    fn the_queue_takes_files_and_folders() {
        let (mut player, mut session) = (Player::new(), Session::default());
        let said = ask(&mut player, &mut session, "clear\nadd \"rooms\"\nsearch any \"quiet, p\"");
        assert!(said.starts_with("list_OK\nlist_OK\nfile: rooms/quiet.ogg\n"), "{said}");
        assert_eq!(player.queue, [2, 3]);
        let said = ask(&mut player, &mut session, "add attic");
        assert!(said.contains("{add} No such directory"), "{said}");
    }

    #[test]
    fn words_may_be_quoted() {
        assert_eq!(words(r#"add "a \"b\" \\c" d"#), ["add", r#"a "b" \c"#, "d"]);
        assert_eq!(words(r#"x """#), ["x", ""]);
    }
}
