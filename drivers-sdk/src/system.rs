//! The other modules of a logic module's system.

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
use crate::channel::{Notice, Pending};
use crate::context::Cx;
use crate::driver::{Driver, Outcome};
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
        Module { core: self.core.clone(), instance: self.instance.clone(), name: name.into(), index }
    }

    /// Every module of this name, as the system is now.
    pub fn all(&self, name: &str) -> Modules<D> {
        Modules((1..=self.count(name)).map(|index| self.module(name, index)).collect())
    }
}

/// Another module, found by name and index at each use: whichever has that place then.
pub struct Module<D: Driver> {
    core: Rc<Core>,
    instance: Weak<Instance<D>>,
    name: String,
    index: u32,
}

impl<D: Driver> std::fmt::Debug for Module<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}_{}", self.name, self.index)
    }
}

impl<D: Driver> Module<D> {
    /// Calls a function when awaited: `display.call("power", (true,)).await?`.
    ///
    /// Arguments are a tuple or array by position, or a map or struct by name; `()` is none. The result is JSON unless
    /// [`returning`](Call::returning) says what it is read as.
    pub fn call(&self, function: impl Into<String>, args: impl Serialize) -> Call {
        Call {
            core: self.core.clone(),
            module: self.name.clone(),
            index: self.index,
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
        core.subscriptions.borrow_mut().push(number);
        if core.is_over()
            || core.channel.send_json(Kind::Subscribe, core.handle, number, &self.status_of(key)).is_err()
        {
            core.channel.forget(number);
        }
        Subscription { core, number }
    }

    fn status_of(&self, key: &str) -> StatusOf {
        StatusOf { system: None, module: self.name.clone(), index: self.index, key: key.into() }
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
    module: String,
    index: u32,
    function: String,
    args: Result<Box<RawValue>>,
    output: PhantomData<fn() -> T>,
}

impl<T> std::fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}_{}.{}(…)", self.module, self.index, self.function)
    }
}

impl<T> Call<T> {
    /// Reads the result as a `U`.
    pub fn returning<U: DeserializeOwned + 'static>(self) -> Call<U> {
        let Call { core, module, index, function, args, output: _ } = self;
        Call { core, module, index, function, args, output: PhantomData }
    }
}

impl<T: DeserializeOwned + 'static> IntoFuture for Call<T> {
    type Output = Result<T>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<T>>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let mut args = self.args?;
            if args.get() == "null" {
                args = to_raw_value(&[(); 0])?;
            }
            let call = CallModule {
                system: None,
                module: self.module.as_str().into(),
                index: self.index,
                function: self.function.as_str().into(),
                args: &args,
                call: self.core.tasks.call(),
            };
            let answer = self.core.request(Kind::CallModule, &call)?.await?;
            let json = if answer.is_empty() { b"null" } else { &*answer };
            serde_json::from_slice(json).map_err(|error| {
                let (module, index, function) = (&self.module, self.index, &self.function);
                Error::driver(format!("the result of {module}_{index}.{function}: {}", bare(&error)))
            })
        })
    }
}

/// A subscription, to cancel it. Dropping this does not: a subscription ends with the module that made it.
#[derive(Clone, Debug)]
pub struct Subscription {
    core: Rc<Core>,
    number: u32,
}

impl Subscription {
    /// Ends it.
    pub fn cancel(&self) {
        self.core.subscriptions.borrow_mut().retain(|number| *number != self.number);
        self.core.channel.forget(self.number);
        if !self.core.is_over() {
            let _ = self.core.channel.send(Kind::Unsubscribe, self.core.handle, self.number, |_| {});
        }
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
