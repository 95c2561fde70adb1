//! Meters, drives, controllers and gateways that speak Modbus: by TCP (port 502), or RTU behind a gateway that passes
//! bytes on as they are (a module's serial port and its bus are as good).
//!
//! A device has numbered registers, whose meaning is in its manual. The settings name those that matter, as points.

mod emulator;
mod points;
mod protocol;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use drivers_sdk::framing::{Framing, idle_gap, length_field};
use drivers_sdk::prelude::*;
use points::{Block, Point, blocks};
use protocol::{Mode, Request, Table};

#[derive(Settings)]
pub struct Options {
    /// How the device is spoken to.
    #[setting(default = Mode::Tcp)]
    mode: Mode,
    /// Number of the device on its bus, or behind its gateway.
    #[setting(default = 1)]
    unit: u8,
    /// What is read from it, by the key of the status that shows it.
    #[setting(default)]
    points: BTreeMap<String, Point>,
    /// Seconds between two polls.
    #[setting(default = 10)]
    poll_seconds: u64,
    /// Milliseconds of silence that end a reply in RTU.
    #[setting(default = 20)]
    gap_ms: u64,
}

impl Options {
    fn framing(&self) -> Framing {
        match self.mode {
            Mode::Tcp => length_field().offset(4).width(2).limit(260),
            Mode::Rtu => idle_gap(millis(self.gap_ms.max(1))).limit(256),
        }
    }
}

#[derive(Default)]
struct Modbus;

/// Whatever speaks Modbus TCP, or Modbus RTU through a serial gateway: its registers by name.
#[driver(name = "Modbus device", module = "Modbus", tcp = 502, timeout_ms = 2000, retries = 1, settings = Options)]
impl Modbus {
    #[login]
    fn begin(&self, cx: &Cx<Self>) {
        cx.framing(cx.settings().framing());
    }

    /// Other points, another unit: what is shown may be another's.
    #[settings_changed]
    fn begin_again(&self, cx: &Cx<Self>) {
        cx.status.clear_keys();
        self.begin(cx);
    }

    /// What the device refuses is not shown, and the rest is read all the same.
    #[poll(every = poll_seconds)]
    async fn poll(&self, cx: &Cx<Self>) -> Result {
        let settings = cx.settings();
        let mut refused = Ok(());
        for block in blocks(&settings.points)? {
            match self.ask(cx, Request::read(block.table, block.address, block.count)).await {
                Ok(words) => self.show(cx, &block, &words)?,
                Err(error) if error.is_refused() => {
                    self.show(cx, &block, &[])?;
                    let names: Vec<_> = block.points.iter().map(|(name, _)| *name).collect();
                    refused = Err(Error::device(format!("{}: {error}", names.join(", "))));
                }
                Err(error) => return Err(error),
            }
        }
        refused
    }

    fn show(&self, cx: &Cx<Self>, block: &Block<'_>, words: &[u16]) -> Result {
        block.values(words).into_iter().try_for_each(|(name, value)| cx.status.set_key(name, &value))
    }

    /// Reads a point now.
    #[function]
    async fn read(&self, cx: &Cx<Self>, name: String) -> Result<Value> {
        let settings = cx.settings();
        let point = find(&settings, &name)?;
        let words = self.ask(cx, Request::read(point.table, point.address, point.width())).await?;
        let value = point.read(&words);
        cx.status.set_key(&name, &value)?;
        Ok(value)
    }

    /// Writes a point: true or false for a coil, else a number. The result is what it is afterwards.
    #[function]
    async fn write(&self, cx: &Cx<Self>, name: String, value: Value) -> Result<Value> {
        let settings = cx.settings();
        let point = find(&settings, &name)?;
        let words = point.write(&value).map_err(|error| Error::bad_request(format!("{name}: {error}")))?;
        self.ask(cx, Request::write(point.table, point.address, words)?).await?;
        self.read(cx, name).await
    }

    /// Reads entries of a table, whether they are points or not; bits are 0 and 1.
    #[function(security = "support")]
    async fn read_raw(&self, cx: &Cx<Self>, table: Table, address: u16, count: u16) -> Result<Vec<u16>> {
        if count == 0 || count > table.most() {
            return Err(Error::bad_request(format!("one request reads 1 to {} of these", table.most())));
        }
        self.ask(cx, Request::read(table, address, count)).await
    }

    /// Writes entries of a table in one request, whether they are points or not; bits are 0 and 1.
    #[function(security = "administrator")]
    async fn write_raw(&self, cx: &Cx<Self>, table: Table, address: u16, values: Vec<u16>) -> Result {
        self.ask(cx, Request::write(table, address, values)?).await.map(drop)
    }

    async fn ask(&self, cx: &Cx<Self>, request: Request) -> Result<Vec<u16>> {
        let (mode, unit) = (cx.settings().mode, cx.settings().unit);
        let number = if mode == Mode::Tcp { cx.number(0..=0xffff) as u16 } else { 0 };
        let message = mode.wrap(number, unit, &request.encode());
        let reply = parse_bytes(move |message| {
            let (to, from, bytes) = mode.unwrap(message)?;
            (to == number && from == unit).then(|| request.reply(bytes))?
        });
        cx.send(message).reply(reply).await
    }
}

fn find<'a>(settings: &'a Options, name: &str) -> Result<&'a Point> {
    settings.points.get(name).ok_or_else(|| Error::bad_request(format!("setting `points` has no {name:?}")))
}

drivers_sdk::main!(Modbus, emulator = emulator::Emulator);
