//! A UPS behind a Network UPS Tools server (`upsd`), over TCP port 3493.
//!
//! Nothing is said between two polls, so the connection is made when it is needed. Commands need a login, which
//! lasts as long as the connection; a variable is `VAR ups name "value"`, a refusal `ERR CODE`.

mod emulator;
mod reply;
#[cfg(test)]
mod tests;

use drivers_sdk::prelude::*;
use reply::{Flags, login, refused, variable, word};

#[derive(Settings)]
pub struct Options {
    /// Name of the UPS on the server.
    #[setting(default = "ups")]
    ups: String,
    /// User of the server (`upsd.users`); only for commands.
    username: Option<String>,
    /// That user's password.
    password: Option<Secret>,
    /// Seconds between two polls.
    #[setting(default = 15)]
    poll_seconds: u64,
}

#[derive(Default, Status)]
struct State {
    /// The words of the UPS: `OL` on line, `OB` on battery, `LB` low battery, `CHRG` charging, …
    status: Option<String>,
    /// The mains are gone.
    on_battery: Option<bool>,
    /// The battery is nearly empty.
    low_battery: Option<bool>,
    /// The battery is being charged.
    charging: Option<bool>,
    /// It is asked for more than it can give.
    overload: Option<bool>,
    /// The battery needs to be replaced.
    replace_battery: Option<bool>,
    /// Percent.
    battery_charge: Option<f64>,
    /// Seconds the battery will last.
    battery_runtime: Option<f64>,
    /// Percent.
    load: Option<f64>,
    /// Volt.
    input_voltage: Option<f64>,
    /// Who made it.
    manufacturer: Option<String>,
    /// What its maker calls it.
    model: Option<String>,
}

#[derive(Default)]
struct Ups {
    polls: RefCell<Option<Schedule>>,
}

/// A UPS behind a Network UPS Tools server (`upsd`).
#[driver(
    name = "Network UPS Tools", module = "Power", tcp = 3493, makebreak, framing = lines("\n"),
    settings = Options, status = State,
)]
impl Ups {
    #[connected]
    async fn begin(&self, cx: &Cx<Self>) -> Result {
        let polls = cx.every(secs(cx.settings().poll_seconds), Self::poll);
        if let Some(earlier) = self.polls.replace(Some(polls)) {
            earlier.cancel();
        }
        self.poll(cx).await
    }

    /// Another name, another period: what is known may be another's.
    #[settings_changed]
    async fn begin_again(&self, cx: &Cx<Self>) -> Result {
        self.begin(cx).await
    }

    async fn poll(&self, cx: &Cx<Self>) -> Result {
        let ups = word("`ups`", &cx.settings().ups)?.to_owned();
        let end = exact(format!("END LIST VAR {ups}"));
        let list = lines_until(end).unless(refused());
        let lines = match cx.send(format!("LIST VAR {ups}")).reply(list).await {
            Ok(lines) => lines,
            Err(error) => {
                // What was true a moment ago may not be now.
                cx.status.set(|status| *status = State::default());
                return Err(error);
            }
        };
        let variables: std::collections::HashMap<String, String> =
            lines.iter().filter_map(|line| variable(&ups, &line.text())).collect();
        let text = |name| variables.get(name).cloned();
        let number = |name| variables.get(name).and_then(|value| value.parse().ok());
        let flags = text("ups.status").map(|status| Flags::read(&status)).unwrap_or_default();
        cx.status.set(|status| {
            status.status = text("ups.status");
            status.on_battery = Some(flags.on_battery);
            status.low_battery = Some(flags.low_battery);
            status.charging = Some(flags.charging);
            status.overload = Some(flags.overload);
            status.replace_battery = Some(flags.replace_battery);
            status.battery_charge = number("battery.charge");
            status.battery_runtime = number("battery.runtime");
            status.load = number("ups.load");
            status.input_voltage = number("input.voltage");
            status.manufacturer = text("device.mfr");
            status.model = text("device.model");
        });
        Ok(())
    }

    /// The value of one variable, such as `battery.temperature`.
    #[function]
    async fn variable(&self, cx: &Cx<Self>, name: String) -> Result<String> {
        let ups = word("`ups`", &cx.settings().ups)?.to_owned();
        let name = word("the variable", &name)?.to_owned();
        let value = parse({
            let (ups, name) = (ups.clone(), name.clone());
            move |line| variable(&ups, line).filter(|(found, _)| *found == name)
        });
        let (_, value) = cx.send(format!("GET VAR {ups} {name}")).reply(value.unless(refused())).await?;
        Ok(value)
    }

    /// Has the UPS carry out a command of its own, such as `test.battery.start` or `beeper.disable`.
    #[function(security = "support")]
    async fn command(&self, cx: &Cx<Self>, command: String) -> Result {
        let settings = cx.settings();
        let mut lines = Vec::new();
        if let (Some(username), Some(password)) = (&settings.username, &settings.password) {
            lines.push(format!("USERNAME {}", word("`username`", username)?));
            lines.push(format!("PASSWORD {}", word("`password`", password.reveal())?));
        }
        lines.push(format!("INSTCMD {} {}", word("`ups`", &settings.ups)?, word("the command", &command)?));
        cx.send(lines.join("\n")).reply(login(lines.len())).await?;
        self.poll(cx).await
    }
}

drivers_sdk::main!(Ups, emulator = emulator::Emulator);
