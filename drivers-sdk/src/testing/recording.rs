//! A recording as the device at the other end of the link.
//!
//! What matches what is [`replay`](drivers_sdk_protocol::replay)'s; here are its sessions. What the device still has to say
//! when the next command comes, it says at once, before it answers.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;

use drivers_sdk_protocol::message::Form;
use drivers_sdk_protocol::replay::{Commands, Player, Said};
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio::time::sleep;

use super::device::Far;
use super::harness::Harness;
use super::report::text;
use super::step::Step;
use crate::driver::Driver;
use crate::emulator::DeviceStream;
use crate::error::Result;

struct Replay {
    /// For errors.
    path: PathBuf,
    player: RefCell<Player>,
}

impl<D: Driver> Harness<D> {
    /// Starts a module with the settings' defaults, connected to a device that a recording plays: one that `headend record`
    /// has saved. The path is relative to the package. `docs/recording.md` says what it answers.
    pub fn replaying(recording: impl AsRef<Path>) -> Step<Harness<D>> {
        Harness::replaying_with(recording, json!({}))
    }

    /// As [`replaying`](Self::replaying), with these settings. A password need not be that of the recording, in which it is
    /// hidden.
    pub fn replaying_with(recording: impl AsRef<Path>, settings: Value) -> Step<Harness<D>> {
        let path = recording.as_ref().to_owned();
        Step::new(async move {
            let unusable = |error: String| format!("{}: {error}", path.display());
            let recorded = std::fs::read_to_string(&path).map_err(|error| unusable(error.to_string()))?;
            let player = Player::read(&recorded).map_err(|error| unusable(error.to_string()))?;
            let device: Rc<dyn Far> = Rc::new(Replay { path, player: RefCell::new(player) });
            Harness::beside(device, settings).outcome().await
        })
    }
}

impl Far for Replay {
    fn serve(self: Rc<Self>, stream: DuplexStream, messages: bool) -> Pin<Box<dyn Future<Output = Result>>> {
        let stream = if messages { DeviceStream::messages(stream) } else { DeviceStream::new(stream) };
        Box::pin(async move { self.session(stream).await })
    }
}

impl Replay {
    async fn session(&self, mut stream: DeviceStream) -> Result {
        let writer = stream.writer();
        let say = async |said: Said| match said.form {
            Form::Text => writer.send_text(String::from_utf8_lossy(&said.bytes)).await,
            Form::Bytes => writer.send(said.bytes).await,
        };
        let mut commands = self.player.borrow().commands();
        let mut to_say: VecDeque<Said> = self.player.borrow_mut().connect().into();
        loop {
            let next = to_say.front().map(|said| said.after);
            let pause = async {
                match next {
                    Some(pause) => sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            let arrived = tokio::select! {
                biased;
                arrived = stream.next() => arrived?,
                () = pause => {
                    if let Some(said) = to_say.pop_front() {
                        say(said).await?;
                    }
                    continue;
                }
            };
            let Some(arrived) = arrived else { return Ok(()) };
            for said in to_say.drain(..) {
                say(said).await?;
            }
            to_say = self.answers(&mut commands, &arrived).into();
        }
    }

    /// Says nothing to what was not recorded, as a device does that does not understand; but the test's output has it.
    fn answers(&self, commands: &mut Commands, arrived: &[u8]) -> Vec<Said> {
        let mut answers = Vec::new();
        for command in commands.arrived(arrived) {
            match self.player.borrow_mut().answer(&command) {
                Some(said) => answers.extend(said),
                None => eprintln!("{} has nothing like {}", self.path.display(), text(&command)),
            }
        }
        answers
    }
}
