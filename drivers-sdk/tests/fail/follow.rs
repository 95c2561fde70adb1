//! A device follows nobody.
use drivers_sdk::prelude::*;

#[derive(Default)]
struct Lamp;

#[driver(name = "Lamp", module = "Lamp", tcp = 5000)]
impl Lamp {
    #[follow]
    fn follow(&self) {}
}

fn main() {}
