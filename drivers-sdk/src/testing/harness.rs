//! What a test does with its driver: the steps.

use std::marker::PhantomData;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use drivers_sdk_protocol::Kind;
use drivers_sdk_protocol::manifest;
use drivers_sdk_protocol::message::{Form, Level};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::LocalSet;
use tokio::time::sleep;

use super::daemon::{self, Daemon, State, Wire};
use super::device::Far;
use super::report::{compare, report, text};
use super::step::Step;
use crate::driver::Driver;
use crate::emulator::Device;
use crate::error::{Error, Result};
use crate::framing::Framer;
use crate::matcher::{Match, Matcher};
use crate::panics;
use crate::settings::Settings;

/// How long a step waits, in the test's time, for what the driver should do.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a call may take: longer than anything a driver waits for.
const CALL: Duration = Duration::from_secs(600);
/// How long a module may take to start or to stop.
const LIFE: Duration = Duration::from_secs(10);
/// Nothing that is ready to run takes any time: after this, everything waits.
const SETTLE: Duration = Duration::from_millis(1);

/// A driver under test, which runs as in production, and the daemon and the device around it.
///
/// Each step is awaited; one that fails ends the test at that line, and says what was expected, what was seen, what went
/// over the wire before and what the driver logged. Time is paused: it moves while a step waits, and with
/// [`advance`](Self::advance). When the harness is dropped nothing may be left that the test did not look at: bytes the driver
/// sent, calls without an answer.
pub struct Harness<D: Driver> {
    pub(super) run: Run,
    driver: PhantomData<fn() -> D>,
}

impl<D: Driver> std::fmt::Debug for Harness<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Harness of {}", D::DECLARATION.name)
    }
}

/// What runs the driver. Only while a step is awaited does anything run.
#[derive(Clone)]
pub(super) struct Run {
    pub(super) local: Rc<LocalSet>,
    pub(super) daemon: Rc<Daemon>,
}

impl<D: Driver> Harness<D> {
    /// Starts a module with the settings' defaults. Its link is down until [`connect`](Self::connect).
    pub fn new() -> Step<Harness<D>> {
        Harness::with(json!({}))
    }

    /// Starts a module with these settings.
    pub fn with(settings: Value) -> Step<Harness<D>> {
        started(Harness::start(settings, None))
    }

    /// Starts a module with these settings, which may refuse them: the error that the daemon would show.
    pub fn try_with(settings: Value) -> Step<Result<Harness<D>>> {
        Step::new(Harness::start(settings, None))
    }

    /// Starts a module with these settings, connected to the package's model of the device.
    pub fn emulated<E: Device>(settings: Value) -> Step<Harness<D>> {
        Step::new(async move {
            let device = E::Settings::parse(&settings.to_string()).and_then(E::create);
            let device = device.map_err(|error| format!("the device model does not start: {error}"))?;
            Harness::emulated_by(device, settings).outcome().await
        })
    }

    /// As [`emulated`](Self::emulated), with a device that the test made.
    pub fn emulated_by(device: impl Device, settings: Value) -> Step<Harness<D>> {
        let device: Rc<dyn Far> = Rc::new(device);
        Step::new(async move {
            let harness = started(Harness::start(settings, Some(device))).outcome().await?;
            harness.connect().outcome().await?;
            Ok(harness)
        })
    }

    async fn start(settings: Value, device: Option<Rc<dyn Far>>) -> Result<Result<Harness<D>>, String> {
        pause()?;
        let local = Rc::new(LocalSet::new());
        let (daemon, answer) = local
            .run_until(async {
                let daemon = Daemon::serving::<D>(device).await?;
                daemon.state().settings = settings.clone();
                let kind = D::DECLARATION.kind;
                daemon.state().link.messages = D::DECLARATION.udp || kind == manifest::Kind::Websocket;
                let start = json!({
                    "id": "mod-test", "name": D::DECLARATION.module, "settings": settings,
                    "makebreak": daemon.makebreak,
                });
                let answer = daemon.request(Kind::Start, start.to_string().as_bytes(), LIFE).await?;
                sleep(SETTLE).await;
                Ok::<_, String>((daemon, answer))
            })
            .await?;
        Ok(answer.map(|_| Harness { run: Run { local, daemon }, driver: PhantomData }))
    }

