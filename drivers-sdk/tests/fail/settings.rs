#![allow(unused)]
use drivers_sdk::prelude::*;

#[derive(Settings)]
struct Unnamed(u8);

#[derive(Settings)]
struct Password {
    #[setting(default = "secret")]
    password: Secret,
}

#[derive(Settings)]
struct Unknown {
    #[setting(defualt = 3)]
    level: u8,
}

#[derive(Status)]
enum Choice {
    On,
}

fn main() {}
