#![allow(unused)]
use drivers_sdk::prelude::*;

#[derive(Default)]
struct Projector;

#[driver(name = "Projector", module = "Display_1", tcp = 4352)]
impl Projector {}

fn main() {}
