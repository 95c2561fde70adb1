#![allow(unused)]
use drivers_sdk::prelude::*;

#[derive(Default)]
struct Projector;

#[driver(name = "Projector", module = "Display", tcp = 4352, requires("Lights"))]
impl Projector {}

#[derive(Default)]
struct Room;

#[driver(name = "Room", module = "Room", logic, requires(1))]
impl Room {}

#[derive(Default)]
struct Hall;

#[driver(name = "Hall", module = "Hall", logic, optional("Display_1"))]
impl Hall {}

fn main() {}
