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

#[derive(Default)]
struct Counter;

#[driver(name = "Counter", module = "Counter", tcp = 502, framing = length_prefixed(2).width(4))]
impl Counter {}

#[derive(Default)]
struct Scale;

#[driver(name = "Scale", module = "Scale", tcp = 502, framing = fixed(16).limit(32))]
impl Scale {}

fn main() {}
