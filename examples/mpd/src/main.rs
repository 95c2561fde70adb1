//! The Music Player Daemon, over TCP port 6600: it answers requests, and tells by itself what changed.
//! How both share a connection is in [`reply`].

mod emulator;
mod reply;
#[cfg(test)]
mod tests;

use drivers_sdk::prelude::*;
use reply::{Answers, Pairs, command, request, value};

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
#[derive(Default)]
struct Song {
    /// Its path, as `add` takes it.
    file: String,
    title: Option<String>,
    artist: Option<String>,
    album: Option<String>,
}

#[derive(Default)]
struct Player {
    /// Something changed, and a refresh is on its way.
    stale: Cell<bool>,
}

/// A Music Player Daemon.
#[driver(
    name = "Music Player Daemon", module = "Music", tcp = 6600, framing = lines("\n"),
    settings = Options, status = State,
)]
impl Player {
    #[login]
    async fn greet(&self, cx: &Cx<Self>) -> Result {
        let version = cx.expect(prefix("OK MPD ")).await?;
        cx.status.set(|status| status.version = Some(version.to_string()));
        if let Some(password) = &cx.settings().password {
            self.ask(cx, &[command("password", &[password.reveal()])]).await?;
        }
        Ok(())
    }

    /// What is no answer to a request is one to `idle`: something changed, perhaps by another client. Changes come
    /// in swarms, so one refresh waits a moment for all of them.
    #[received]
    fn changed(&self, cx: &Cx<Self>, line: &str) {
        if line.starts_with("changed: ") && !self.stale.replace(true) {
            cx.after(millis(20), Self::refresh);
        }
    }

    #[connected]
    async fn refresh(&self, cx: &Cx<Self>) -> Result {
        self.stale.set(false);
        let answers = self.ask(cx, &["status".into(), "currentsong".into()]).await?;
        let [player, song] = &answers[..] else { return Err(Error::device("MPD answered too little")) };
        let number = |name| value(player, name).and_then(|text| text.parse().ok());
        cx.status.set(|status| {
            status.state = value(player, "state").map(Into::into);
            status.volume = value(player, "volume").and_then(|text| text.parse().ok());
            status.position = number("song");
            status.queue_length = number("playlistlength");
            status.error = value(player, "error").map(Into::into);
            status.song = songs(song).pop();
        });
        Ok(())
    }

    /// Plays, from this position of the queue or from where it stopped.
    #[function]
    async fn play(&self, cx: &Cx<Self>, position: Option<u32>) -> Result {
        match position {
            Some(position) => self.tell(cx, "play", &[&position.to_string()]).await,
            None => self.tell(cx, "play", &[]).await,
        }
    }

    /// Pauses, or goes on.
    #[function]
    async fn pause(&self, cx: &Cx<Self>, on: bool) -> Result {
        self.tell(cx, "pause", &[if on { "1" } else { "0" }]).await
    }

    /// Stops.
    #[function]
    async fn stop(&self, cx: &Cx<Self>) -> Result {
        self.tell(cx, "stop", &[]).await
    }

    /// Plays the next song of the queue.
    #[function]
    async fn next(&self, cx: &Cx<Self>) -> Result {
        self.tell(cx, "next", &[]).await
    }

    /// Plays the song before.
    #[function]
    async fn previous(&self, cx: &Cx<Self>) -> Result {
        self.tell(cx, "previous", &[]).await
    }

    /// Sets the volume, in percent.
    #[function]
    async fn volume(&self, cx: &Cx<Self>, percent: u8) -> Result {
        self.tell(cx, "setvol", &[&percent.to_string()]).await
    }

    /// Adds a file, or all files of a folder, to the queue.
    #[function]
    async fn add(&self, cx: &Cx<Self>, path: String) -> Result {
        self.tell(cx, "add", &[&path]).await
    }

    /// Stops, and empties the queue.
    #[function]
    async fn clear(&self, cx: &Cx<Self>) -> Result {
        self.tell(cx, "clear", &[]).await
    }

    /// The songs of the queue, in order.
    #[function]
    async fn queue(&self, cx: &Cx<Self>) -> Result<Vec<Song>> {
        Ok(self.ask(cx, &["playlistinfo".into()]).await?.iter().flat_map(songs).collect())
    }

    /// The songs of the library that have this text somewhere.
    #[function]
    async fn search(&self, cx: &Cx<Self>, text: String) -> Result<Vec<Song>> {
        Ok(self.ask(cx, &[command("search", &["any", &text])]).await?.iter().flat_map(songs).collect())
    }

    async fn tell(&self, cx: &Cx<Self>, name: &str, arguments: &[&str]) -> Result {
        self.ask(cx, &[command(name, arguments)]).await.map(drop)
    }

    async fn ask(&self, cx: &Cx<Self>, commands: &[String]) -> Result<Vec<Pairs>> {
        cx.send(request(commands)).reply(Answers::default()).await
    }
}

/// The songs of an answer: each begins with `file`.
fn songs(pairs: &Pairs) -> Vec<Song> {
    let mut songs: Vec<Song> = Vec::new();
    for (name, value) in pairs {
        if name == "file" {
            songs.push(Song { file: value.clone(), ..Song::default() });
        } else if let Some(song) = songs.last_mut() {
            match name.as_str() {
                "Title" => song.title = Some(value.clone()),
                "Artist" => song.artist = Some(value.clone()),
                "Album" => song.album = Some(value.clone()),
                _ => {}
            }
        }
    }
    songs
}

drivers_sdk::main!(Player, emulator = emulator::Emulator);
