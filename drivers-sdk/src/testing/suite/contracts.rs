//! Whether a driver's functions do what its interfaces promise: they are called, and the status is looked at.
//!
//! What can be seen is played: an interface whose status says what its function did. Cameras that are moved by hand, presets, doors,
//! people and messages have no such status; of those only the shape is compared.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::harness::Run;
use super::{Suite, Verdict, block_on};
use crate::driver::Driver;
use crate::error::Result;
use crate::interfaces;

/// How often, and for how long, a device that refuses is asked again, and a status looked at: it may warm up, or be polled.
const AGAIN: Duration = Duration::from_secs(5);
const PATIENCE: u32 = 24;

/// What a call of an interface's function leads to.
struct Promise {
    interface: &'static str,
    function: &'static str,
    args: Value,
    /// Where in the status, as a JSON pointer.
    status: String,
    /// What it is then; none: what the call returned.
    is: Option<Value>,
    /// How much a number may differ: devices have steps.
    near: f64,
}

impl<D: Driver> Suite<D> {
    /// The functions and status keys of its interfaces are as these promise, and do it.
    pub fn interfaces(&self) -> Verdict {
        if self.manifest.interfaces.is_empty() {
            return Ok(Some("it implements none".into()));
        }
        match interfaces::broken(&self.manifest).as_slice() {
            [] if self.no_device().is_none() => block_on(self.does_what_it_promises()).map(|()| None),
            [] => Ok(None),
            broken => Err(broken.join("; ")),
        }
    }

    async fn does_what_it_promises(&self) -> Result<(), String> {
        let run = self.connected(Default::default()).await?;
        let promises = promises(&run.status());
        for promise in promises.iter().filter(|promise| self.implements(promise.interface)) {
            run.keeps(promise).await.map_err(|why| run.tell(&why))?;
        }
        Ok(())
    }

    fn implements(&self, interface: &str) -> bool {
        self.manifest.interfaces.iter().any(|name| name == interface)
    }
}

impl Run {
    fn status(&self) -> Value {
        json!(self.daemon.look().status)
    }

    async fn keeps(&self, promise: &Promise) -> Result<(), String> {
        let Promise { interface, function, args, status, near, .. } = promise;
        let call = format!("`{function}` of `{interface}`, called with {args},");
        let mut tries = 0;
        let result = loop {
            tries += 1;
            match self.call("the suite".into(), function, args).outcome().await? {
                Ok(result) => break result,
                // Another device has such a relay, this one has not.
                Err(error) if error.is_bad_request() => return Ok(()),
                Err(error) if tries == PATIENCE => return Err(format!("{call} fails: {error}")),
                Err(_) => self.pass(AGAIN).await?,
            }
        };
        let wanted = promise.is.as_ref().unwrap_or(&result);
        if !result.is_null() && !shows(&result, wanted, *near) {
            return Err(format!("{call} returned {result} instead of {wanted}"));
        }
        let mut seen = Value::Null;
        for _ in 0..PATIENCE {
            seen = self.status().pointer(status).cloned().unwrap_or_default();
            if shows(&seen, wanted, *near) {
                return Ok(());
            }
            self.pass(AGAIN).await?;
        }
        Err(format!(
            "{call} succeeded, and the status `{}` is {seen} instead of {wanted}",
            status.trim_start_matches('/')
        ))
    }
}

/// Whether a status is so: the only value, or each of several.
fn shows(seen: &Value, wanted: &Value, near: f64) -> bool {
    match (seen, wanted) {
        (Value::Object(seen), Value::Object(wanted)) if wanted.keys().all(|key| seen.contains_key(key)) => {
            wanted.iter().all(|(key, wanted)| seen.get(key).is_some_and(|seen| shows(seen, wanted, near)))
        }
        (Value::Object(each), _) => !each.is_empty() && each.values().all(|seen| shows(seen, wanted, near)),
        (Value::Number(seen), Value::Number(wanted)) => match (seen.as_f64(), wanted.as_f64()) {
            (Some(seen), Some(wanted)) => (seen - wanted).abs() <= near,
            _ => false,
        },
        _ => seen == wanted,
    }
}

/// What is played, in this order; what is on first, as a device that is off may refuse the rest.
fn promises(status: &Value) -> Vec<Promise> {
    let mut all = Vec::new();
    let mut promise = |interface, function, args, status: &str, is, near| {
        all.push(Promise { interface, function, args, status: format!("/{status}"), is, near });
    };
    for on in [true, false, true] {
        promise("Powerable", "power", json!([on]), "power", Some(json!(on)), 0.0);
    }
    for on in [true, false] {
        promise("Muteable", "mute", json!([on]), "mute", Some(json!(on)), 0.0);
        promise("Relays", "relay", json!([1, on]), "relays/1", Some(json!(on)), 0.0);
    }
    for percent in [30, 70] {
        promise("AudioVolume", "volume", json!([percent]), "volume", Some(json!(percent)), 10.0);
        promise("LightingLevels", "light", json!([percent]), "lighting_level", Some(json!(percent)), 5.0);
    }
    for percent in [100, 0] {
        promise("Blinds", "move_blind", json!([percent]), "blind", Some(json!(percent)), 5.0);
    }
    for number in [1, 2] {
        promise("LightingScenes", "scene", json!([number]), "lighting_scene", Some(json!(number)), 0.0);
        promise("Switchable", "switch", json!([number, [1]]), "routes/1", Some(json!(number)), 0.0);
    }
    promise("Switchable", "disconnect_outputs", json!([[1]]), "routes/1", Some(json!(0)), 0.0);
    // The names of inputs are the driver's: the one that is selected, and those that its status lists.
    let listed = status.get("inputs").and_then(Value::as_array).into_iter().flatten();
    for input in listed.chain(status.get("input")).filter(|input| input.is_string()) {
        promise("InputSelection", "input", json!([input]), "input", Some(input.clone()), 0.0);
    }
    for pan in [10, -10] {
        let position = json!({ "pan": pan, "tilt": 5, "zoom": 20 });
        promise("CameraPosition", "move_to", json!([pan, 5, 20]), "position", Some(position), 2.0);
    }
    for id in status.get("sensors").and_then(Value::as_object).into_iter().flat_map(|all| all.keys()) {
        let pointer = format!("sensors/{}", id.replace('~', "~0").replace('/', "~1"));
        promise("Sensors", "read_sensor", json!([id]), &pointer, None, 0.0);
    }
    all
}
