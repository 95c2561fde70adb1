#![allow(unused)]
use drivers_sdk::prelude::*;

#[derive(Default)]
struct Projector;

#[driver(name = "Projector", module = "Display", tcp = 4352)]
impl Projector {
    #[received]
    fn line(&self, line: &str) {}

    #[received]
    fn another(&self, line: &str) {}
}

fn main() {}
