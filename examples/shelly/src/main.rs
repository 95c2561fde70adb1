//! Shelly's relays and meters of the second generation and later (Plus, Pro, Gen3, Gen4), by their RPC over HTTP.
//!
//! A method is a path, its parameters are the body: `POST /rpc/Switch.Set` with `{"id": 0, "on": true}`. What a device has is
//! what it says it has: `switch:0`, `input:1`. A device with a password wants digest authentication as `admin`, which is the
//! module's `connection.http.auth`.

mod emulator;

use std::collections::BTreeMap;

use drivers_sdk::http::Response;
use drivers_sdk::interfaces::Relays;
use drivers_sdk::prelude::*;

#[derive(Settings)]
pub struct Options {
    /// Seconds between two polls.
    #[setting(default = 5)]
    poll_seconds: u64,
}

/// Everything is numbered from 1; the device itself counts from 0.
#[derive(Default, Status)]
struct State {
    /// Whether each relay is closed.
    relays: BTreeMap<u32, bool>,
    /// Whether each input is on.
    inputs: BTreeMap<u32, bool>,
    /// Power that flows through each relay.
    watts: BTreeMap<u32, f64>,
    /// Voltage at each relay.
    volts: BTreeMap<u32, f64>,
    /// Energy that has gone through each relay.
    watt_hours: BTreeMap<u32, f64>,
    /// Degrees Celsius, in each relay.
    temperature: BTreeMap<u32, f64>,
    /// What its owner calls it.
    name: Option<String>,
    /// `SNSW-102P16EU`.
    model: Option<String>,
    /// Version of its firmware.
    firmware: Option<String>,
}

/// What never changes.
#[data]
struct Device {
    name: Option<String>,
    model: String,
    ver: String,
}

#[derive(Default)]
struct Shelly;

/// Shelly's relays and meters, from the second generation on.
#[driver(
    name = "Shelly relay", module = "Relay", uri = "http://shelly.local", settings = Options, status = State,
    implements(Relays),
)]
impl Shelly {
    #[connected]
    async fn meet(&self, cx: &Cx<Self>) -> Result {
        let Device { name, model, ver } = self.rpc(cx, "Shelly.GetDeviceInfo", json!({})).await?.json()?;
        cx.status.set(|status| {
            (status.name, status.model, status.firmware) = (name, Some(model), Some(ver));
        });
        Ok(())
    }

    #[poll(every = poll_seconds)]
    async fn poll(&self, cx: &Cx<Self>) -> Result {
        let parts: BTreeMap<String, Value> = self.rpc(cx, "Shelly.GetStatus", json!({})).await?.json()?;
        cx.status.set(|status| {
            status.relays = each(&parts, "switch:", "/output", Value::as_bool);
            status.inputs = each(&parts, "input:", "/state", Value::as_bool);
            status.watts = each(&parts, "switch:", "/apower", Value::as_f64);
            status.volts = each(&parts, "switch:", "/voltage", Value::as_f64);
            status.watt_hours = each(&parts, "switch:", "/aenergy/total", Value::as_f64);
            status.temperature = each(&parts, "switch:", "/temperature/tC", Value::as_f64);
        });
        Ok(())
    }

    async fn set(&self, cx: &Cx<Self>, relay: u32, mut parameters: Value) -> Result {
        let id = relay.checked_sub(1).ok_or_else(|| Error::bad_request("relays are numbered from 1"))?;
        parameters["id"] = id.into();
        self.rpc(cx, "Switch.Set", parameters).await?;
        self.poll(cx).await
    }

    async fn rpc(&self, cx: &Cx<Self>, method: &str, parameters: Value) -> Result<Response> {
        cx.http().post(format!("/rpc/{method}")).json(&parameters).send().await?.error_for_status()
    }
}

impl Relays for Shelly {
    async fn relay(&self, cx: &Cx<Self>, relay: u32, on: bool) -> Result {
        self.set(cx, relay, json!({ "on": on })).await
    }

    /// The device itself ends it, whatever becomes of the network.
    async fn pulse_relay(&self, cx: &Cx<Self>, relay: u32, ms: Option<u64>) -> Result {
        let seconds = Duration::from_millis(ms.unwrap_or(1000)).as_secs_f64();
        self.set(cx, relay, json!({ "on": true, "toggle_after": seconds })).await
    }
}

/// One value of each part of a kind, by the number of the part.
fn each<T>(
    parts: &BTreeMap<String, Value>,
    kind: &str,
    pointer: &str,
    read: fn(&Value) -> Option<T>,
) -> BTreeMap<u32, T> {
    let value = |(key, part): (&String, &Value)| {
        let number = key.strip_prefix(kind)?.parse::<u32>().ok()?.checked_add(1)?;
        Some((number, read(part.pointer(pointer)?)?))
    };
    parts.iter().filter_map(value).collect()
}

#[cfg(test)]
mod tests;

drivers_sdk::main!(Shelly, emulator = emulator::Emulator);
