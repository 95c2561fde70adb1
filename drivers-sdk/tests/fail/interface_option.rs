#![allow(unused)]
use drivers_sdk::prelude::*;

#[derive(Default)]
struct Projector;

#[driver(name = "Projector", module = "Display", tcp = 4352, implements = "Powerable")]
impl Projector {}

fn main() {}
