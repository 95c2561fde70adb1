//! A system around a logic module: modules that answer as the test says, and record what they are asked.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::{Rc, Weak};
use std::time::Duration;

use drivers_sdk_protocol::Kind;
use drivers_sdk_protocol::message::{self, CallModule, Monitor, Publish, StatusOf, code};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::daemon::{Daemon, MODULE};
use crate::error::{Error, Result};

/// How long the daemon lets a call to another module take.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// A system of fake modules, for [`Harness::in_system`](super::Harness::in_system). Clones are the same system, so a test
/// keeps one to change it and to see what was called. What a change makes the driver do has happened after the next step.
#[derive(Clone, Default)]
pub struct MockSystem(Rc<RefCell<Modules>>);

#[derive(Default)]
struct Modules {
    modules: BTreeMap<String, Vec<Fake>>,
    calls: Vec<Called>,
    /// By correlation: what is followed, and what it was told last.
    subscriptions: BTreeMap<u32, (StatusOf, Option<Value>)>,
    /// By correlation: the channel.
    monitors: BTreeMap<u32, String>,
    published: Vec<(String, Value)>,
    timezone: Option<String>,
    daemon: Weak<Daemon>,
}

/// A call that a fake module got.
#[derive(Clone, Debug, PartialEq)]
pub struct Called {
    /// `Display_1`.
    pub module: String,
    /// The function.
    pub function: String,
    /// A JSON array, or an object by name.
    pub args: Value,
}

type Answer = Rc<dyn Fn(&[Value]) -> Result<Value>>;

/// A fake module: status values, and functions.
#[derive(Clone, Default)]
pub struct Fake {
    status: BTreeMap<String, Value>,
    functions: HashMap<String, Function>,
    interfaces: Vec<String>,
}

#[derive(Clone)]
enum Function {
    Answer(Answer),
    /// Its argument becomes the status of this key.
    Sets(String),
    Silent,
}

impl std::fmt::Debug for MockSystem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("MockSystem").field(&self.0.borrow().counts()).finish()
    }
}

impl std::fmt::Debug for Fake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fake").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Fake {
    /// A module that has no status and no functions.
    pub fn new() -> Fake {
        Fake::default()
    }

    /// Its status has this value.
    pub fn status(mut self, key: &str, value: impl Serialize) -> Fake {
        self.status.insert(key.into(), serde_json::to_value(value).unwrap_or_default());
        self
    }

    /// It implements an interface, such as `Powerable`, and so is found by that.
    pub fn implements(mut self, interface: &str) -> Fake {
        self.interfaces.push(interface.into());
        self
    }

    /// It has a function, which answers this; arguments by name come in the order in which they were given.
    pub fn answer(mut self, function: &str, answer: impl Fn(&[Value]) -> Result<Value> + 'static) -> Fake {
        self.functions.insert(function.into(), Function::Answer(Rc::new(answer)));
        self
    }

    /// It has a function whose argument becomes the status value of this key, and its result: `.sets("power", "power")`.
    pub fn sets(mut self, function: &str, key: &str) -> Fake {
        self.functions.insert(function.into(), Function::Sets(key.into()));
        self
    }

    /// It has a function that does not answer; the daemon gives up after 30 s.
    pub fn silent(mut self, function: &str) -> Fake {
        self.functions.insert(function.into(), Function::Silent);
        self
    }
}

impl MockSystem {
    /// A system without modules.
    pub fn new() -> MockSystem {
        MockSystem::default()
    }

    /// Has one more module of this name: the first becomes `NAME_1`, the next `NAME_2`.
    pub fn module(self, name: &str, fake: Fake) -> MockSystem {
        self.0.borrow_mut().modules.entry(name.into()).or_default().push(fake);
        self
    }

    /// Is in a time zone from now on, which `cron` goes by: `Europe/London`.
    pub fn timezone(self, name: &str) -> MockSystem {
        self.0.borrow_mut().timezone = Some(name.into());
        self.changed();
        self
    }

    /// Adds a module, behind those of its name.
    pub fn add(&self, name: &str, fake: Fake) {
        self.0.borrow_mut().modules.entry(name.into()).or_default().push(fake);
        self.changed();
    }

    /// Removes a module; those behind it move up.
    pub fn remove(&self, name: &str, index: usize) {
        let mut system = self.0.borrow_mut();
        if let Some(modules) = system.modules.get_mut(name)
            && (1..=modules.len()).contains(&index)
        {
            modules.remove(index - 1);
        }
        system.modules.retain(|_, modules| !modules.is_empty());
        drop(system);
        self.changed();
    }

