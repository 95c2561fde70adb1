//! The Music Player Daemon, over TCP port 6600: it answers requests, and tells by itself what changed.
//!
//! At rest the connection waits in `idle`, in which MPD tells at once what changed and takes no command but `noidle`.
//! So a request leaves `idle`, goes as a command list, and returns to `idle`, all in one write. MPD ignores `noidle` when it
//! is not waiting, and marks what a list answers with `list_OK`, so that an answer to `idle` is never taken for the answer
//! to a request, whatever happens at the same moment.

mod emulator;
#[cfg(test)]
mod tests;

use drivers_sdk::prelude::*;

#[derive(Settings)]
pub struct Options {
    /// Password of the server; leave it out if it has none.
    password: Option<Secret>,
}

#[derive(Default, Status)]
struct State {
    /// `play`, `pause` or `stop`.
    state: Option<String>,
    /// Percent; absent if the output has no volume.
    volume: Option<u8>,
    /// What plays, or would play next.
    song: Option<Song>,
    /// Position of that song in the queue.
    position: Option<u32>,
    /// Songs in the queue.
    queue_length: Option<u32>,
    /// Why the player stopped, if it did so by itself.
    error: Option<String>,
    /// Of the protocol that the server speaks.
    version: Option<String>,
}

/// A song as the library knows it.
#[data]
struct Song {
    /// Its path, as `add` takes it.
    file: String,
    title: Option<String>,
    artist: Option<String>,
    album: Option<String>,
}

/// A line `name: value` of an answer.
type Pair = (String, String);

#[derive(Default)]
struct Player;

/// A Music Player Daemon.
#[driver(
    name = "Music Player Daemon", module = "Music", tcp = 6600, framing = lines("\n").send(""), refusal = why,
    settings = Options, status = State,
)]
impl Player {
    #[login]
    async fn greet(&self, cx: &Cx<Self>) -> Result {
        let version = cx.expect(prefix("OK MPD ")).await?;
        cx.status.set(|status| status.version = Some(version.to_string()));
        if let Some(password) = &cx.settings().password {
            self.ask(cx, "password", &[password.reveal()]).await?;
        }
        Ok(())
    }

    /// Something changed, perhaps by another client.
    #[received]
    fn changed(&self, cx: &Cx<Self>, line: &str) {
        if line.starts_with("changed: ") {
            cx.poll_soon(millis(20));
        }
    }

    /// Only when something has changed.
    #[poll(every = secs(0))]
    async fn refresh(&self, cx: &Cx<Self>) -> Result {
        let now = self.ask(cx, "status\ncurrentsong", &[]).await?;
        let number = |name| value(&now, name)?.parse().ok();
        cx.status.set(|status| {
            status.state = value(&now, "state");
            status.volume = value(&now, "volume").and_then(|text| text.parse().ok());
            status.position = number("song");
            status.queue_length = number("playlistlength");
            status.error = value(&now, "error");
            status.song = songs(&now).pop();
        });
        Ok(())
    }

    /// Plays, from this position of the queue or from where it stopped.
    #[function]
    async fn play(&self, cx: &Cx<Self>, position: Option<u32>) -> Result {
        let position = position.map(|position| position.to_string());
        self.ask(cx, "play", position.as_deref().as_slice()).await.map(drop)
    }

    /// Pauses, or goes on.
    #[function]
    async fn pause(&self, cx: &Cx<Self>, on: bool) -> Result {
        self.ask(cx, "pause", &[if on { "1" } else { "0" }]).await.map(drop)
    }

    /// Stops.
    #[function]
    async fn stop(&self, cx: &Cx<Self>) -> Result {
        self.ask(cx, "stop", &[]).await.map(drop)
    }

    /// Plays the next song of the queue.
    #[function]
    async fn next(&self, cx: &Cx<Self>) -> Result {
        self.ask(cx, "next", &[]).await.map(drop)
    }

    /// Plays the song before.
    #[function]
    async fn previous(&self, cx: &Cx<Self>) -> Result {
        self.ask(cx, "previous", &[]).await.map(drop)
    }

    /// Sets the volume, in percent.
    #[function]
    async fn volume(&self, cx: &Cx<Self>, percent: u8) -> Result {
        self.ask(cx, "setvol", &[&percent.to_string()]).await.map(drop)
    }

    /// Adds a file, or all files of a folder, to the queue.
    #[function]
    async fn add(&self, cx: &Cx<Self>, path: String) -> Result {
        self.ask(cx, "add", &[&path]).await.map(drop)
    }

    /// Stops, and empties the queue.
    #[function]
    async fn clear(&self, cx: &Cx<Self>) -> Result {
        self.ask(cx, "clear", &[]).await.map(drop)
    }

    /// The songs of the queue, in order.
    #[function]
    async fn queue(&self, cx: &Cx<Self>) -> Result<Vec<Song>> {
        Ok(songs(&self.ask(cx, "playlistinfo", &[]).await?))
    }

    /// The songs of the library that have this text somewhere.
    #[function]
    async fn search(&self, cx: &Cx<Self>, text: String) -> Result<Vec<Song>> {
        Ok(songs(&self.ask(cx, "search", &["any", &text]).await?))
    }

    /// Has it obey a command, or several without arguments, each a line; all that they are answered with.
    async fn ask(&self, cx: &Cx<Self>, command: &str, arguments: &[&str]) -> Result<Vec<Pair>> {
        // An argument ends where its line does: what follows would be another command.
        let quoted =
            |text: &&str| text.lines().next().unwrap_or("").replace('\\', r"\\").replace('"', "\\\"");
        let arguments: String = arguments.iter().map(|text| format!(" \"{}\"", quoted(text))).collect();
        let request =
            format!("noidle\ncommand_list_ok_begin\n{command}{arguments}\ncommand_list_end\nidle\n");
        let to_idle = exact("OK").or(prefix("changed: ").map(drop));
        let mut waiting = command.lines().count();
        let end = matching(move |line| {
            waiting -= usize::from(waiting > 0 && line == b"list_OK");
            waiting == 0
        });
        let answer = lines_until(end).except(to_idle);
        let pair =
            |line: &Frame| line.text().split_once(": ").map(|(name, value)| (name.into(), value.into()));
        Ok(cx.send(request).reply(answer).await?.iter().filter_map(pair).collect())
    }
}

/// `ACK [50@0] {play} Bad song index`.
fn why(line: &str) -> Option<String> {
    let error = line.strip_prefix("ACK ")?;
    Some(format!("MPD refused: {}", error.split_once("} ").map_or(error, |(_, message)| message)))
}

/// The songs of an answer: each begins with `file`.
fn songs(pairs: &[Pair]) -> Vec<Song> {
    let song = |pairs: &[Pair]| {
        let (title, artist, album) = (value(pairs, "Title"), value(pairs, "Artist"), value(pairs, "Album"));
        Some(Song { file: value(pairs, "file")?, title, artist, album })
    };
    pairs.chunk_by(|_, (name, _)| name != "file").filter_map(song).collect()
}

fn value(pairs: &[Pair], name: &str) -> Option<String> {
    pairs.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
}

drivers_sdk::main!(Player, emulator = emulator::Emulator);
