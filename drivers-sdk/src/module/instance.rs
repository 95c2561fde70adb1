//! A module with its driver: its start and end, and its calls. Each call is a task of its own, so that a slow one holds up
//! nothing. The handlers are in `handlers`, and in `meeting` what comes of `connected`.

mod handlers;
mod meeting;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use drivers_sdk_protocol::message::{self, Failure, Form, Level, LinkDown, LinkUp, code};
use tokio::sync::Notify;

use super::tasks::Scope;
use super::trouble::Trouble;
use super::{Core, Phase};
use crate::channel;
use crate::context::Cx;
use crate::driver::{Driver, Reply};
use crate::error::{Error, Result};
use crate::panics::{guard, guarded};
use crate::settings::Settings;
use crate::status::StatusHandle;

/// How long `stopped` may take: less than the three seconds after which the daemon takes a module for stuck.
pub(crate) const STOP_LIMIT: Duration = Duration::from_millis(2500);

/// What happens to a module, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Connected(u64),
    /// `connected` failed on this connection; it runs again, and if it fails again, then after this pause.
    Again(u64, Duration),
    Disconnected,
    SettingsChanged,
    SystemChanged,
    Follow,
}

/// A module.
pub(crate) struct Instance<D: Driver> {
    pub(crate) core: Rc<Core>,
    pub(crate) driver: D,
    pub(crate) cx: Cx<D>,
    events: RefCell<VecDeque<Event>>,
    handling: Cell<bool>,
    receiving: Cell<bool>,
    /// Wakes `connected` when its connection goes.
    link_lost: RefCell<Option<Waker>>,
    /// How `connected` fares.
    meeting: RefCell<Trouble>,
    /// How each poll does.
    polls: Box<[RefCell<Trouble>]>,
    /// What polls show may have changed: new settings are in force and `settings_changed` is done, or the driver says so.
    changed: Notify,
    /// The driver has said so, and the polls run in a moment.
    poll_soon: Cell<bool>,
}

impl<D: Driver> Instance<D> {
    /// Makes the module and begins `started`; `Start` is answered when that is done, or when it failed.
    pub(crate) fn start(core: Core, start: &message::Start) -> Option<Rc<Instance<D>>> {
        let core = Rc::new(core);
        let made = guard(|| {
            let settings = D::Settings::parse(start.settings.get())?;
            let driver = D::create(&settings)?;
            Ok::<_, Error>((settings, driver, StatusHandle::new(core.clone())))
        });
        let (settings, driver, status) = match made {
            Ok(Ok(made)) => made,
            Ok(Err(error)) => {
                core.refuse_start(&error);
                return None;
            }
            Err(failure) => {
                core.fail(&failure);
                return None;
            }
        };
        let instance = Rc::new_cyclic(|weak| Instance {
            cx: Cx::new(core.clone(), settings, status, weak.clone()),
            core,
            driver,
            events: RefCell::default(),
            handling: Cell::new(false),
            receiving: Cell::new(false),
            link_lost: RefCell::new(None),
            meeting: RefCell::default(),
            polls: D::DECLARATION.polls.iter().map(|_| RefCell::default()).collect(),
            changed: Notify::new(),
            poll_soon: Cell::new(false),
        });
        if let Err(failure) = guard(|| instance.cx.status.publish()) {
            instance.core.fail(&failure);
            return None;
        }
        if let Some(link) = &start.link {
            instance.link_up(link);
        }
        if D::DECLARATION.handlers.started {
            let this = instance.clone();
            instance.spawn(Scope::Module, async move {
                let result = this.driver.started(&this.cx).await;
                this.started(result);
            });
        } else {
            instance.started(Ok(()));
        }
        Some(instance)
    }

    fn started(self: &Rc<Self>, result: Result) {
        let Phase::Starting(correlation) = self.core.phase.get() else { return };
        match result {
            Ok(()) => {
                self.core.phase.set(Phase::Running);
                self.core.done(correlation);
                if self.core.logs_in_to_each() {
                    self.core.queue.require_login();
                    self.spawn(Scope::Module, self.clone().log_in_to_each());
                }
                self.event(Event::Follow);
                self.handle_events();
                self.handle_received();
            }
            Err(error) => self.core.refuse_start(&error),
        }
    }

    /// Runs a future of this module as a task that ends with it; the number of the task.
    pub(crate) fn spawn(self: &Rc<Self>, scope: Scope, future: impl Future<Output = ()> + 'static) -> u32 {
        let number = self.core.tasks.number();
        let core = self.core.clone();
        let task = tokio::task::spawn_local(async move {
            let result = guarded(future).await;
            core.tasks.remove(number);
            if let Err(failure) = result {
                core.fail(&failure);
            }
        });
        self.core.tasks.add(number, scope, task.abort_handle());
        number
    }