    /// Puts the modules of a name in another order: `reorder("Display", &[2, 1])` makes the second the first.
    pub fn reorder(&self, name: &str, order: &[usize]) {
        if let Some(modules) = self.0.borrow_mut().modules.get_mut(name) {
            *modules = order.iter().filter_map(|index| modules.get(index.checked_sub(1)?).cloned()).collect();
        }
        self.changed();
    }

    /// The status of a module changes; `None` or `null` removes the key.
    pub fn set(&self, name: &str, index: usize, key: &str, value: impl Serialize) {
        let value = serde_json::to_value(value).unwrap_or_default();
        if let Some(fake) = self.0.borrow_mut().fake(name, index) {
            fake.status.insert(key.into(), value);
        }
        self.notify();
    }

    /// The status value of a module; `null` if it has none.
    pub fn get(&self, name: &str, index: usize, key: &str) -> Value {
        let mut system = self.0.borrow_mut();
        system.fake(name, index).and_then(|fake| fake.status.get(key)).cloned().unwrap_or_default()
    }

    /// Somebody publishes this on a channel.
    pub fn publish(&self, channel: &str, value: impl Serialize) {
        let system = self.0.borrow();
        let value = serde_json::to_value(value).unwrap_or_default();
        if let Some(daemon) = system.daemon.upgrade() {
            for (number, _) in system.monitors.iter().filter(|(_, heard)| *heard == channel) {
                daemon.send(Kind::Notify, MODULE, *number, value.to_string().as_bytes());
            }
        }
    }

