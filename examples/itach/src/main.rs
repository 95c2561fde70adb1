//! Global Caché iTach and GC-100 units: relays, inputs and infrared, over TCP port 4998.
//!
//! Commands and replies are words between commas and end with a carriage return; `1:2` is connector 2 of module 1. A unit's
//! serial ports need no driver of their own: each is raw TCP, from port 4999, for the driver of the device behind it.

mod emulator;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use drivers_sdk::prelude::*;

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
struct Unit;

/// Relays, inputs and infrared of a Global Caché unit.
#[driver(
    name = "Global Caché unit", module = "Ports", tcp = 4998, framing = lines("\r"), refusal = why,
    settings = Options, status = State,
)]
impl Unit {
    /// What the unit is, and what it has.
    #[connected]
    async fn meet(&self, cx: &Cx<Self>) -> Result {
        let devices = lines_until(exact("endlistdevices")).except(prefix(CHANGE));
        let devices = cx.send("getdevices").reply(devices).await?;
        let version = parse(|line| Some(line.rsplit(',').next()?.to_owned())).except(prefix(CHANGE));
        let version = cx.send("getversion").reply(version).await.unless_refused()?;
        // `device,1,3 RELAY`: module 1 has three relays. Module 0 is the network.
        let module = |line: &Frame| {
            let line = line.text();
            let (module, what) = line.strip_prefix("device,")?.split_once(',')?;
            (module != "0").then(|| (module.to_owned(), what.to_owned()))
        };
        cx.status.set(|status| {
            status.modules = devices.iter().filter_map(module).collect();
            status.version = version;
        });
        Ok(())
    }

    #[poll(every = poll_seconds)]
    async fn poll(&self, cx: &Cx<Self>) -> Result {
        for (module, what) in cx.status.get(|status| status.modules.clone()) {
            let relays = what.strip_suffix(" RELAY").and_then(|count| count.parse::<u8>().ok());
            for connector in 1..=relays.unwrap_or(0) {
                self.state(cx, format!("{module}:{connector}")).await?;
            }
        }
        Ok(())
    }

    /// An input that is told to, says by itself that it has changed.
    #[received]
    fn changed(&self, cx: &Cx<Self>, line: &str) {
        if let Some((connector, closed)) = line.strip_prefix(CHANGE).and_then(|rest| rest.split_once(',')) {
            cx.status.set(|status| status.closed.insert(connector.into(), closed == "1"));
        }
    }

    /// Whether a relay or an input is closed. `connector` is `1:3`: module and connector.
    #[function]
    async fn state(&self, cx: &Cx<Self>, connector: String) -> Result<bool> {
        self.ask(cx, format!("getstate,{connector}"), connector).await
    }

    /// Closes or opens a relay.
    #[function]
    async fn relay(&self, cx: &Cx<Self>, connector: String, closed: bool) -> Result<bool> {
        self.ask(cx, format!("setstate,{connector},{}", u8::from(closed)), connector).await
    }

    /// Sends an infrared code, by its name in the settings or as itself, and waits until it is sent.
    #[function]
    async fn send_ir(&self, cx: &Cx<Self>, connector: String, code: String, repeat: Option<u32>) -> Result {
        let code = infrared(cx.settings().codes.get(&code).unwrap_or(&code), repeat)?;
        let tag = format!("{connector},{}", cx.number(0..=0xffff));
        let busy = format!("busyir,{tag}");
        let busy = parse(move |line| line.eq_ignore_ascii_case(&busy).then_some(()))
            .refuses("somebody else sends infrared there just now");
        let sent = exact(format!("completeir,{tag}")).unless(busy);
        cx.send(format!("sendir,{tag},{code}")).reply(sent).timeout(secs(20)).await
    }

    /// Stops what is being sent.
    #[function]
    async fn stop_ir(&self, cx: &Cx<Self>, connector: String) -> Result {
        let stop = format!("stopir,{connector}");
        cx.send(&*stop).reply(exact(&*stop)).await
    }

    async fn ask(&self, cx: &Cx<Self>, command: String, connector: String) -> Result<bool> {
        let about = format!("state,{connector},");
        let closed = parse(move |line| Some(line.strip_prefix(&*about)? == "1"));
        let closed = cx.send(command).reply(closed).await?;
        cx.status.set(|status| status.closed.insert(connector, closed));
        Ok(closed)
    }
}

/// What an input says by itself begins with this.
const CHANGE: &str = "statechange,";

/// `ERR_1:9,003`, `unknowncommand,14`.
fn why(line: &str) -> Option<String> {
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
    Some(format!("the unit refused: {why} ({line})"))
}

/// A code as `sendir` takes it: frequency in hertz, repeat, offset (the pulse, counted from 1, where it begins when it is sent again)
/// and pulses, on and off, in periods of the carrier.
fn infrared(text: &str, repeat: Option<u32>) -> Result<String> {
    let plain = || text.split(',').map(|number| number.trim().parse().ok()).collect();
    let mut numbers: Vec<u32> = if text.contains(',') { plain() } else { pronto(text) }.unwrap_or_default();
    let [frequency, times, offset, pulses @ ..] = &mut numbers[..] else {
        return Err(Error::bad_request(format!("{text:.20?}… is no infrared code")));
    };
    let rules = [
        ((15_000..=500_000).contains(frequency), "its frequency is not from 15000 to 500000"),
        ((1..=50).contains(times), "it is repeated less than once or more than 50 times"),
        (
            matches!(pulses.len(), 2..=520) && pulses.len() % 2 == 0,
            "its pulses are none, no pairs, or more than 520",
        ),
        (pulses.iter().all(|pulse| matches!(pulse, 1..=65_635)), "a pulse of it is 0 or longer than 65635"),
        (
            *offset % 2 == 1 && *offset as usize <= pulses.len(),
            "its offset is no odd number within its pulses",
        ),
    ];
    if let Some((_, broken)) = rules.into_iter().find(|(kept, _)| !kept) {
        return Err(Error::bad_request(format!("{text:.20?}…: {broken}")));
    }
    *times = repeat.unwrap_or(*times).clamp(1, 50);
    Ok(numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(","))
}

/// The learned form of Pronto remotes, `0000 006D …`: what is sent once, then what is sent again as long as the key is held.
fn pronto(text: &str) -> Option<Vec<u32>> {
    let words = text.split_whitespace().map(|word| u32::from_str_radix(word, 16).ok());
    let words = words.collect::<Option<Vec<u32>>>()?;
    let [0, unit, once, again, pulses @ ..] = &words[..] else { return None };
    if *unit == 0 || pulses.len() as u64 != 2 * (u64::from(*once) + u64::from(*again)) {
        return None;
    }
    // A unit is 0.241246 µs long.
    let frequency = (1_000_000.0 / (f64::from(*unit) * 0.241_246)).round() as u32;
    let offset = if *again > 0 { 2 * once + 1 } else { 1 };
    Some([&[frequency, 1, offset], pulses].concat())
}

drivers_sdk::main!(Unit, emulator = emulator::Emulator);
