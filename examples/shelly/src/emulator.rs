//! A Shelly Plus 2PM with two relays, a lamp of 40 W on each, and two inputs.

use std::time::Instant;

use drivers_sdk::prelude::*;

/// The device, which its connections share.
#[derive(Default)]
pub struct Emulator(RefCell<[Relay; 2]>);

#[derive(Clone, Copy, Default)]
struct Relay {
    on: bool,
    /// When it changes by itself.
    toggles: Option<Instant>,
}

impl Device for Emulator {
    type Settings = ();

    fn create(_: ()) -> Result<Self> {
        Ok(Emulator::default())
    }

    async fn session(&self, stream: DeviceStream) -> Result {
        let mut http = HttpServer::new(stream);
        while let Some(request) = http.next().await? {
            let parameters = if request.body.is_empty() { json!({}) } else { request.json()? };
            let method = request.path.strip_prefix("/rpc/").unwrap_or_default();
            let (status, body) = match self.obey(method, &parameters, Instant::now()) {
                Ok(body) => (200, body),
                Err((status, code, message)) => (status, json!({ "code": code, "message": message })),
            };
            http.answer(status, &body).await?;
        }
        Ok(())
    }
}

impl Emulator {
    fn obey(&self, method: &str, parameters: &Value, now: Instant) -> Result<Value, (u16, i32, String)> {
        let mut relays = self.0.borrow_mut();
        for relay in relays.iter_mut().filter(|relay| relay.toggles.is_some_and(|at| at <= now)) {
            *relay = Relay { on: !relay.on, toggles: None };
        }
        let id = &parameters["id"];
        let part = |id: usize, relay: &Relay| {
            let watts = if relay.on { 40.0 } else { 0.0 };
            json!({
                "id": id, "source": "RPC", "output": relay.on, "apower": watts, "voltage": 230.1,
                "current": watts / 230.1, "aenergy": { "total": 1250.5 }, "temperature": { "tC": 41.2, "tF": 106.2 },
            })
        };
        match method {
            "Shelly.GetDeviceInfo" => Ok(json!({
                "name": "Emulated relay", "id": "shellyplus2pm-000000000000", "mac": "000000000000",
                "model": "SNSW-102P16EU", "gen": 2, "ver": "1.4.4", "app": "Plus2PM", "auth_en": false,
            })),
            "Shelly.GetStatus" => Ok(json!({
                "input:0": { "id": 0, "state": false }, "input:1": { "id": 1, "state": true },
                "switch:0": part(0, &relays[0]), "switch:1": part(1, &relays[1]), "sys": { "uptime": 60 },
            })),
            "Switch.GetStatus" | "Switch.Set" => {
                let index = id.as_u64().and_then(|id| usize::try_from(id).ok()).unwrap_or(usize::MAX);
                let relay = relays
                    .get_mut(index)
                    .ok_or_else(|| (500, -105, format!("Argument 'id', value {id} not found!")))?;
                if method == "Switch.GetStatus" {
                    return Ok(part(index, relay));
                }
                let wanted = parameters["on"]
                    .as_bool()
                    .ok_or_else(|| (500, -103, "Missing or bad argument 'on'!".to_owned()))?;
                let was = relay.on;
                let toggles =
                    parameters["toggle_after"].as_f64().map(|after| now + Duration::from_secs_f64(after));
                *relay = Relay { on: wanted, toggles };
                Ok(json!({ "was_on": was }))
            }
            _ => Err((404, 404, format!("No handler for {method}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relays_switch_and_toggle_by_themselves() {
        let (device, now) = (Emulator::default(), Instant::now());
        let output = |id: u32, later: u64| {
            let status = device.obey("Switch.GetStatus", &json!({ "id": id }), now + millis(later)).unwrap();
            status["output"] == true
        };
        let set = json!({ "id": 1, "on": true, "toggle_after": 0.5 });
        assert_eq!(device.obey("Switch.Set", &set, now), Ok(json!({ "was_on": false })));
        assert_eq!(
            [output(0, 0), output(1, 499), output(1, 500), output(1, 900)],
            [false, true, false, false]
        );
        assert!(device.obey("Switch.Set", &json!({ "id": 2, "on": true }), now).is_err());
        assert!(device.obey("Switch.Set", &json!({ "id": 1 }), now).is_err());
        assert!(device.obey("", &json!({}), now).is_err());
    }
}
