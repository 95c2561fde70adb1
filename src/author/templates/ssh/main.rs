//! A device with a command line that is reached over SSH: a line is a command, and its answer is a line.
//!
//! `show input` answers `input 1`, and so does `set input 1`; a command that it does not understand is answered with
//! `% …`. User name, password and keys are the module's affair: when this driver hears of the link, it is signed in. A single
//! command beside the shell is `cx.ssh_exec("…")`. This driver works, against the device in `emulator.rs`: make both yours.

mod emulator;
#[cfg(test)]
mod tests;

use drivers_sdk::prelude::*;

#[derive(Settings)]
struct Options {
    /// Seconds between two polls.
    #[setting(default = 30)]
    poll_seconds: u64,
}

#[derive(Default, Status)]
struct State {
    /// The input that it shows; absent until the device has said so.
    input: Option<u8>,
}

#[derive(Default)]
struct NewDriver;

/// A device that shows one of its inputs.
#[driver(
    name = "New driver", module = "NewDriver", ssh = 22, framing = lines("\n"),
    settings = Options, status = State,
)]
impl NewDriver {
    #[poll(every = poll_seconds)]
    async fn poll(&self, cx: &Cx<Self>) -> Result {
        self.ask(cx, "show input".into()).await.map(drop)
    }

    /// Shows an input, which is numbered from 1.
    #[function]
    async fn input(&self, cx: &Cx<Self>, number: u8) -> Result<u8> {
        self.ask(cx, format!("set input {number}")).await
    }

    async fn ask(&self, cx: &Cx<Self>, command: String) -> Result<u8> {
        let reply = prefix("input ")
            .try_map(|rest| rest.parse())
            .unless(prefix("% "));
        let input = cx.send(command).reply(reply).await?;
        cx.status.set(|status| status.input = Some(input));
        Ok(input)
    }
}

drivers_sdk::main!(NewDriver, emulator = emulator::Emulator);
