#![allow(unused)]
use drivers_sdk::prelude::*;

#[derive(Default)]
struct Projector;

#[driver(module = "Display", tcp = 4352)]
impl Projector {}

fn main() {}
