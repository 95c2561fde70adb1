#![allow(unused)]
use drivers_sdk::prelude::*;

struct Projector;

impl Projector {
    #[function]
    fn power(&self, on: bool) {}
}

fn main() {}
