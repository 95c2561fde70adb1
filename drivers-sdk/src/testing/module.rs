//! The module under test: its functions, status, settings, log, and the time it lives in.

use std::panic::Location;
use std::time::Duration;

use drivers_sdk_protocol::Kind;
use drivers_sdk_protocol::manifest::Security;
use drivers_sdk_protocol::message::Level;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::daemon::State;
use super::harness::{Harness, LIFE};
use super::step::Step;
use crate::driver::{Declaration, Driver, Function};
use crate::error::{Error, Result};
use crate::schedule::clock;
use crate::webhook::{Webhook, WebhookReply};

/// Who calls: [`Harness::call_as`].
#[derive(Clone, Debug)]
pub struct User {
    id: String,
    clearance: Security,
}

impl User {
    /// A user with this id, who may call what is public.
    pub fn new(id: impl Into<String>) -> User {
        User { id: id.into(), clearance: Security::Public }
    }

    /// May also call what is for support.
    pub fn support(self) -> User {
        User { clearance: Security::Support, ..self }
    }

    /// May call everything.
    pub fn administrator(self) -> User {
        User { clearance: Security::Administrator, ..self }
    }
}

/// Every function, those of interfaces too.
fn functions(declaration: &'static Declaration) -> impl Iterator<Item = &'static Function> {
    let implemented = declaration.interfaces.iter().flat_map(|interface| interface.functions);
    declaration.functions.iter().chain(implemented)
}

impl<D: Driver> Harness<D> {
    /// Calls a function; it is under way at once, and the step waits for its result. Arguments are a tuple or array by
    /// position, or a map by name; `()` is none.
    #[track_caller]
    pub fn call(&self, function: &str, args: impl Serialize) -> Step<Result<Value>> {
        let place = Location::caller().to_string();
        self.run.call(place, function, args)
    }

    /// Calls a function for a user, whose id [`Cx::caller`](crate::Cx::caller) gives; refused, as the daemon does, if the function
    /// is not for such users.
    #[track_caller]
    pub fn call_as(&self, user: &User, function: &str, args: impl Serialize) -> Step<Result<Value>> {
        let place = Location::caller().to_string();
        let found = functions(D::DECLARATION).find(|known| known.name == function);
        let needed = found.map_or(Security::Public, |function| function.security);
        if needed > user.clearance {
            let needed = if needed == Security::Support { "support" } else { "administrator" };
            let refusal = Error::bad_request(format!("{function} needs {needed} clearance")).with_status(403);
            return Step::new(async { Ok(Err(refusal)) });
        }
        self.run.call_for(Some(&user.id), place, function, args)
    }

    /// A service makes a request to a `#[webhook]` function, and knows its secret; what it is answered.
    #[track_caller]
    pub fn webhook(&self, function: &str, request: Webhook) -> Step<Result<WebhookReply>> {
        let place = Location::caller().to_string();
        let known = functions(D::DECLARATION).any(|known| known.name == function && known.webhook);
        let name = function.to_owned();
        let answer = known.then(|| self.run.call(place, function, (request,)));
        Step::new(async move {
            let answer =
                answer.ok_or_else(|| format!("the driver has no #[webhook] `{name}`"))?.outcome().await?;
            let read = |value| serde_json::from_value(value).map_err(|error| format!("`{name}`: {error}"));
            answer.map_or_else(|error| Ok(Err(error)), |value| read(value).map(Ok))
        })
    }

    /// Waits until the module shows as connected, or not, with these words in the reason: as its link is, or as the driver
    /// says ([`Cx::set_connected`](crate::Cx::set_connected)).
    pub fn shows_connected(&self, connected: bool, reason: impl Into<String>) -> Step<()> {
        let reason = reason.into();
        self.run.step(async move |daemon| {
            let is_so = |state: &mut State| {
                let (seen, why) = state.link.shown();
                (seen == connected && why.contains(&reason)).then_some(())
            };
            daemon.until(daemon.patience(), is_so).await.ok_or_else(|| {
                let state = daemon.look();
                let (seen, why) = state.link.shown();
                format!("the module shows\n  expected connected: {connected}, {reason:?}\n  seen     connected: {seen}, {why:?}")
            })
        })
    }

    /// It is this time from now on, in UTC: `2026-11-22T06:59:30Z`. The clock goes on as the test's time does. What waits for a
    /// time ([`Cx::at`](crate::Cx::at), `cron`) sees it a minute later at most, so set it to a minute before what is to happen.
    pub fn set_clock(&self, utc: &str) -> Step<()> {
        let time =
            clock::read(utc).ok_or_else(|| format!("{utc:?} is no time: write it as 2026-11-22T06:59:30Z"));
        self.run.step(async move |_| time.map(clock::set))
    }

    /// Waits until a status key has this value; `None` or `null` for absent.
    pub fn status(&self, key: &str, value: impl Serialize) -> Step<()> {
        let (key, value) = (key.to_owned(), serde_json::to_value(value));
        self.run.step(async move |daemon| {
            let expected = value.map_err(|error| format!("status `{key}`: {error}"))?;
            let is_so = |state: &mut State| {
                (state.status.get(&key).unwrap_or(&Value::Null) == &expected).then_some(())
            };
            daemon.until(daemon.patience(), is_so).await.ok_or_else(|| {
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

    /// What the driver has logged since the last time, or since the line that [`logged`](Self::logged) waited for.
    pub fn take_log(&self) -> Vec<(Level, String)> {
        let mut state = self.run.daemon.state();
        let new: Vec<_> = state.log.iter().skip(state.log_taken).cloned().collect();
        state.log_taken = state.log.len();
        new
    }

    /// Waits until the driver has logged a line with this in it, and takes it and those before: the next `logged` waits for one
    /// behind it. [`take_log`](Self::take_log) takes all that is there.
    pub fn logged(&self, part: impl Into<String>) -> Step<()> {
        let part = part.into();
        self.run.step(async move |daemon| {
            let is_so = |state: &mut State| {
                let mut left = state.log.iter().skip(state.log_taken);
                state.log_taken += 1 + left.position(|(_, text)| text.contains(&part))?;
                Some(())
            };
            daemon.until(daemon.patience(), is_so).await.ok_or_else(|| {
                let state = daemon.look();
                let before = state.log_taken.checked_sub(1).and_then(|last| state.log.get(last));
                let behind = before.map_or(String::new(), |(_, line)| format!(" after {line:?}"));
                format!("the driver did not log {part:?}{behind}")
            })
        })
    }

    /// Stops the module, as the daemon does; its `#[stopped]` may still use the link.
    pub fn stop(&self) -> Step<()> {
        self.run.step(async |daemon| {
            daemon.request(Kind::Stop, &[], LIFE).await?.map(drop).map_err(|error| error.to_string())
        })
    }
}
