//! The other modules of a logic module's system, and those of other systems.

pub(crate) mod pubsub;

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::{Rc, Weak};

use drivers_sdk_protocol::Kind;
use drivers_sdk_protocol::message::{CallModule, Level, StatusOf};
use futures_util::future::join_all;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::args::bare;
use crate::channel::{Notice, Pending, Request};
use crate::context::Cx;
use crate::driver::{Driver, Need, Outcome};
use crate::error::{Error, Result};
use crate::module::Core;
use crate::module::instance::Instance;
use crate::module::tasks::Scope;

/// The system a logic module is in: `cx.system()`.
pub struct System<D: Driver> {
    core: Rc<Core>,
    instance: Weak<Instance<D>>,
}

impl<D: Driver> std::fmt::Debug for System<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("System").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl<D: Driver> System<D> {
    pub(crate) fn new(core: Rc<Core>, instance: Weak<Instance<D>>) -> System<D> {
        System { core, instance }
    }

    /// Its id (`sys-…`); empty for a module that is not in one system.
    pub fn id(&self) -> String {
        self.core.system.borrow().as_ref().map_or_else(String::new, |system| system.id.clone())
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.core.system.borrow().as_ref().map_or_else(String::new, |system| system.name.clone())
    }

    /// How many modules of this name it has.
    pub fn count(&self, name: &str) -> u32 {
        let system = self.core.system.borrow();
        system.as_ref().and_then(|system| system.modules.get(name)).copied().unwrap_or(0)
    }

    /// The names of its modules, in alphabetical order.
    pub fn names(&self) -> Vec<String> {
        self.core.system.borrow().iter().flat_map(|system| system.modules.keys().cloned()).collect()
    }

    /// The module of this name and index, which counts from 1. It need not exist: a call says so, a status is absent.
    pub fn module(&self, name: impl Into<String>, index: u32) -> Module<D> {
        let (core, instance) = (self.core.clone(), self.instance.clone());
        Module { core, instance, system: None, name: name.into(), index }
    }

    /// Every module of this name, as the system is now.
    pub fn all(&self, name: &str) -> Modules<D> {
        Modules((1..=self.count(name)).map(|index| self.module(name, index)).collect())
    }

    /// Every other module that has an interface, in the order of the system as it is now:
    /// `cx.system().implementing(Powerable)`, or by the interface's name.
    ///
    /// When modules come and go, `#[system_changed]` runs; a module found before is whichever has its name and index then.
    pub fn implementing(&self, interface: impl AsRef<str>) -> Modules<D> {
        let system = self.core.system.borrow();
        let places = system.as_ref().and_then(|system| system.interfaces.get(interface.as_ref()));
        let places = places.into_iter().flatten();
        Modules(places.map(|(name, index)| self.module(name.clone(), *index)).collect())
    }

    /// What the driver `requires` and the system has not: names of modules and of interfaces. The API shows it too.
    pub fn lacks(&self) -> Vec<&'static str> {
        let lacked = self.core.declaration.requires.iter().filter_map(|need| match need {
            Need::Module(name) => (self.count(name) == 0).then_some(*name),
            Need::Interface(name) => self.implementing(name).is_empty().then_some(*name),
        });
        lacked.collect()
    }
}

/// Another system, by its id: `cx.system_by_id("sys-…")`.
pub struct OtherSystem<D: Driver> {
    core: Rc<Core>,
    instance: Weak<Instance<D>>,
    id: Rc<str>,
}

impl<D: Driver> std::fmt::Debug for OtherSystem<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("OtherSystem").field(&self.id).finish()
    }
}

impl<D: Driver> OtherSystem<D> {
    pub(crate) fn new(core: Rc<Core>, instance: Weak<Instance<D>>, id: &str) -> OtherSystem<D> {
        OtherSystem { core, instance, id: id.into() }
    }

    /// The module of this name and index, which counts from 1. Neither it nor the system need exist: a call says so, a status
    /// is absent.
    pub fn module(&self, name: impl Into<String>, index: u32) -> Module<D> {
        let (core, instance) = (self.core.clone(), self.instance.clone());
        Module { core, instance, system: Some(self.id.clone()), name: name.into(), index }
    }
}

