//! A UPS behind a Network UPS Tools server (`upsd`), over TCP port 3493.
//!
//! Nothing is said between two polls, so the connection is made when it is needed. Commands need a login, which
//! lasts as long as the connection; a variable is `VAR ups name "value"`, a refusal `ERR CODE`.

mod emulator;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use drivers_sdk::prelude::*;

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
struct Ups;

/// A UPS behind a Network UPS Tools server (`upsd`).
#[driver(
    name = "Network UPS Tools", module = "Power", tcp = 3493, makebreak, framing = lines("\n"),
    refusal = why, settings = Options, status = State,
)]
impl Ups {
    /// The server says only to a command what it thinks of these.
    #[login]
    async fn sign_in(&self, cx: &Cx<Self>) -> Result {
        let settings = cx.settings();
        if let (Some(username), Some(password)) = (&settings.username, &settings.password) {
            self.ask(cx, &["USERNAME", username], prefix("OK")).await?;
            self.ask(cx, &["PASSWORD", password.reveal()], prefix("OK")).await?;
        }
        Ok(())
    }

    #[poll(every = poll_seconds)]
    async fn poll(&self, cx: &Cx<Self>) -> Result {
        let ups = &*cx.settings().ups;
        let end = exact(format!("END LIST VAR {ups}"));
        let list = self.ask(cx, &["LIST", "VAR", ups], lines_until(end)).await;
        let start = format!("VAR {ups} ");
        let variable = |line: &Frame| {
            let line = line.text();
            let (name, value) = line.strip_prefix(&start)?.split_once(' ')?;
            Some((name.to_owned(), unquoted(value)))
        };
        // What was true a moment ago may not be now: if the list does not come, nothing is known.
        let variables: HashMap<_, _> = list.iter().flatten().filter_map(variable).collect();
        let text = |name| variables.get(name).cloned();
        let number = |name| variables.get(name)?.parse().ok();
        let flag = |word| Some(variables.get("ups.status")?.split(' ').any(|found| found == word));
        cx.status.set(|status| {
            *status = State {
                status: text("ups.status"),
                on_battery: flag("OB"),
                low_battery: flag("LB"),
                charging: flag("CHRG"),
                overload: flag("OVER"),
                replace_battery: flag("RB"),
                battery_charge: number("battery.charge"),
                battery_runtime: number("battery.runtime"),
                load: number("ups.load"),
                input_voltage: number("input.voltage"),
                manufacturer: text("device.mfr"),
                model: text("device.model"),
            };
        });
        list.map(drop)
    }

    /// The value of one variable, such as `battery.temperature`.
    #[function]
    async fn variable(&self, cx: &Cx<Self>, name: String) -> Result<String> {
        let ups = &*cx.settings().ups;
        let value = prefix(format!("VAR {ups} {name} ")).map(|value| unquoted(&value.text()));
        self.ask(cx, &["GET", "VAR", ups, &name], value).await
    }

    /// Has the UPS carry out a command of its own, such as `test.battery.start` or `beeper.disable`.
    #[function(security = "support")]
    async fn command(&self, cx: &Cx<Self>, command: String) -> Result {
        self.ask(cx, &["INSTCMD", &cx.settings().ups, &command], prefix("OK")).await?;
        self.poll(cx).await
    }

    async fn ask<M: Matcher>(&self, cx: &Cx<Self>, words: &[&str], reply: M) -> Result<M::Output> {
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        cx.send(words.join(" ")).reply(reply).await
    }
}

/// `ERR UNKNOWN-UPS` as a sentence.
fn why(line: &str) -> Option<String> {
    let code = line.strip_prefix("ERR ")?.split(' ').next()?;
    let sentence = match code {
        "ACCESS-DENIED" => "the server refused the user name or password, or this user may not do that",
        "UNKNOWN-UPS" => "the server has no UPS of that name",
        "VAR-NOT-SUPPORTED" => "the UPS has no such variable",
        "CMD-NOT-SUPPORTED" => "the UPS has no such command",
        "INSTCMD-FAILED" => "the UPS failed to carry out the command",
        "DATA-STALE" => "the server has lost contact with the UPS",
        "DRIVER-NOT-CONNECTED" => "the server is not connected to the UPS",
        "USERNAME-REQUIRED" => "the server wants a user name: set `username`",
        "PASSWORD-REQUIRED" => "the server wants a password: set `password`",
        other => other,
    };
    Some(sentence.to_owned())
}

/// A word as the server reads it: in quotes, if it could be taken for more than one, or for none.
fn quoted(word: &str) -> String {
    let plain = |letter: char| !letter.is_whitespace() && !"\"\\#=".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    let escaped = word.replace('\\', r"\\").replace('"', "\\\"").replace('#', r"\#");
    format!("\"{escaped}\"")
}

/// `"a \"b\""` without its quotes.
fn unquoted(text: &str) -> String {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let mut letters = inner.chars();
    let next =
        || letters.next().and_then(|letter| if letter == '\\' { letters.next() } else { Some(letter) });
    std::iter::from_fn(next).collect()
}

drivers_sdk::main!(Ups, emulator = emulator::Emulator);
