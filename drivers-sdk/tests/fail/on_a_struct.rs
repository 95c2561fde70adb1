#![allow(unused)]
use drivers_sdk::prelude::*;

#[driver(name = "Projector", module = "Display", tcp = 4352)]
#[derive(Default)]
struct Projector;

fn main() {}