    /// Begins a call.
    pub(crate) fn call(self: &Rc<Self>, correlation: u32, payload: &[u8]) {
        let core = &self.core;
        let fail = |code: &str, message: String| {
            let failure = Failure { code: code.into(), message, ..Failure::default() };
            core.channel.fail(core.handle, correlation, &failure);
        };
        if matches!(core.phase.get(), Phase::Stopping | Phase::Ended) {
            return core.channel.fail(core.handle, correlation, &channel::stopped());
        }
        let call: message::Call<'_> = match serde_json::from_slice(payload) {
            Ok(call) => call,
            Err(error) => return fail(code::BAD_REQUEST, format!("the call cannot be read: {error}")),
        };
        let mut functions = D::DECLARATION.functions();
        let Some(function) = functions.position(|function| function.name == call.function) else {
            let message = format!("{} has no function `{}`", D::DECLARATION.name, call.function);
            return fail(code::UNKNOWN_FUNCTION, message);
        };
        let (this, args) = (self.clone(), call.args.get().to_owned());
        let user = call.user.as_deref().map(Rc::from);
        let task = tokio::task::spawn_local(async move {
            let core = &this.core;
            let reply = Reply { core, correlation };
            let mut call = std::pin::pin!(this.driver.call(&this.cx, function, args, reply));
            let call = |context: &mut Context<'_>| {
                core.tasks.within_call(correlation, || call.as_mut().poll(context))
            };
            match guarded(poll_fn(call)).await {
                Ok(result) => {
                    core.tasks.remove_call(correlation);
                    if let (Err(error), false) = (result, core.is_over()) {
                        core.channel.fail(core.handle, correlation, error.failure());
                    }
                }
                // Tells this caller as well.
                Err(failure) => core.fail(&failure),
            }
        });
        core.tasks.add_call(correlation, task.abort_handle(), user);
    }

    /// Nobody waits for the call any more: its commands leave the queue.
    pub(crate) fn cancel(&self, correlation: u32) {
        if let Some(call) = self.core.tasks.remove_call(correlation) {
            call.abort();
        }
    }

    pub(crate) fn link_up(self: &Rc<Self>, up: &LinkUp) {
        let link = &self.core.link;
        if link.connection.get() == up.connection {
            return;
        }
        if link.is_up() {
            // The end of the one before was not told; what it was used for is lost all the same.
            let detail = "another connection took its place".into();
            self.link_down(LinkDown { reason: "closed".into(), detail, connection: 0 });
        }
        self.core.link_up(up);
        self.event(Event::Connected(up.connection));
    }

    pub(crate) fn link_down(self: &Rc<Self>, why: LinkDown) {
        let was_up = self.core.link_down(why);
        if self.core.link.makebreak {
            // A command makes the next connection, so none may wait for the login of the one that failed.
            self.core.queue.open();
        } else {
            self.core.end_connection();
        }
        if let Some(connected) = self.link_lost.take() {
            connected.wake();
        }
        if was_up {
            self.event(Event::Disconnected);
        }
    }

    /// What the device sent.
    pub(crate) fn received(self: &Rc<Self>, bytes: &[u8], form: Form, acknowledge: u32) {
        self.core.received(bytes, form, acknowledge);
        self.listen_for_silence();
        self.handle_received();
    }

    /// New settings. They are in force when this returns; the handler runs after that.
    pub(crate) fn settings(self: &Rc<Self>, settings: &str) -> Result<(), Failure> {
        let settings = guard(|| D::Settings::parse(settings))?.map_err(|error| error.failure().clone())?;
        self.cx.replace_settings(settings);
        self.event(Event::SettingsChanged);
        Ok(())
    }

    pub(crate) fn system(self: &Rc<Self>, system: message::System) {
        self.core.system.replace(Some(Box::new(system)));
        self.event(Event::SystemChanged);
    }

    /// Ends the module; `Stop` is answered when `stopped` is done, or takes too long.
    pub(crate) fn stop(self: &Rc<Self>, correlation: u32) {
        if self.core.phase.get() == Phase::Stopping {
            return;
        }
        if let Phase::Starting(start) = self.core.phase.get() {
            self.core.channel.fail(self.core.handle, start, &channel::stopped());
        }
        self.core.abandon(&channel::stopped());
        if !D::DECLARATION.handlers.stopped {
            return self.core.end(correlation);
        }
        self.core.phase.set(Phase::Stopping);
        if self.core.logs_in_to_each() {
            self.spawn(Scope::Module, self.clone().log_in_to_each());
        }
        let this = self.clone();
        tokio::task::spawn_local(async move {
            let stopped = tokio::time::timeout(STOP_LIMIT, this.driver.stopped(&this.cx));
            match guarded(stopped).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => this.failed("stopped", &error),
                Ok(Err(_)) => {
                    this.core.log(Level::Warn, &format!("`stopped` took more than {STOP_LIMIT:?}: cut short"))
                }
                Err(failure) => {
                    let place = failure.place.as_deref().unwrap_or_default();
                    this.core
                        .log(Level::Error, &format!("panic in `stopped` at {place}: {}", failure.message));
                }
            }
            this.core.end(correlation);
        });
    }

    /// Logs the error of a handler.
    pub(crate) fn failed(&self, what: &str, error: &Error) {
        self.core.failed(what, error);
    }
}
