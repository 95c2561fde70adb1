//! Global Caché iTach and GC-100 units: relays, inputs and infrared, over TCP port 4998.
//!
//! Commands and replies are words between commas and end with a carriage return; `1:2` is connector 2 of module 1. A unit's
//! serial ports need no driver of their own: each is raw TCP, from port 4999, for the driver of the device behind it.

mod emulator;
mod ir;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use drivers_sdk::prelude::*;
use ir::Code;

#[derive(Settings)]
pub struct Options {
    /// Infrared codes by name: `38000,1,1,342,171,…` (frequency, repeat, offset, pulses) or Pronto's `0000 006D …`.
    #[setting(default)]
    codes: BTreeMap<String, String>,
    /// Seconds between two polls of the relays.
    #[setting(default = 30)]
    poll_seconds: u64,
}

#[derive(Default, Status)]
struct State {
    /// Of its firmware.
    version: Option<String>,
    /// What it has, by module: `3 RELAY`, `1 SERIAL`.
    modules: BTreeMap<String, String>,
    /// Relays and inputs by connector, as far as they are known.
    closed: BTreeMap<String, bool>,
}

#[derive(Default)]
struct Unit {
    sent: Cell<u16>,
}

/// Relays, inputs and infrared of a Global Caché unit.
#[driver(
    name = "Global Caché unit", module = "Ports", tcp = 4998, framing = lines("\r"),
    settings = Options, status = State,
)]
impl Unit {
    #[connected]
    async fn meet(&self, cx: &Cx<Self>) -> Result {
        cx.every(secs(cx.settings().poll_seconds), Self::poll);
        self.learn(cx).await?;
        self.poll(cx).await
    }

    /// What the unit is, and what it has.
    async fn learn(&self, cx: &Cx<Self>) -> Result {
        let end = exact("endlistdevices");
        let devices = cx.send("getdevices").reply(lines_until(end)).await?;
        let modules = devices.iter().filter_map(|line| module(&line.text())).collect();
        let version =
            cx.send("getversion").reply(reply(|line| Some(line.rsplit(',').next()?.to_owned()))).await?;
        cx.status.set(|status| (status.modules, status.version) = (modules, Some(version)));
        Ok(())
    }

    async fn poll(&self, cx: &Cx<Self>) -> Result {
        // It may have been silent when it was asked first.
        if cx.status.get(|status| status.version.is_none()) {
            self.learn(cx).await?;
        }
        let modules = cx.status.get(|status| status.modules.clone());
        for (module, what) in modules {
            let Some(relays) = what.strip_suffix(" RELAY").and_then(|count| count.parse().ok()) else {
                continue;
            };
            for connector in 1..=relays {
                self.state(cx, format!("{module}:{connector}")).await?;
            }
        }
        Ok(())
    }

    /// An input that is told to, says by itself that it has changed.
    #[received]
    fn changed(&self, cx: &Cx<Self>, line: &str) {
        if let Some((connector, closed)) =
            line.strip_prefix("statechange,").and_then(|rest| rest.split_once(','))
        {
            cx.status.set(|status| status.closed.insert(connector.into(), closed == "1"));
        }
    }

    /// Whether a relay or an input is closed. `connector` is `1:3`: module and connector.
    #[function]
    async fn state(&self, cx: &Cx<Self>, connector: String) -> Result<bool> {
        self.ask(cx, format!("getstate,{}", at(&connector)?), connector).await
    }

    /// Closes or opens a relay.
    #[function]
    async fn relay(&self, cx: &Cx<Self>, connector: String, closed: bool) -> Result<bool> {
        self.ask(cx, format!("setstate,{},{}", at(&connector)?, u8::from(closed)), connector).await
    }

    /// Sends an infrared code, by its name in the settings or as itself, and waits until it is sent.
    #[function]
    async fn send_ir(&self, cx: &Cx<Self>, connector: String, code: String, repeat: Option<u32>) -> Result {
        let code = cx.settings().codes.get(&code).cloned().unwrap_or(code);
        let mut code = Code::read(&code)?;
        code.repeat = repeat.unwrap_or(code.repeat).clamp(1, 50);
        let id = self.sent.replace(self.sent.get().wrapping_add(1));
        let tag = format!("{},{id}", at(&connector)?);
        let (complete, busy) = (format!("completeir,{tag}"), format!("busyir,{tag}"));
        let outcome = reply(move |line| {
            (line == complete).then_some(true).or((line.to_lowercase() == busy).then_some(false))
        });
        match cx.send(format!("sendir,{tag},{code}")).reply(outcome).timeout(secs(20)).await? {
            true => Ok(()),
            false => Err(Error::device("somebody else sends infrared there just now")),
        }
    }

    /// Stops what is being sent.
    #[function]
    async fn stop_ir(&self, cx: &Cx<Self>, connector: String) -> Result {
        let stop = format!("stopir,{}", at(&connector)?);
        let expected = stop.clone();
        cx.send(stop).reply(reply(move |line| (line == expected).then_some(()))).await
    }

    async fn ask(&self, cx: &Cx<Self>, command: String, connector: String) -> Result<bool> {
        let about = format!("state,{connector},");
        let closed =
            cx.send(command).reply(reply(move |line| Some(line.strip_prefix(&about)? == "1"))).await?;
        cx.status.set(|status| status.closed.insert(connector, closed));
        Ok(closed)
    }
}

/// `device,1,3 RELAY`: module 1 has three relays. Module 0 is the network.
fn module(line: &str) -> Option<(String, String)> {
    let (module, what) = line.strip_prefix("device,")?.split_once(',')?;
    (module != "0").then(|| (module.into(), what.into()))
}

/// What goes into a command must not end it.
fn at(connector: &str) -> Result<&str> {
    let numbers = connector.split_once(':').is_some_and(|(module, connector)| {
        [module, connector].iter().all(|number| number.parse::<u8>().is_ok_and(|number| number > 0))
    });
    numbers
        .then_some(connector)
        .ok_or_else(|| Error::bad_request(format!("{connector:?} is no connector, such as 1:3")))
}

/// A reply that `read` understands, or a refusal.
fn reply<T: 'static>(mut read: impl FnMut(&str) -> Option<T> + 'static) -> impl Matcher<Output = T> {
    parse_bytes(move |line| {
        let line = String::from_utf8_lossy(line);
        refusal(&line).map(Err).or_else(|| read(&line).map(Ok))
    })
}

/// `ERR_1:9,003`, `unknowncommand,14`.
fn refusal(line: &str) -> Option<Error> {
    let number = match line.strip_prefix("ERR") {
        Some(rest) => rest.rsplit([',', ' ']).next()?,
        None => line.strip_prefix("unknowncommand").map(|_| "001")?,
    };
    let why = match number {
        "001" => "it does not know the command",
        "002" => "it has no such module",
        "003" => "the module has no such connector",
        "013" | "014" => "that connector does not send infrared",
        "018" => "that connector is no input",
        "020" => "the code has too many pulses",
        _ => "look the number up in its manual",
    };
    Some(Error::device(format!("the unit refused: {why} ({line})")))
}

drivers_sdk::main!(Unit, emulator = emulator::Emulator);
