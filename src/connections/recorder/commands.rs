//! Which command bytes belong to, in 32 bits: the number of a function's name, and as much of the call's own number as is
//! needed to tell one call from the next.
//!
//! Names are numbered once for the whole process: they come from the manifests of drivers, which are few.

use super::Recorder;
use parking_lot::RwLock;
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

#[derive(Default)]
struct Names {
    numbers: HashMap<Arc<str>, u16>,
    names: Vec<Arc<str>>,
}

static NAMES: LazyLock<RwLock<Names>> = LazyLock::new(RwLock::default);

/// The number of a function's name; 0 once there are too many.
pub fn number(name: &str) -> u16 {
    if let Some(number) = NAMES.read().numbers.get(name) {
        return *number;
    }
    let mut all = NAMES.write();
    let number = match u16::try_from(all.names.len() + 1) {
        Ok(number) => number,
        Err(_) => return 0,
    };
    let name: Arc<str> = name.into();
    // Somebody may have been quicker.
    let known = *all.numbers.entry(name.clone()).or_insert(number);
    if known == number {
        all.names.push(name);
    }
    known
}

/// What a payload is tagged with that is sent for call `call` of the function with this number.
fn tag(number: u16, call: u32) -> u32 {
    u32::from(number) << 16 | call & 0xffff
}

/// Name and call of a tag.
pub(super) fn named(tag: u32) -> Option<(Arc<str>, u16)> {
    let [high, low] = [tag >> 16, tag & 0xffff].map(|half| u16::try_from(half).unwrap_or(0));
    let name = NAMES.read().names.get(usize::from(high.checked_sub(1)?)).cloned()?;
    Some((name, low))
}

/// A call that has not been answered. What is received is put down to the command that was sent last, while its call lives.
#[derive(Debug)]
pub struct Call {
    recorder: Arc<Recorder>,
    tag: u32,
}

impl Call {
    /// Of the function with this number; none if that is 0.
    pub fn new(recorder: &Arc<Recorder>, number: u16, call: u32) -> Option<Self> {
        (number != 0).then(|| Self { recorder: recorder.clone(), tag: tag(number, call) })
    }

    /// What its payloads are tagged with.
    pub fn tag(&self) -> u32 {
        self.tag
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.recorder.answered(self.tag);
    }
}
