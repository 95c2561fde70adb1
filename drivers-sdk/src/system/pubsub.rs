//! Channels: what modules say to whoever listens, by the name of a channel.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::rc::{Rc, Weak};

use drivers_sdk_protocol::message::{Level, Monitor, Publish};
use drivers_sdk_protocol::{Kind, MAX_CHANNEL, MAX_PUBLISHED};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::to_raw_value;

use super::Subscription;
use crate::args::bare;
use crate::channel::{Notice, Pending};
use crate::context::Cx;
use crate::driver::{Driver, Outcome};
use crate::error::{Error, Result};
use crate::module::Core;
use crate::module::instance::Instance;
use crate::module::tasks::Scope;

/// How many values wait for a listener that is busy.
const WAITING: usize = 1000;

pub(crate) fn publish(core: &Core, channel: &str, value: &(impl Serialize + ?Sized)) -> Result {
    core.has_feature(Kind::Publish)?;
    named(channel)?;
    let value = to_raw_value(value)?;
    let length = value.get().len();
    if length > MAX_PUBLISHED {
        return Err(Error::driver(format!(
            "{length} bytes are too much for the channel {channel:?}: {MAX_PUBLISHED} at most"
        )));
    }
    let publish = Publish { channel: channel.into(), value: &value };
    core.channel.send_json(Kind::Publish, core.handle, 0, &publish)
}

pub(crate) fn monitor<D, T, F, R>(
    core: &Rc<Core>,
    instance: &Weak<Instance<D>>,
    channel: &str,
    heard: F,
) -> Subscription
where
    D: Driver,
    T: DeserializeOwned + 'static,
    F: AsyncFn(&D, &Cx<D>, T) -> R + 'static,
    R: Outcome,
{
    let listener = Rc::new(Listener {
        instance: instance.clone(),
        what: format!("channel {channel:?}"),
        waiting: RefCell::default(),
        lost: Cell::new(0),
        busy: Cell::new(false),
        heard,
        value: PhantomData::<fn() -> T>,
    });
    let number = core.channel.register(Pending::Subscription(Rc::new(move |notice| match notice {
        Notice::Value(value) => listener.clone().hear(value),
        Notice::Refused(failure) => listener.warn(&failure.message),
    })));
    let monitor = Monitor { channel: channel.to_owned() };
    let sent = core
        .has_feature(Kind::Monitor)
        .and_then(|()| named(channel))
        .and_then(|()| core.channel.send_json(Kind::Monitor, core.handle, number, &monitor));
    match sent {
        Ok(()) => core.subscribed(number),
        Err(error) => {
            core.channel.forget(number);
            core.log(Level::Warn, &format!("channel {channel:?}: {error}"));
        }
    }
    Subscription { core: core.clone(), number }
}

fn named(channel: &str) -> Result {
    if channel.is_empty() || channel.len() > MAX_CHANNEL {
        return Err(Error::driver(format!("the name of a channel has 1 to {MAX_CHANNEL} bytes")));
    }
    Ok(())
}

/// Hands what is published to its callback, one at a time.
struct Listener<D: Driver, T, F> {
    instance: Weak<Instance<D>>,
    what: String,
    waiting: RefCell<VecDeque<Box<[u8]>>>,
    /// How many values were lost since it was said last.
    lost: Cell<u64>,
    busy: Cell<bool>,
    heard: F,
    value: PhantomData<fn() -> T>,
}

impl<D: Driver, T, F> Listener<D, T, F> {
    fn warn(&self, why: &str) {
        if let Some(instance) = self.instance.upgrade() {
            instance.core.log(Level::Warn, &format!("{}: {why}", self.what));
        }
    }
}

impl<D, T, F, R> Listener<D, T, F>
where
    D: Driver,
    T: DeserializeOwned + 'static,
    F: AsyncFn(&D, &Cx<D>, T) -> R + 'static,
    R: Outcome,
{
    fn hear(self: Rc<Self>, value: &[u8]) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= WAITING {
            waiting.pop_front();
            self.lost.set(self.lost.get() + 1);
        }
        waiting.push_back(value.into());
        drop(waiting);
        let Some(instance) = self.instance.upgrade() else { return };
        if self.busy.replace(true) || instance.core.is_over() {
            return;
        }
        let this = instance.clone();
        instance.spawn(Scope::Module, async move {
            loop {
                let Some(json) = self.waiting.borrow_mut().pop_front() else { break };
                let lost = self.lost.take();
                if lost > 0 {
                    self.warn(&format!("{lost} values were lost: they come faster than they are worked on"));
                }
                let result = match serde_json::from_slice(&json) {
                    Ok(value) => (self.heard)(&this.driver, &this.cx, value).await.outcome(),
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
