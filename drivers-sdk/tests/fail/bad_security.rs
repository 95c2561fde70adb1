#![allow(unused)]
use drivers_sdk::prelude::*;

#[derive(Default)]
struct Projector;

#[driver(name = "Projector", module = "Display", tcp = 4352)]
impl Projector {
    #[function(security = "admin")]
    fn reset(&self) {}

    #[function(secure)]
    fn update(&self) {}
}

fn main() {}
