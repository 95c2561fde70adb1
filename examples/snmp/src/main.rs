//! Whatever has an SNMP agent: switches, power strips, printers, environment monitors. SNMP v2c, over UDP port 161.
//!
//! An agent holds objects, whose names are numbers and whose meaning is in a MIB. The settings name those that matter. An
//! agent that does not like the community says nothing at all.

mod emulator;
mod message;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use drivers_sdk::prelude::*;
use message::{Data, GET, GET_BULK, Message, Oid, RESPONSE, SET};

/// `sysDescr` and its siblings (RFC 3418).
const SYSTEM: &str = "1.3.6.1.2.1.1";
/// Names in one request: what is asked for and what is answered should fit into one packet of the network.
const AT_ONCE: usize = 16;
/// Rows that a walk reads at most.
const MOST: usize = 10_000;

#[derive(Settings)]
pub struct Options {
    /// Community that may read; `public` if left out.
    community: Option<Secret>,
    /// Community that may write; the other one if left out.
    write_community: Option<Secret>,
    /// What is read, by the key of the status that shows it.
    #[setting(default)]
    objects: BTreeMap<String, Object>,
    /// Seconds between two polls.
    #[setting(default = 30)]
    poll_seconds: u64,
}

/// What one key shows.
#[data]
struct Object {
    /// Its name, such as `1.3.6.1.2.1.1.3.0`.
    oid: String,
    /// It has many values, each below that name: a column of a table. They are shown by what their names end with.
    #[serde(default)]
    walk: bool,
    /// What a number is multiplied with: 0.1 if the device counts tenths.
    scale: Option<f64>,
}

#[derive(Default, Status)]
struct State {
    /// What the agent says it is.
    description: Option<String>,
    /// Seconds since the agent started.
    uptime: Option<u32>,
    /// What whoever installed it calls it.
    name: Option<String>,
    /// Where that one said it is.
    location: Option<String>,
}

#[derive(Default)]
struct Agent;

/// Any device with an SNMP agent: its objects by name.
#[driver(
    name = "SNMP device", module = "Monitor", udp = 161, timeout_ms = 2000, retries = 2,
    settings = Options, status = State,
)]
impl Agent {
    /// Other objects: what is shown may be nobody's.
    #[settings_changed]
    fn begin_again(&self, cx: &Cx<Self>) {
        cx.status.clear_keys();
    }

    #[poll(every = poll_seconds)]
    async fn poll(&self, cx: &Cx<Self>) -> Result {
        match self.read_all(cx).await {
            Err(error) if error.is_timeout() => {
                cx.set_connected(
                    false,
                    "the agent does not answer: is it on, does it allow this `community`?",
                );
                Err(error)
            }
            result => {
                cx.clear_connected();
                result
            }
        }
    }

    async fn read_all(&self, cx: &Cx<Self>) -> Result {
        let settings = cx.settings();
        let system = [1, 3, 5, 6].map(|object| format!("{SYSTEM}.{object}.0").parse());
        let system = self.get(cx, system.into_iter().collect::<Result<_>>()?).await?;
        let [description, uptime, name, location] = &system[..] else { return Ok(()) };
        let text = |data: &Data| data.value().as_str().map(Into::into);
        cx.status.set(|status| {
            status.description = text(description);
            status.uptime = if let Data::Ticks(ticks) = uptime { Some(ticks / 100) } else { None };
            status.name = text(name);
            status.location = text(location);
        });
        let (tables, single): (Vec<_>, Vec<_>) = settings.objects.iter().partition(|(_, object)| object.walk);
        for objects in single.chunks(AT_ONCE) {
            let names = objects.iter().map(|(_, object)| object.oid.parse()).collect::<Result<_>>()?;
            for ((name, object), data) in objects.iter().zip(self.get(cx, names).await?) {
                cx.status.set_key(name, &object.scaled(data.value()))?;
            }
        }
        for (name, object) in tables {
            let rows = self.walk_from(cx, &object.oid.parse()?).await?;
            let rows: BTreeMap<_, _> =
                rows.into_iter().map(|(at, value)| (at, object.scaled(value))).collect();
            cx.status.set_key(name, &rows)?;
        }
        Ok(())
    }

    /// What an object holds: its key in the settings, or an object identifier. Null if the agent has none.
    #[function]
    async fn read(&self, cx: &Cx<Self>, object: String) -> Result<Value> {
        let settings = cx.settings();
        let known = settings.objects.get(&object);
        let oid = known.map_or(&object, |known| &known.oid).parse()?;
        let value = self.get(cx, vec![oid]).await?.first().map_or(Value::Null, Data::value);
        Ok(known.map_or(value.clone(), |known| known.scaled(value)))
    }