/// Another module, found by name and index at each use: whichever has that place then.
pub struct Module<D: Driver> {
    core: Rc<Core>,
    instance: Weak<Instance<D>>,
    /// `None`: the module's own.
    system: Option<Rc<str>>,
    name: String,
    index: u32,
}

impl<D: Driver> std::fmt::Debug for Module<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(system) = &self.system {
            write!(f, "{system}/")?;
        }
        write!(f, "{}_{}", self.name, self.index)
    }
}

impl<D: Driver> Module<D> {
    /// The name it is found by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which of those with this name, from 1.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Calls a function when awaited: `display.call("power", (true,)).await?`.
    ///
    /// Arguments are a tuple or array by position, or a map or struct by name; `()` is none. The result is JSON unless
    /// [`returning`](Call::returning) says what it is read as.
    pub fn call(&self, function: impl Into<String>, args: impl Serialize) -> Call {
        Call {
            core: self.core.clone(),
            place: self.status_of(""),
            function: function.into(),
            args: to_raw_value(&args).map_err(Error::from),
            output: PhantomData,
        }
    }

    /// A status value as it is now; `None` if there is none.
    pub async fn status<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let answer = self.core.request(Kind::ReadStatus, &self.status_of(key))?.await?;
        if answer.is_empty() { Ok(None) } else { self.read(key, &answer) }
    }

    /// Runs `changed` with the value of a status key now, and after every change: `None` while there is none.
    ///
    /// It follows the name and index, whichever module has them, until this module ends. Changes arrive in order; while
    /// `changed` is busy only the newest waits.
    pub fn subscribe<T, F, R>(&self, key: &str, changed: F) -> Subscription
    where
        T: DeserializeOwned + 'static,
        F: AsyncFn(&D, &Cx<D>, Option<T>) -> R + 'static,
        R: Outcome,
    {
        let follower = Rc::new(Follower {
            instance: self.instance.clone(),
            what: format!("status `{key}` of {self:?}"),
            newest: RefCell::new(None),
            busy: Cell::new(false),
            changed,
            value: PhantomData::<fn() -> T>,
        });
        let core = self.core.clone();
        let number = core.channel.register(Pending::Subscription(Rc::new(move |notice| match notice {
            Notice::Value(value) => follower.clone().notified(value),
            Notice::Refused(failure) => {
                if let Some(instance) = follower.instance.upgrade() {
                    instance.core.log(Level::Warn, &format!("{}: {}", follower.what, failure.message));
                }
            }
        })));
        core.subscribed(number);
        if core.is_over()
            || core.channel.send_json(Kind::Subscribe, core.handle, number, &self.status_of(key)).is_err()
        {
            core.channel.forget(number);
        }
        Subscription { core, number }
    }

    fn status_of(&self, key: &str) -> StatusOf {
        let system = self.system.as_deref().map(Into::into);
        StatusOf { system, module: self.name.clone(), index: self.index, key: key.into() }
    }

    fn read<T: DeserializeOwned>(&self, key: &str, json: &[u8]) -> Result<Option<T>> {
        serde_json::from_slice(json)
            .map_err(|error| Error::driver(format!("status `{key}` of {self:?}: {}", bare(&error))))
    }
}

/// Several modules, in order.
#[derive(Debug)]
pub struct Modules<D: Driver>(Vec<Module<D>>);

impl<D: Driver> Modules<D> {
    /// Calls a function of all at the same time; the results in the same order.
    pub async fn call(&self, function: &str, args: impl Serialize) -> Vec<Result<Value>> {
        join_all(self.0.iter().map(|module| module.call(function, &args).into_future())).await
    }

    /// The first, if there is any.
    pub fn first(&self) -> Option<&Module<D>> {
        self.0.first()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The modules.
    pub fn iter(&self) -> impl Iterator<Item = &Module<D>> {
        self.0.iter()
    }
}

impl<D: Driver> IntoIterator for Modules<D> {
    type Item = Module<D>;
    type IntoIter = std::vec::IntoIter<Module<D>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// A call of another module's function, made when it is awaited.
#[must_use = "a call is made when it is awaited"]
pub struct Call<T = Value> {
    core: Rc<Core>,
    /// Its key is empty.
    place: StatusOf,
    function: String,
    args: Result<Box<RawValue>>,
    output: PhantomData<fn() -> T>,
}

impl<T> std::fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}_{}.{}(…)", self.place.module, self.place.index, self.function)
    }
}

