//! The module under test: its functions, status, settings, log, and the time it lives in.

use std::panic::Location;
use std::time::Duration;

use drivers_sdk_protocol::Kind;
use drivers_sdk_protocol::message::Level;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::daemon::State;
use super::harness::{Harness, LIFE, PATIENCE};
use super::step::Step;
use crate::driver::Driver;
use crate::error::Result;

impl<D: Driver> Harness<D> {
    /// Calls a function; it is under way at once, and the step waits for its result. Arguments are a tuple or array by
    /// position, or a map by name; `()` is none.
    #[track_caller]
    pub fn call(&self, function: &str, args: impl Serialize) -> Step<Result<Value>> {
        let place = Location::caller().to_string();
        self.run.call(place, function, args)
    }

    /// Waits until a status key has this value; `None` or `null` for absent.
    pub fn status(&self, key: &str, value: impl Serialize) -> Step<()> {
        let (key, value) = (key.to_owned(), serde_json::to_value(value));
        self.run.step(async move |daemon| {
            let expected = value.map_err(|error| format!("status `{key}`: {error}"))?;
            let is_so = |state: &mut State| {
                (state.status.get(&key).unwrap_or(&Value::Null) == &expected).then_some(())
            };
            daemon.until(PATIENCE, is_so).await.ok_or_else(|| {
                let state = daemon.look();
                let seen = state.status.get(&key).map_or("absent".into(), Value::to_string);
                let all = serde_json::to_string_pretty(&state.status).unwrap_or_default();
                format!("status `{key}`\n  expected {expected}\n  seen     {seen}\n\nthe whole status: {all}")
            })
        })
    }

    /// The value of a status key at this moment.
    pub fn status_now(&self, key: &str) -> Option<Value> {
        self.run.daemon.look().status.get(key).cloned()
    }

    /// New settings for the running module, all of them; an error if it refuses them.
    pub fn settings(&self, settings: Value) -> Step<Result> {
        self.run.step(async move |daemon| {
            let message = json!({ "settings": settings }).to_string();
            let answer = daemon.request(Kind::Settings, message.as_bytes(), LIFE).await?;
            if answer.is_ok() {
                daemon.state().settings = settings;
            }
            Ok(answer.map(drop))
        })
    }

    /// The settings as they are: those the test gave, and what the driver saved.
    pub fn settings_now(&self) -> Value {
        self.run.daemon.look().settings.clone()
    }

    /// Lets time pass. What is due in it happens, each at its moment.
    pub fn advance(&self, time: Duration) -> Step<()> {
        self.run.step(async move |_| {
            sleep(time).await;
            Ok(())
        })
    }

    /// What the driver has logged so far.
    pub fn log(&self) -> Vec<(Level, String)> {
        self.run.daemon.look().log.clone()
    }

    /// Waits until the driver has logged a line with this in it.
    pub fn logged(&self, part: impl Into<String>) -> Step<()> {
        let part = part.into();
        self.run.step(async move |daemon| {
            let is_so =
                |state: &mut State| state.log.iter().any(|(_, text)| text.contains(&part)).then_some(());
            daemon.until(PATIENCE, is_so).await.ok_or_else(|| format!("the driver did not log {part:?}"))
        })
    }

    /// Stops the module, as the daemon does; its `#[stopped]` may still use the link.
    pub fn stop(&self) -> Step<()> {
        self.run.step(async |daemon| {
            daemon.request(Kind::Stop, &[], LIFE).await?.map(drop).map_err(|error| error.to_string())
        })
    }
}