    // === The link ===

    /// The link to the device comes up. (With a device model it is up already, and comes back by itself.)
    pub fn connect(&self) -> Step<()> {
        self.run.step(async |daemon| {
            if daemon.look().link.up {
                return Err("connect: the link is up already".into());
            }
            daemon.link_up();
            Ok(())
        })
    }

    /// The device closes the connection: the link goes down. A make-break link stays up: only its connection is over.
    pub fn disconnect(&self, detail: impl Into<String>) -> Step<()> {
        let detail = detail.into();
        self.run.step(async move |daemon| {
            if !daemon.look().link.open {
                return Err("disconnect: there is no connection".into());
            }
            daemon.connection_lost(&detail);
            Ok(())
        })
    }

    /// The device cannot be reached any more, until [`connect`](Self::connect). What needs it fails with `offline`.
    pub fn unreachable(&self, detail: impl Into<String>) -> Step<()> {
        let detail = detail.into();
        self.run.step(async move |daemon| {
            daemon.link_down("unreachable", &detail);
            Ok(())
        })
    }

    /// The driver sends exactly these bytes next; where the link has messages, they are one. Several expectations may
    /// share what the driver sent at once.
    pub fn expect(&self, bytes: impl Into<Vec<u8>>) -> Step<()> {
        let bytes = bytes.into();
        self.run.step(async move |daemon| expect(daemon, &bytes, None).await)
    }

    /// As [`expect`](Self::expect); and they are a WebSocket's text message.
    pub fn expect_text(&self, text: impl Into<String>) -> Step<()> {
        let text = text.into();
        self.run.step(async move |daemon| expect(daemon, text.as_bytes(), Some(Form::Text)).await)
    }

    /// The driver sends a command that this matches next, such as `prefix("LAMP ")`; gives what it reads. It sees the
    /// command without what the driver's framing puts around it.
    pub fn expect_match<M: Matcher>(&self, mut matcher: M) -> Step<M::Output> {
        self.run.step(async move |daemon| {
            let found = daemon.until(PATIENCE, |state| match state.wire.front() {
                Some(Wire::Sent { .. }) => state.wire.pop_front(),
                _ => None,
            });
            let Some(Wire::Sent { bytes, .. }) = found.await else {
                return Err(format!("a command was expected; {}", rest(&daemon.look())));
            };
            match matcher.offer(inner(daemon, &bytes)) {
                Match::Done(Ok(output)) => Ok(output),
                Match::Done(Err(error)) => {
                    Err(format!("the driver sent {}, which makes no sense: {error}", text(&bytes)))
                }
                _ => Err(format!("the driver sent {}, which is not what was expected", text(&bytes))),
            }
        })
    }

    /// The driver sends nothing more, for this time.
    pub fn expect_nothing(&self, time: Duration) -> Step<()> {
        self.run.step(async move |daemon| match daemon.until(time, |state| state.wire.pop_front()).await {
            Some(Wire::Sent { bytes, .. }) => Err(format!("the driver sent {}", text(&bytes))),
            Some(other) => Err(format!("nothing was expected, and {}", did(&other))),
            None => Ok(()),
        })
    }

    /// The driver goes on in TLS ([`Cx::start_tls`](crate::Cx::start_tls)).
    pub fn expect_start_tls(&self) -> Step<()> {
        self.run.step(async |daemon| match daemon.until(PATIENCE, |state| state.wire.pop_front()).await {
            Some(Wire::StartTls) => Ok(()),
            Some(other) => Err(format!("TLS was expected to begin, and {}", did(&other))),
            None => Err("TLS was expected to begin, and did not".into()),
        })
    }

