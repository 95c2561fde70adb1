//! A room: turns on and off what its system has, and says whether the room is on.
//!
//! It owns no device. It calls the modules of its system by name and follows their status, so a display that somebody
//! turns on by hand turns the room on too. Modules that are missing, or that fail, are left out and named.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use drivers_sdk::interfaces::Powerable;
use drivers_sdk::prelude::*;

#[derive(Settings)]
struct Options {
    /// Name of the modules that show pictures.
    #[setting(default = "Display")]
    display: String,
    /// Name of the module that plays music.
    #[setting(default = "Music")]
    music: String,
    /// The input that displays show when the room is turned on; leave it out to keep theirs.
    input: Option<String>,
    /// What to play when the room is turned on; leave it out for silence.
    music_folder: Option<String>,
    /// Volume of the music, in percent.
    #[setting(default = 30)]
    music_volume: u8,
}

#[derive(Default, Status)]
struct State {
    /// Whether anything in the room is on; absent while no module has said so.
    power: Option<bool>,
    /// It is being turned on or off.
    busy: bool,
    /// Modules that failed when the room was turned on or off last, with the reason.
    failed: BTreeMap<String, String>,
}

#[derive(Default)]
struct Room {
    /// What each module says of itself.
    on: RefCell<BTreeMap<String, bool>>,
    /// The room was turned on, or off.
    wanted: Cell<bool>,
    /// Displays that refused, to be asked again when they have warmed up or cooled down.
    again: RefCell<BTreeSet<u32>>,
}

/// Turns a room on and off through its system's modules.
#[driver(name = "Room", module = "Room", logic, settings = Options, status = State, implements(Powerable))]
impl Room {
    #[follow]
    fn follow(&self, cx: &Cx<Self>) {
        self.on.take();
        self.again.take();
        let (settings, system) = (cx.settings(), cx.system());
        for index in 1..=system.count(&settings.display) {
            let display = system.module(&settings.display, index);
            display.subscribe("power_state", async move |room, cx, state: Option<String>| {
                room.display(cx, index, state.as_deref()).await
            });
        }
        if system.count(&settings.music) > 0 {
            let music = system.module(&settings.music, 1);
            music.subscribe("state", async |room: &Room, cx: &Cx<Room>, state: Option<String>| {
                let name = cx.settings().music.clone();
                room.heard(cx, name, state.map(|state| state == "play"));
            });
        }
        self.publish(cx);
    }

    async fn display(&self, cx: &Cx<Self>, index: u32, state: Option<&str>) -> Result {
        let settings = cx.settings();
        let name = format!("{}_{index}", settings.display);
        self.heard(cx, name.clone(), state.map(|state| matches!(state, "on" | "warming")));
        let display = cx.system().module(&settings.display, index);
        if matches!(state, Some("on" | "standby")) && self.again.borrow_mut().remove(&index) {
            display.call("power", (self.wanted.get(),)).await?;
            cx.status.set(|status| status.failed.remove(&name));
        } else if let (Some(input), true, Some("on")) = (&settings.input, self.wanted.get(), state) {
            display.call("input", (input,)).await?;
        }
        Ok(())
    }

    /// A module says whether it is on, or says nothing any more.
    fn heard(&self, cx: &Cx<Self>, name: String, on: Option<bool>) {
        match on {
            Some(on) => self.on.borrow_mut().insert(name, on),
            None => self.on.borrow_mut().remove(&name),
        };
        self.publish(cx);
    }

    fn publish(&self, cx: &Cx<Self>) {
        let on = self.on.borrow();
        let power = (!on.is_empty()).then(|| on.values().any(|on| *on));
        cx.status.set(|status| status.power = power);
    }

    async fn music(&self, cx: &Cx<Self>, on: bool) -> Result {
        let settings = cx.settings();
        let player = cx.system().module(&settings.music, 1);
        let folder = settings.music_folder.as_deref().filter(|folder| on && !folder.is_empty());
        let Some(folder) = folder else { return player.call("stop", ()).await.map(drop) };
        player.call("clear", ()).await?;
        player.call("add", (folder,)).await?;
        player.call("volume", (settings.music_volume,)).await?;
        player.call("play", ()).await.map(drop)
    }
}

impl Powerable for Room {
    /// Modules that fail do not stop the others: they are named in `failed`. A display that
    /// refuses because it warms up or cools down is asked again when that is over.
    async fn power(&self, cx: &Cx<Self>, on: bool) -> Result<bool> {
        self.wanted.set(on);
        cx.status.set(|status| status.busy = true);
        let (settings, system) = (cx.settings(), cx.system());
        let mut failed = BTreeMap::new();
        let displays = system.all(&settings.display).call("power", (on,)).await;
        let count = displays.len();
        self.again.take();
        for (index, result) in (1..).zip(displays) {
            if let Err(error) = result {
                self.again.borrow_mut().insert(index);
                failed.insert(format!("{}_{index}", settings.display), error.to_string());
            }
        }
        let music = system.count(&settings.music) > 0;
        if music && let Err(error) = self.music(cx, on).await {
            failed.insert(settings.music.clone(), error.to_string());
        }
        let tried = count + usize::from(music);
        let message = match failed.len() {
            all if all == tried && tried > 0 => {
                Some(format!("nothing in the room could be switched: {failed:?}"))
            }
            _ => None,
        };
        cx.status.set(|status| (status.busy, status.failed) = (false, failed));
        message.map_or(Ok(on), |message| Err(Error::driver(message)))
    }
}

drivers_sdk::main!(Room);
