//! A system around a logic module: modules that answer as the test says, and record what they are asked.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::{Rc, Weak};

use drivers_sdk_protocol::Kind;
use drivers_sdk_protocol::message::StatusOf;
use serde::Serialize;
use serde_json::{Value, json};

use super::daemon::{Daemon, MODULE};
use crate::error::Result;

mod asked;

pub(super) use asked::nowhere;

/// The id of the system that the module under test is in.
const OWN: &str = "sys-test";

/// A system of fake modules, for [`Harness::in_system`](super::Harness::in_system). Clones are the same system, so a test
/// keeps one to change it and to see what was called. What a change makes the driver do has happened after the next step.
#[derive(Clone, Default)]
pub struct MockSystem(Rc<RefCell<Modules>>);

#[derive(Default)]
struct Modules {
    modules: BTreeMap<String, Vec<Fake>>,
    /// By id.
    others: BTreeMap<String, MockSystem>,
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

    /// Its status has this key, with this value; `None` for a key that has none yet.
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
        self.status.entry(key.into()).or_default();
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

    /// There is another system of this id, for [`Cx::system_by_id`](crate::Cx::system_by_id); there is none that no test has made.
    /// A clone of it changes it, and sees what was called there.
    #[track_caller]
    pub fn other(self, id: &str, system: MockSystem) -> MockSystem {
        if id == OWN {
            wrong(&format!("{OWN} is the id of the system that the module under test is in"));
        }
        system.0.borrow_mut().daemon = self.0.borrow().daemon.clone();
        self.0.borrow_mut().others.insert(id.into(), system);
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

    /// Removes a module, which must be there; those behind it move up.
    #[track_caller]
    pub fn remove(&self, name: &str, index: usize) {
        self.known(name, index);
        let mut system = self.0.borrow_mut();
        if let Some(modules) = system.modules.get_mut(name) {
            modules.remove(index - 1);
        }
        system.modules.retain(|_, modules| !modules.is_empty());
        drop(system);
        self.changed();
    }

    /// Puts the modules of a name in another order, each once: `reorder("Display", &[2, 1])` makes the second the first.
    #[track_caller]
    pub fn reorder(&self, name: &str, order: &[usize]) {
        self.known(name, 1);
        if let Some(modules) = self.0.borrow_mut().modules.get_mut(name) {
            let mut sorted = order.to_vec();
            sorted.sort_unstable();
            if !sorted.iter().copied().eq(1..=modules.len()) {
                wrong(&format!(
                    "{order:?} is no order of {name}_1 to {name}_{}: each has to be there once",
                    modules.len()
                ));
            }
            *modules = order.iter().filter_map(|index| modules.get(index.checked_sub(1)?).cloned()).collect();
        }
        self.changed();
    }

    /// The status of a module changes; `None` or `null`: it has no value. The module and the key must be there: see
    /// [`Fake::status`].
    #[track_caller]
    pub fn set(&self, name: &str, index: usize, key: &str, value: impl Serialize) {
        self.known_key(name, index, key);
        self.put(name, index, key, value);
    }

    /// The status value of a module; `null` if it has none. The module and the key must be there.
    #[track_caller]
    pub fn get(&self, name: &str, index: usize, key: &str) -> Value {
        self.known_key(name, index, key);
        let mut system = self.0.borrow_mut();
        system.fake(name, index).and_then(|fake| fake.status.get(key)).cloned().unwrap_or_default()
    }

    /// As [`set`](Self::set), if there is such a module, whatever its keys.
    pub(super) fn put(&self, name: &str, index: usize, key: &str, value: impl Serialize) {
        let value = serde_json::to_value(value).unwrap_or_default();
        if let Some(fake) = self.0.borrow_mut().fake(name, index) {
            fake.status.insert(key.into(), value);
        }
        self.notify();
    }

    #[track_caller]
    fn known(&self, name: &str, index: usize) {
        let mut system = self.0.borrow_mut();
        if system.fake(name, index).is_none() {
            let there = system.counts().into_iter();
            let there =
                there.flat_map(|(name, count)| (1..=count).map(move |index| format!("{name}_{index}")));
            wrong(&format!("there is no module {name}_{index} in this system: it has {}", listed(there)));
        }
    }

    #[track_caller]
    fn known_key(&self, name: &str, index: usize, key: &str) {
        self.known(name, index);
        let mut system = self.0.borrow_mut();
        if let Some(fake) = system.fake(name, index)
            && !fake.status.contains_key(key)
        {
            let there = listed(fake.status.keys().cloned());
            wrong(&format!(
                "{name}_{index} has no status `{key}`: it has {there}; Fake::status gives it one, also without a value"
            ));
        }
    }

    /// Somebody publishes this on a channel, which all systems share.
    pub fn publish(&self, channel: &str, value: impl Serialize) {
        let value = serde_json::to_value(value).unwrap_or_default();
        if let Some((daemon, home)) = self.home() {
            for (number, _) in home.0.borrow().monitors.iter().filter(|(_, heard)| *heard == channel) {
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
        let mut system = self.0.borrow_mut();
        system.daemon = Rc::downgrade(daemon);
        for other in system.others.values() {
            other.0.borrow_mut().daemon = Rc::downgrade(daemon);
        }
    }

    /// The system that the module under test is in, which knows what that follows.
    fn home(&self) -> Option<(Rc<Daemon>, MockSystem)> {
        let daemon = self.0.borrow().daemon.upgrade()?;
        let home = daemon.system.clone()?;
        Some((daemon, home))
    }

    /// The system of this id, as seen from here.
    fn named(&self, id: Option<&str>) -> Option<MockSystem> {
        match id {
            None | Some(OWN) => Some(self.clone()),
            Some(id) => self.0.borrow().others.get(id).cloned(),
        }
    }

    /// `None`: there is no such system, module or value.
    fn value(&self, of: &StatusOf) -> Option<Value> {
        let system = self.named(of.system.as_deref())?;
        system.0.borrow_mut().value(of)
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
        json!({ "id": OWN, "name": "Test", "modules": system.counts(), "interfaces": interfaces,
                "timezone": system.timezone })
    }

    /// How many modules of each name it has.
    pub(super) fn counts(&self) -> BTreeMap<String, usize> {
        self.0.borrow().counts()
    }

    /// The status values that the module under test follows: in which system, and name, index and key.
    pub(super) fn followed(&self) -> Vec<(MockSystem, StatusOf)> {
        let subscriptions = self.0.borrow().subscriptions.clone();
        let followed = subscriptions.into_values();
        followed.filter_map(|(of, _)| Some((self.named(of.system.as_deref())?, of))).collect()
    }

    /// Other modules are there.
    fn changed(&self) {
        if let Some((daemon, home)) = self.home()
            && Rc::ptr_eq(&home.0, &self.0)
        {
            daemon.tell(Kind::System, self.described().to_string().as_bytes());
        }
        self.notify();
    }

    /// Tells the subscriptions what is new.
    fn notify(&self) {
        let Some((daemon, home)) = self.home() else { return };
        let subscriptions = home.0.borrow().subscriptions.clone();
        for (number, (of, told)) in subscriptions {
            let value = home.value(&of);
            if told != value {
                tell(&daemon, number, value.clone());
                home.0.borrow_mut().subscriptions.insert(number, (of, value));
            }
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

#[track_caller]
#[allow(clippy::panic, reason = "a test fails by panicking")]
fn wrong(why: &str) -> ! {
    panic!("{why}")
}

fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

fn tell(daemon: &Daemon, subscription: u32, value: Option<Value>) {
    let text = value.map_or(String::new(), |value| value.to_string());
    daemon.send(Kind::Notify, MODULE, subscription, text.as_bytes());
}
