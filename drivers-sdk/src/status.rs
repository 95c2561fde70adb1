//! Typed status: every field is a status key of the module.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::rc::Rc;

use drivers_sdk_protocol::message::Level;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::driver::{Output, Schemas};
use crate::error::{Error, Result};
use crate::module::Core;
use crate::settings::described;

/// The keys that are not for drivers: what the link says, which `cx.set_connected` may correct.
const HEADENDS: [&str; 2] = ["connected", "tls_verified"];

/// What a module publishes. Derive it: each field is a status key, and its doc comment the description.
///
/// ```
/// use drivers_sdk::prelude::*;
///
/// #[derive(Default, Status)]
/// struct ProjectorStatus {
///     /// Whether the lamp burns; unknown until the projector has said so.
///     power: Option<bool>,
///     /// Hours the lamp has burnt.
///     lamp_hours: u32,
/// }
/// ```
///
/// The status always shows every field: those of `Default` from the start of the module, except that a key whose
/// value is `None` is absent. So use `Option` for what only the device can tell.
pub trait Status: Default + 'static {
    /// The keys, in the order of the fields.
    const KEYS: &'static [&'static str];

    /// Writes the JSON text of the field with this number.
    fn write(&self, index: usize, out: &mut Vec<u8>) -> serde_json::Result<()>;

    /// Describes the fields.
    fn describe(description: &mut StatusDescription<'_>);
}

/// Writes a field as JSON text.
pub fn write<T: Output>(value: &T, out: &mut Vec<u8>) -> serde_json::Result<()> {
    serde_json::to_writer(out, value)
}

/// No status.
impl Status for () {
    const KEYS: &'static [&'static str] = &[];

    fn write(&self, _: usize, _: &mut Vec<u8>) -> serde_json::Result<()> {
        Ok(())
    }

    fn describe(_: &mut StatusDescription<'_>) {}
}

/// The JSON Schema of the status as it is put together.
#[derive(Debug)]
pub struct StatusDescription<'a> {
    schemas: &'a mut Schemas,
    properties: Map<String, Value>,
}

impl<'a> StatusDescription<'a> {
    pub(crate) fn new(schemas: &'a mut Schemas) -> StatusDescription<'a> {
        StatusDescription { schemas, properties: Map::new() }
    }

    pub(crate) fn finish(self) -> Value {
        json!({ "type": "object", "properties": self.properties })
    }

    /// A key.
    pub fn key<T: Output>(&mut self, key: &str, description: &str) {
        let schema = self.schemas.output::<T>();
        self.properties.insert(key.into(), described(schema.to_value(), description));
    }
}

/// A module's status; `cx.status`. Only keys whose value changed are published, at once.
#[derive(Debug)]
pub struct StatusHandle<S> {
    value: RefCell<S>,
    /// A hash of what was published last, by key; 0 for a key that is absent.
    published: RefCell<Box<[u64]>>,
    /// The same for keys that are not fields.
    extra: RefCell<BTreeMap<Box<str>, u64>>,
    core: Rc<Core>,
}

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl<S: Status> StatusHandle<S> {
    pub(crate) fn new(core: Rc<Core>) -> StatusHandle<S> {
        StatusHandle {
            value: RefCell::new(S::default()),
            published: RefCell::new(vec![0; S::KEYS.len()].into()),
            extra: RefCell::default(),
            core,
        }
    }

    /// Changes the status, and publishes the keys whose values are new. `change` cannot use `cx.status` itself.
    pub fn set<R>(&self, change: impl FnOnce(&mut S) -> R) -> R {
        let result = change(&mut self.value.borrow_mut());
        self.publish();
        result
    }

    /// Reads the status.
    pub fn get<R>(&self, read: impl FnOnce(&S) -> R) -> R {
        read(&self.value.borrow())
    }

    /// Publishes a key that is not a field, for what is only known at run time; `None` removes it. The keys of fields, and
    /// those that Headend gives each module, are refused.
    pub fn set_key(&self, key: &str, value: &(impl Serialize + ?Sized)) -> Result {
        if S::KEYS.contains(&key) {
            return Err(Error::driver(format!(
                "`{key}` is a field of the status: it is set with `cx.status.set`"
            )));
        }
        if HEADENDS.contains(&key) {
            return Err(Error::driver(format!(
                "`{key}` is a status that Headend itself gives each module: choose another name"
            )));
        }
        SCRATCH.with_borrow_mut(|text| {
            text.clear();
            serde_json::to_writer(&mut *text, value)?;
            let mut extra = self.extra.borrow_mut();
            let hash = hash(text);
            if extra.get(key).copied().unwrap_or(0) != hash {
                extra.insert(key.into(), hash);
                self.core.publish(key, text, hash != 0);
            }
            Ok(())
        })
    }

    /// Removes the keys that are not fields: what they tell of may be gone, with new settings say.
    pub fn clear_keys(&self) {
        for (key, hash) in self.extra.take() {
            if hash != 0 {
                self.core.publish(&key, b"null", false);
            }
        }
    }

    pub(crate) fn publish(&self) {
        let value = self.value.borrow();
        let mut published = self.published.borrow_mut();
        SCRATCH.with_borrow_mut(|text| {
            for (index, (key, last)) in S::KEYS.iter().zip(published.iter_mut()).enumerate() {
                text.clear();
                if let Err(error) = value.write(index, text) {
                    self.core
                        .log(Level::Error, &format!("status `{key}` cannot be written as JSON: {error}"));
                    continue;
                }
                let hash = hash(text);
                if hash != *last {
                    *last = hash;
                    self.core.publish(key, text, hash != 0);
                }
            }
        });
    }
}

/// Tells values apart; `null` is 0 and nothing else is.
fn hash(text: &[u8]) -> u64 {
    if text == b"null" {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    hasher.write(text);
    hasher.finish().max(1)
}
