#![allow(unused)]
use drivers_sdk::prelude::*;

#[derive(Default)]
struct Projector;

#[driver(name = "Projector", module = "Display", tcp = 4352, framing = lines("\r").offset(2))]
impl Projector {}

#[derive(Default)]
struct Meter;

#[driver(name = "Meter", module = "Meter", tcp = 502, framing = length_field().offset(4).width(9))]
impl Meter {}

fn main() {}