    /// The driver drops the connection, or refuses to go on because the login failed; why. The link is down after that.
    pub fn expect_drop(&self) -> Step<String> {
        self.run.step(async |daemon| match daemon.until(PATIENCE, |state| state.wire.pop_front()).await {
            Some(Wire::Dropped { reason, .. }) => Ok(reason),
            Some(other) => Err(format!("the driver was expected to drop the connection; {}", did(&other))),
            None => Err("the driver was expected to drop the connection, and did not".into()),
        })
    }

    /// Forgets what the driver has sent until now: the test has nothing to say about it.
    pub fn ignore_sent(&self) {
        self.run.daemon.state().wire.clear();
    }

    /// What the device answers. The driver gets the bytes as they are: with their line end.
    pub fn reply(&self, bytes: impl Into<Vec<u8>>) -> Step<()> {
        self.arrive(Form::Bytes, bytes.into())
    }

    /// What the device says by itself.
    pub fn push(&self, bytes: impl Into<Vec<u8>>) -> Step<()> {
        self.arrive(Form::Bytes, bytes.into())
    }

    /// What the device says in a WebSocket's text message.
    pub fn push_text(&self, text: impl Into<String>) -> Step<()> {
        self.arrive(Form::Text, text.into().into_bytes())
    }

    fn arrive(&self, form: Form, bytes: Vec<u8>) -> Step<()> {
        self.run.step(async move |daemon| {
            if !daemon.look().link.open {
                return Err(format!("the device cannot say {}: there is no connection", text(&bytes)));
            }
            daemon.received(form, &bytes);
            Ok(())
        })
    }

    // === The module ===

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

impl<D: Driver> Drop for Harness<D> {
    #[allow(clippy::panic, reason = "a test fails by panicking")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        if let Some(why) = left(&self.run.daemon.look()) {
            panic!("{}", report(&format!("at the end of the test {why}"), &self.run.daemon.look()));
        }
    }
}

impl Run {
    /// Runs a step, and whatever it makes the driver do.
    pub(super) fn step<T: 'static>(
        &self,
        work: impl AsyncFnOnce(&Rc<Daemon>) -> Result<T, String> + 'static,
    ) -> Step<T> {
        let Run { local, daemon } = self.clone();
        Step::new(async move {
            let done = local.run_until(async {
                let result = work(&daemon).await;
                sleep(SETTLE).await;
                result
            });
            let result = done.await;
            let state = daemon.look();
            match &state.over {
                Some(over) => Err(report(over, &state)),
                None => result.map_err(|why| report(&why, &state)),
            }
        })
    }

    /// Calls a function.
    pub(super) fn call(&self, place: String, function: &str, args: impl Serialize) -> Step<Result<Value>> {
        let number = self.daemon.number();
        let args = match serde_json::to_value(args) {
            Ok(Value::Null) => Ok(json!([])),
            other => other,
        };
        let call = args.as_ref().map(|args| json!({ "function": function, "args": args }).to_string());
        let what = call.as_deref().unwrap_or(function).to_owned();
        if let Ok(call) = &call {
            let under_way = daemon::Call { what: function.into(), place, answer: None };
            self.daemon.state().calls.insert(number, under_way);
            self.daemon.send(Kind::Call, daemon::MODULE, number, call.as_bytes());
        }
        let unfit = call.err().map(|error| format!("the arguments of `{function}`: {error}"));
        self.step(async move |daemon| {
            if let Some(why) = unfit {
                return Err(why);
            }
            let answered = |state: &mut State| {
                state.calls.get(&number)?.answer.as_ref()?;
                state.calls.remove(&number)?.answer
            };
            daemon
                .until(CALL, answered)
                .await
                .ok_or_else(|| format!("the call {what} was not answered within {CALL:?} of the test's time"))
        })
    }
}

/// Turns the refusal of a start into a failure.
fn started<D: Driver>(
    start: impl Future<Output = Result<Result<Harness<D>>, String>> + 'static,
) -> Step<Harness<D>> {
    Step::new(async move {
        start.await?.map_err(|error: Error| format!("the module did not start: {}: {error}", error.code()))
    })
}

