#![allow(unused)]
use drivers_sdk::prelude::*;

#[derive(Default)]
struct Projector;

#[driver(name = "Projector", module = "Display", tcp = "4352")]
impl Projector {}

#[derive(Default)]
struct Screen;

#[driver(name = "Screen", module = "Screen", tcp = 70000)]
impl Screen {}

fn main() {}
