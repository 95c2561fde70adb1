#![allow(unused)]
use drivers_sdk::prelude::*;

struct Colour;

#[derive(Default)]
struct Lamp;

#[driver(name = "Lamp", module = "Lamp", tcp = 4352)]
impl Lamp {
    #[function]
    fn colour(&self) -> Result<Colour> {
        Ok(Colour)
    }
}

fn main() {}
