//! What the compiler checks of a driver with interfaces: constants, so that an error is at the interface's name.

// A constant function has no iterators, and its panic is an error of the compiler.
#![allow(clippy::indexing_slicing, clippy::panic, reason = "evaluated by the compiler")]

use super::Interface;
use crate::driver::Declaration;

/// Fails to compile if the driver's status lacks a key of the interface, or if two functions have one name.
#[track_caller]
pub const fn check(interface: &Interface, keys: &[&str], declaration: &Declaration) {
    let mut at = 0;
    while at < interface.status_keys.len() {
        let key = interface.status_keys[at];
        if !contains(keys, key) {
            let text =
                Text::new().add("the interface `").add(interface.name).add("` has the status `").add(key);
            panic!("{}", text.add("`: give the driver's status a field of this name").text());
        }
        at += 1;
    }
    let mut at = 0;
    while at < interface.functions.len() {
        let name = interface.functions[at].name;
        if count(declaration, name) > 1 {
            let text =
                Text::new().add("the interface `").add(interface.name).add("` has the function `").add(name);
            panic!(
                "{}",
                text.add("`, and so has this driver already: one of them needs another name").text()
            );
        }
        at += 1;
    }
}

/// How many functions have this name.
const fn count(declaration: &Declaration, name: &str) -> usize {
    let mut count = count_in(declaration.functions, name);
    let mut at = 0;
    while at < declaration.interfaces.len() {
        count += count_in(declaration.interfaces[at].functions, name);
        at += 1;
    }
    count
}

const fn count_in(functions: &[crate::driver::Function], name: &str) -> usize {
    let (mut count, mut at) = (0, 0);
    while at < functions.len() {
        count += equal(functions[at].name, name) as usize;
        at += 1;
    }
    count
}

const fn contains(all: &[&str], one: &str) -> bool {
    let mut at = 0;
    while at < all.len() {
        if equal(all[at], one) {
            return true;
        }
        at += 1;
    }
    false
}

const fn equal(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut at = 0;
    while at < a.len() && at < b.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    a.len() == b.len()
}

/// A text that is put together in a constant; what is too long is cut.
struct Text {
    bytes: [u8; 256],
    length: usize,
}

impl Text {
    const fn new() -> Text {
        Text { bytes: [0; 256], length: 0 }
    }

    const fn add(mut self, text: &str) -> Text {
        let (text, mut at) = (text.as_bytes(), 0);
        while at < text.len() && self.length < self.bytes.len() {
            self.bytes[self.length] = text[at];
            self.length += 1;
            at += 1;
        }
        self
    }

    const fn text(&self) -> &str {
        match std::str::from_utf8(self.bytes.split_at(self.length).0) {
            Ok(text) => text,
            Err(_) => "the driver does not fit its interface",
        }
    }
}
