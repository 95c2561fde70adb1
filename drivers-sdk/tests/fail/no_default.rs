#![allow(unused)]
use drivers_sdk::prelude::*;

struct Projector {
    inputs: u8,
}

#[driver(name = "Projector", module = "Display", tcp = 4352)]
impl Projector {
    #[function]
    fn inputs(&self) -> u8 {
        self.inputs
    }
}

fn main() {}
