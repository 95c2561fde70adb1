use drivers_sdk::prelude::*;

#[derive(Default)]
struct Lamp;

#[driver(name = "Lamp", module = "Lamp", uri = "ftp://lamp.example")]
impl Lamp {}

#[derive(Default)]
struct Sign;

#[driver(name = "Sign", module = "Sign", uri = "sign.example/api")]
impl Sign {}

fn main() {}