/// Stops the clock, which must be the test's own.
fn pause() -> Result<(), String> {
    panics::install_hook();
    match panics::guard(tokio::time::pause) {
        Err(failure) if !failure.message.contains("already frozen") => {
            Err(format!("a harness needs #[tokio::test], as it is: {}", failure.message))
        }
        _ => Ok(()),
    }
}

async fn expect(daemon: &Daemon, expected: &[u8], form: Option<Form>) -> Result<(), String> {
    let messages = daemon.look().link.messages;
    let found = daemon.until(PATIENCE, |state| {
        let seen = state.next_sent(messages, form);
        let whole = if messages { !state.wire.is_empty() } else { seen.len() >= expected.len() };
        let ends = whole || !expected.starts_with(&seen) || state.other_waits(&seen);
        ends.then_some(())
    });
    found.await;
    let mut state = daemon.state();
    let seen = state.next_sent(messages, form);
    let message = !messages || seen.len() == expected.len() && !state.wire.is_empty();
    if seen.starts_with(expected) && message {
        state.take_sent(expected.len());
        return Ok(());
    }
    let comparison = compare(expected, &seen);
    let more = if seen.is_empty() { format!("; {}", rest(&state)) } else { String::new() };
    Err(format!("the driver did not send what was expected{more}\n{comparison}"))
}

impl State {
    /// What the driver sent and no expectation took, up to something else that it did.
    fn next_sent(&self, messages: bool, form: Option<Form>) -> Vec<u8> {
        let sent = self.wire.iter().map_while(|wire| match wire {
            Wire::Sent { bytes, form: sent } if form.is_none_or(|form| form == *sent) => {
                Some(bytes.as_slice())
            }
            _ => None,
        });
        if messages { sent.take(1).collect::<Vec<_>>().concat() } else { sent.collect::<Vec<_>>().concat() }
    }

    /// Whether something comes after these bytes.
    fn other_waits(&self, seen: &[u8]) -> bool {
        seen.is_empty() && !self.wire.is_empty()
            || self.wire.iter().any(|wire| !matches!(wire, Wire::Sent { .. }))
    }

    fn take_sent(&mut self, mut length: usize) {
        loop {
            match self.wire.front_mut() {
                Some(Wire::Sent { bytes, .. }) if bytes.len() > length => {
                    bytes.drain(..length);
                    return;
                }
                Some(Wire::Sent { bytes, .. }) => {
                    length -= bytes.len();
                    self.wire.pop_front();
                }
                _ => return,
            }
            if length == 0 {
                return;
            }
        }
    }
}

/// What the driver did instead.
fn rest(state: &State) -> String {
    state.wire.front().map_or_else(|| format!("it did nothing within {PATIENCE:?} of the test's time"), did)
}

fn did(wire: &Wire) -> String {
    match wire {
        Wire::Sent { bytes, form: Form::Bytes } => format!("it sent {}", text(bytes)),
        Wire::Sent { bytes, form: Form::Text } => format!("it sent {} as text", text(bytes)),
        Wire::StartTls => "it began TLS".into(),
        Wire::Dropped { reason, .. } => format!("it dropped the connection: {reason}"),
    }
}

/// What nobody has looked at.
fn left(state: &State) -> Option<String> {
    if let Some(over) = &state.over {
        return Some(over.clone());
    }
    if let Some(wire) = state.wire.front() {
        return Some(format!("there is something of the driver that nobody expected: {}", did(wire)));
    }
    let mut calls = state.calls.values().filter(|call| call.answer.is_none());
    calls.next().map(|call| format!("the call of `{}` at {} has no answer", call.what, call.place))
}

/// A command without what the driver's framing puts around it.
fn inner<'a>(daemon: &Daemon, bytes: &'a [u8]) -> &'a [u8] {
    let mut framer = Framer::new(daemon.declaration.framing);
    let around = framer.encode(b"x").unwrap_or_default();
    let Some(at) = around.iter().position(|byte| *byte == b'x') else { return bytes };
    let (before, after) = (at, around.get(at + 1..).unwrap_or_default());
    let bytes = bytes.get(before..).unwrap_or(bytes);
    bytes.strip_suffix(after).unwrap_or(bytes)
}