impl<T> Call<T> {
    /// Reads the result as a `U`.
    pub fn returning<U: DeserializeOwned + 'static>(self) -> Call<U> {
        let Call { core, place, function, args, output: _ } = self;
        Call { core, place, function, args, output: PhantomData }
    }

    /// Makes the call, for whom the code that runs now works.
    fn make(&self) -> Result<Request> {
        let args = self.args.as_ref().map_err(Clone::clone)?;
        let none = to_raw_value(&[(); 0])?;
        let call = CallModule {
            system: self.place.system.as_deref().map(Into::into),
            module: self.place.module.as_str().into(),
            index: self.place.index,
            function: self.function.as_str().into(),
            args: if args.get() == "null" { &none } else { args },
            call: self.core.tasks.call(),
        };
        self.core.request(Kind::CallModule, &call)
    }
}

impl Call {
    /// Calls at once without waiting: an error goes to the log. The call ends with this module, and not with the function that
    /// makes it; it is made for whom that was called, and has the time that is left for it.
    pub fn detach(self) {
        // Made now: the daemon knows for whom only while the function is not over.
        let request = self.make();
        let (core, number) = (self.core.clone(), self.core.tasks.number());
        let task = tokio::task::spawn_local(async move {
            let result = async { request?.await };
            if let Err(error) = result.await {
                self.core.log(Level::Warn, &format!("{self:?}: {error}"));
            }
            self.core.tasks.remove(number);
        });
        core.tasks.add(number, Scope::Module, task.abort_handle());
    }
}

impl<T: DeserializeOwned + 'static> IntoFuture for Call<T> {
    type Output = Result<T>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<T>>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let answer = self.make()?.await?;
            let json = if answer.is_empty() { b"null" } else { &*answer };
            serde_json::from_slice(json).map_err(|error| {
                let (module, index, function) = (&self.place.module, self.place.index, &self.function);
                Error::driver(format!("the result of {module}_{index}.{function}: {}", bare(&error)))
            })
        })
    }
}

/// A subscription, to status or to a channel, to cancel it. Dropping this does not: a subscription ends with the module that made
/// it, with the connection in whose `#[connected]` it was made, or with the next run of the `#[follow]` that did.
#[derive(Clone, Debug)]
pub struct Subscription {
    pub(crate) core: Rc<Core>,
    pub(crate) number: u32,
}

impl Subscription {
    /// Ends it.
    pub fn cancel(&self) {
        self.core.unsubscribe(self.number);
    }
}

/// Hands a subscription's values to its callback, one at a time.
struct Follower<D: Driver, T, F> {
    instance: Weak<Instance<D>>,
    what: String,
    newest: RefCell<Option<Box<[u8]>>>,
    busy: Cell<bool>,
    changed: F,
    value: PhantomData<fn() -> T>,
}

impl<D, T, F, R> Follower<D, T, F>
where
    D: Driver,
    T: DeserializeOwned + 'static,
    F: AsyncFn(&D, &Cx<D>, Option<T>) -> R + 'static,
    R: Outcome,
{
    fn notified(self: Rc<Self>, value: &[u8]) {
        self.newest.replace(Some(value.into()));
        let Some(instance) = self.instance.upgrade() else { return };
        if self.busy.replace(true) || instance.core.is_over() {
            return;
        }
        let this = instance.clone();
        instance.spawn(Scope::Module, async move {
            while let Some(json) = self.newest.take() {
                let value = if json.is_empty() { Ok(None) } else { serde_json::from_slice(&json) };
                let result = match value {
                    Ok(value) => (self.changed)(&this.driver, &this.cx, value).await.outcome(),
                    Err(error) => Err(Error::driver(bare(&error))),
                };
                if let Err(error) = result {
                    this.failed(&self.what, &error);
                }
            }
            self.busy.set(false);
        });
    }
}