    /// What the driver published since the last time: channel and value.
    pub fn take_published(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.0.borrow_mut().published)
    }

    /// What was called since the last time, in order.
    pub fn take_calls(&self) -> Vec<Called> {
        std::mem::take(&mut self.0.borrow_mut().calls)
    }

    /// The module under test is in this system.
    pub(super) fn enter(&self, daemon: &Rc<Daemon>) {
        self.0.borrow_mut().daemon = Rc::downgrade(daemon);
    }

    /// As the daemon tells a logic module of it.
    pub(super) fn described(&self) -> Value {
        let system = self.0.borrow();
        let mut interfaces: BTreeMap<&str, Vec<(&str, usize)>> = BTreeMap::new();
        for (name, modules) in &system.modules {
            for (index, fake) in (1..).zip(modules) {
                for interface in &fake.interfaces {
                    interfaces.entry(interface).or_default().push((name, index));
                }
            }
        }
        json!({ "id": "sys-test", "name": "Test", "modules": system.counts(), "interfaces": interfaces,
                "timezone": system.timezone })
    }

    /// How many modules of each name it has.
    pub(super) fn counts(&self) -> BTreeMap<String, usize> {
        self.0.borrow().counts()
    }

    /// The status values that the module under test follows: name, index and key.
    pub(super) fn followed(&self) -> Vec<(String, usize, String)> {
        let system = self.0.borrow();
        let followed = system.subscriptions.values();
        followed.map(|(of, _)| (of.module.clone(), of.index as usize, of.key.clone())).collect()
    }

    fn changed(&self) {
        if let Some(daemon) = self.0.borrow().daemon.upgrade() {
            daemon.tell(Kind::System, self.described().to_string().as_bytes());
        }
        self.notify();
    }

    /// Tells the subscriptions what is new.
    fn notify(&self) {
        let mut system = self.0.borrow_mut();
        let Some(daemon) = system.daemon.upgrade() else { return };
        for (number, (of, _)) in system.subscriptions.clone() {
            let value = system.value(&of);
            if let Some((_, told)) = system.subscriptions.get_mut(&number)
                && *told != value
            {
                told.clone_from(&value);
                tell(&daemon, number, value);
            }
        }
    }

    /// A request of the module under test.
    pub(super) fn asked(&self, daemon: &Rc<Daemon>, kind: Kind, correlation: u32, payload: &[u8]) {
        if kind == Kind::Unsubscribe {
            let mut system = self.0.borrow_mut();
            system.subscriptions.remove(&correlation);
            system.monitors.remove(&correlation);
            return;
        }
        if kind == Kind::Monitor {
            if let Ok(monitor) = serde_json::from_slice::<Monitor>(payload) {
                self.0.borrow_mut().monitors.insert(correlation, monitor.channel);
            }
            return daemon.done(correlation);
        }
        if kind == Kind::Publish {
            if let Ok(Publish { channel, value }) = serde_json::from_slice(payload) {
                let value: Value = serde_json::from_str(value.get()).unwrap_or_default();
                self.0.borrow_mut().published.push((channel.to_string(), value.clone()));
                // Its own monitors hear it as well.
                self.publish(&channel, value);
            }
            return;
        }
        if kind == Kind::CallModule {
            return match serde_json::from_slice::<CallModule<'_>>(payload) {
                Ok(call) => self.call(daemon, correlation, &call),
                Err(error) => daemon.fail(correlation, code::BAD_REQUEST, &error.to_string()),
            };
        }
        let of: StatusOf = match serde_json::from_slice(payload) {
            Ok(of) => of,
            Err(error) => return daemon.fail(correlation, code::BAD_REQUEST, &error.to_string()),
        };
        let value = self.0.borrow_mut().value(&of);
        if kind == Kind::ReadStatus {
            let text = value.map_or(String::new(), |value| value.to_string());
            return daemon.done_with(correlation, text.as_bytes());
        }
        daemon.done(correlation);
        tell(daemon, correlation, value.clone());
        self.0.borrow_mut().subscriptions.insert(correlation, (of, value));
    }

    fn call(&self, daemon: &Rc<Daemon>, correlation: u32, call: &CallModule<'_>) {
        let (module, function) = (format!("{}_{}", call.module, call.index), call.function.to_string());
        let args: Value = serde_json::from_str(call.args.get()).unwrap_or_default();
        let list = match &args {
            Value::Array(list) => list.clone(),
            Value::Object(named) => named.values().cloned().collect(),
            _ => Vec::new(),
        };
        daemon.note(format!("calls {module}.{function}({})", call.args.get()));
        let mut system = self.0.borrow_mut();
        system.calls.push(Called { module: module.clone(), function: function.clone(), args });
        let index = usize::try_from(call.index).unwrap_or(usize::MAX);
        let found = match system.fake(&call.module, index) {
            None => Err((code::NOT_FOUND, format!("there is no module {module} in this system"))),
            Some(fake) => fake.functions.get(&function).cloned().ok_or_else(|| {
                let why = format!("{module} has no function `{function}`: Fake::answer gives it one");
                (code::UNKNOWN_FUNCTION, why)
            }),
        };
        // An answer may change the system.
        drop(system);
        let result = match found {
            Err((code, why)) => Err(Error::new(code, why)),
            Ok(Function::Answer(answer)) => answer(&list),
            Ok(Function::Sets(key)) => {
                let value = list.first().cloned().unwrap_or_default();
                self.set(&call.module, index, &key, &value);
                Ok(value)
            }
            Ok(Function::Silent) => {
                let daemon = daemon.clone();
                spawn_local(async move {
                    sleep(CALL_LIMIT).await;
                    daemon.fail(correlation, code::TIMEOUT, &format!("{module} did not answer {function}"));
                });
                return;
            }
        };
        match result {
            Ok(value) => daemon.done_with(correlation, value.to_string().as_bytes()),
            Err(error) => daemon.fail(correlation, error.code(), error.message()),
        }
    }
}

impl Modules {
    fn counts(&self) -> BTreeMap<String, usize> {
        self.modules.iter().map(|(name, modules)| (name.clone(), modules.len())).collect()
    }

    fn fake(&mut self, name: &str, index: usize) -> Option<&mut Fake> {
        self.modules.get_mut(name)?.get_mut(index.checked_sub(1)?)
    }

    fn value(&mut self, of: &StatusOf) -> Option<Value> {
        let index = usize::try_from(of.index).ok()?;
        self.fake(&of.module, index)?.status.get(&of.key).filter(|value| !value.is_null()).cloned()
    }
}

fn tell(daemon: &Daemon, subscription: u32, value: Option<Value>) {
    let text = value.map_or(String::new(), |value| value.to_string());
    daemon.send(Kind::Notify, MODULE, subscription, text.as_bytes());
}

/// What a logic module that no test has put in a system is told of what it asks for.
pub(super) fn nowhere(daemon: &Daemon, kind: Kind, correlation: u32) {
    let failure = message::code::NOT_FOUND;
    if !matches!(kind, Kind::Unsubscribe | Kind::Publish) {
        daemon.fail(correlation, failure, "this module is in no system: Harness::in_system puts it in one");
    }
}
