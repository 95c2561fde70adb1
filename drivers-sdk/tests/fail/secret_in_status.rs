#![allow(unused)]
use drivers_sdk::prelude::*;

#[derive(Default, Status)]
struct State {
    password: Secret,
}

fn main() {}