    /// Everything below an object identifier, by what comes after it.
    #[function]
    async fn walk(&self, cx: &Cx<Self>, oid: String) -> Result<BTreeMap<String, Value>> {
        self.walk_from(cx, &oid.parse()?).await
    }

    /// Has an object hold something else: its key in the settings, or an object identifier. Nothing is scaled.
    #[function(security = "support")]
    async fn set(&self, cx: &Cx<Self>, object: String, value: Value) -> Result<Value> {
        let settings = cx.settings();
        let oid: Oid = settings.objects.get(&object).map_or(&object, |known| &known.oid).parse()?;
        let now = self.get(cx, vec![oid.clone()]).await?;
        let data = now.first().unwrap_or(&Data::Null).like(&value)?;
        let done = self.ask(cx, SET, 0, vec![(oid, data)]).await?;
        Ok(done.first().map_or(Value::Null, |(_, data)| data.value()))
    }

    async fn get(&self, cx: &Cx<Self>, names: Vec<Oid>) -> Result<Vec<Data>> {
        let count = names.len();
        let answer = self.ask(cx, GET, 0, names.into_iter().map(|oid| (oid, Data::Null)).collect()).await?;
        if answer.len() != count {
            return Err(Error::device(format!("the agent answered {} of {count} objects", answer.len())));
        }
        Ok(answer.into_iter().map(|(_, data)| data).collect())
    }

    async fn walk_from(&self, cx: &Cx<Self>, root: &Oid) -> Result<BTreeMap<String, Value>> {
        let (mut last, mut rows) = (root.clone(), BTreeMap::new());
        loop {
            let answer = self.ask(cx, GET_BULK, AT_ONCE as i32, vec![(last.clone(), Data::Null)]).await?;
            if answer.is_empty() {
                return Ok(rows);
            }
            for (oid, data) in answer {
                if data == Data::EndOfView || !oid.is_below(root) {
                    return Ok(rows);
                }
                if oid <= last || rows.len() == MOST {
                    return Err(Error::device(format!("this walk has no end: {oid} comes after {last}")));
                }
                rows.insert(oid.below(root), data.value());
                last = oid;
            }
        }
    }

    async fn ask(
        &self,
        cx: &Cx<Self>,
        kind: u8,
        index: i32,
        bindings: Vec<(Oid, Data)>,
    ) -> Result<Vec<(Oid, Data)>> {
        let settings = cx.settings();
        let writes = settings.write_community.as_ref().filter(|_| kind == SET);
        let community = writes.or(settings.community.as_ref()).map_or("public", Secret::reveal).into();
        let number = cx.number(1..=0x7fff_ffff) as i32;
        let message = Message { community, kind, number, status: 0, index, bindings };
        let reply = parse_bytes(move |bytes| {
            let answer = Message::decode(bytes)?;
            (answer.kind == RESPONSE && answer.number == number).then(|| match answer.status {
                0 => Ok(answer.bindings),
                status => Err(refusal(status, usize::try_from(answer.index).ok(), &answer.bindings)),
            })
        });
        cx.send(message.encode()).reply(reply).await
    }
}

impl Object {
    fn scaled(&self, value: Value) -> Value {
        match (self.scale, value.as_f64()) {
            // Less the dust of binary fractions.
            (Some(scale), Some(number)) => json!((number * scale * 1e9).round() / 1e9),
            _ => value,
        }
    }
}

fn refusal(status: i32, index: Option<usize>, bindings: &[(Oid, Data)]) -> Error {
    let why = match status {
        1 => "the answer would be too large",
        2 => "it has no such object",
        4 | 17 => "it cannot be written",
        6 => "this community has no access",
        7 => "the value has the wrong type",
        8 => "the value has the wrong length",
        10 | 12 => "it does not take the value",
        13 => "it lacks what that takes",
        16 => "it has no access: does `write_community` allow it?",
        _ => "look the number up in RFC 3416",
    };
    let object = index.and_then(|index| bindings.get(index.checked_sub(1)?));
    let object = object.map_or(String::new(), |(oid, _)| format!(" {oid}"));
    Error::device(format!("the agent refused{object}: {why} (error {status})"))
}

drivers_sdk::main!(Agent, emulator = emulator::Emulator);
