//! What a test does with its driver: the steps.

use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use drivers_sdk_protocol::{Kind, manifest};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::LocalSet;
use tokio::time::sleep;

use super::daemon::{self, Around, Daemon, State};
use super::device::Far;
use super::link::did;
use super::report::report;
use super::step::Step;
use super::system::MockSystem;
use crate::driver::Driver;
use crate::emulator::Device;
use crate::error::{Error, Result};
use crate::panics;
use crate::settings::Settings;

/// How long a step waits, in the test's time, for what the driver should do.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// The same where time is not the test's.
const REAL_PATIENCE: Duration = Duration::from_secs(10);
/// How long a call may take: longer than anything a driver waits for.
const CALL: Duration = Duration::from_secs(600);
/// How long a module may take to start or to stop.
pub(super) const LIFE: Duration = Duration::from_secs(10);
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
        started(Harness::start(settings, Around::default()))
    }

    /// Starts a module with these settings, which may refuse them: the error that the daemon would show.
    pub fn try_with(settings: Value) -> Step<Result<Harness<D>>> {
        Step::new(Harness::start(settings, Around::default()))
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
        Harness::beside(Rc::new(device), settings)
    }

    /// Starts a module with these settings, connected to this device.
    pub(super) fn beside(device: Rc<dyn Far>, settings: Value) -> Step<Harness<D>> {
        let around = Around { device: Some(device), system: None };
        Step::new(async move {
            let harness = started(Harness::start(settings, around)).outcome().await?;
            harness.connect().outcome().await?;
            Ok(harness)
        })
    }

    /// Starts a logic module in this system.
    pub fn in_system(system: MockSystem) -> Step<Harness<D>> {
        Harness::in_system_with(system, json!({}))
    }

    /// Starts a logic module with these settings in this system.
    pub fn in_system_with(system: MockSystem, settings: Value) -> Step<Harness<D>> {
        let around = Around { device: None, system: Some(system) };
        started(Harness::start(settings, around))
    }

    async fn start(settings: Value, around: Around) -> Result<Result<Harness<D>>, String> {
        Ok(Run::start::<D>(settings, around).await?.map(|run| Harness { run, driver: PhantomData }))
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
    /// Starts a module; the error inside is what it refused the start with.
    pub(super) async fn start<D: Driver>(settings: Value, around: Around) -> Result<Result<Run>, String> {
        let real = around.device.as_ref().is_some_and(|device| device.is_real());
        if !real {
            pause()?;
        }
        let local = Rc::new(LocalSet::new());
        let (daemon, answer) = local
            .run_until(async {
                let daemon = Daemon::serving::<D>(around).await?;
                daemon.state().settings = settings.clone();
                daemon.state().patience = if real { REAL_PATIENCE } else { PATIENCE };
                let kind = D::DECLARATION.kind;
                daemon.state().link.messages = D::DECLARATION.udp || kind == manifest::Kind::Websocket;
                let mut start = json!({
                    "id": "mod-test", "name": D::DECLARATION.module, "settings": settings,
                    "makebreak": daemon.makebreak,
                });
                if let (Some(system), Value::Object(start)) = (&daemon.system, &mut start) {
                    start.insert("system".into(), system.described());
                }
                let answer = daemon.request(Kind::Start, start.to_string().as_bytes(), LIFE).await?;
                sleep(SETTLE).await;
                Ok::<_, String>((daemon, answer))
            })
            .await?;
        Ok(answer.map(|_| Run { local, daemon }))
    }

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

    /// Calls a function, for no user.
    pub(super) fn call(&self, place: String, function: &str, args: impl Serialize) -> Step<Result<Value>> {
        self.call_for(None, place, function, args)
    }

    pub(super) fn call_for(
        &self,
        user: Option<&str>,
        place: String,
        function: &str,
        args: impl Serialize,
    ) -> Step<Result<Value>> {
        let number = self.daemon.number();
        let args = match serde_json::to_value(args) {
            Ok(Value::Null) => Ok(json!([])),
            other => other,
        };
        let call = args.as_ref().map(|args| {
            let mut call = json!({ "function": function, "args": args });
            if let (Some(user), Value::Object(call)) = (user, &mut call) {
                call.insert("user".into(), user.into());
            }
            call.to_string()
        });
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

/// What nobody has looked at.
fn left(state: &State) -> Option<String> {
    if let Some(over) = &state.over {
        return Some(over.clone());
    }
    if let Some(wire) = state.wire.front() {
        return Some(format!("there is something of the driver that nobody expected: {}", did(wire)));
    }
    if let Some(asked) = state.http.front() {
        return Some(format!("a request waits for its answer: {} {}", asked.head.method, asked.head.url));
    }
    if let Some(execed) = state.exec.front() {
        return Some(format!("a command on the SSH server waits for its end: {}", execed.command));
    }
    let mut calls = state.calls.values().filter(|call| call.answer.is_none());
    calls.next().map(|call| format!("the call of `{}` at {} has no answer", call.what, call.place))
}
