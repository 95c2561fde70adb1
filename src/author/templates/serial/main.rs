//! A device at a serial port, spoken to in frames of four bytes: start, command, value, checksum.
//!
//! To the driver a serial port is a stream like any other. Which port it is (`serial:///dev/serial/by-id/…?baud=9600`), or
//! which serial gateway on the network, is the module's affair; the port below is only what a module has if it is told nothing.
//! This driver works, against the device in `emulator.rs`: make both yours, from your device's manual.

mod emulator;
mod packet;
#[cfg(test)]
mod tests;

use drivers_sdk::prelude::*;
use packet::{INPUT, LENGTH, QUERY, packet, value};

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
    name = "New driver", module = "NewDriver", tcp = 4001, framing = fixed(LENGTH), timeout_ms = 1000, delay_ms = 50,
    settings = Options, status = State,
)]
impl NewDriver {
    #[poll(every = poll_seconds)]
    async fn poll(&self, cx: &Cx<Self>) -> Result {
        self.ask(cx, QUERY, 0).await.map(drop)
    }

    /// Shows an input, which is numbered from 1.
    #[function]
    async fn input(&self, cx: &Cx<Self>, number: u8) -> Result<u8> {
        self.ask(cx, INPUT, number).await
    }

    async fn ask(&self, cx: &Cx<Self>, command: u8, argument: u8) -> Result<u8> {
        let reply = parse_bytes(move |bytes| value(bytes, command));
        let input = cx.send(packet(command, argument)).reply(reply).await?;
        cx.status.set(|status| status.input = Some(input));
        Ok(input)
    }
}

drivers_sdk::main!(NewDriver, emulator = emulator::Emulator);
