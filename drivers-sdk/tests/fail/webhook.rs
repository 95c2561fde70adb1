#![allow(unused)]
use drivers_sdk::prelude::*;

#[derive(Default)]
struct Kitchen;

#[driver(name = "Kitchen", module = "Kitchen", logic)]
impl Kitchen {
    #[webhook]
    fn ordered(&self, cx: &Cx<Self>, cups: u8) {}
}

#[derive(Default)]
struct Hall;

#[driver(name = "Hall", module = "Hall", logic)]
impl Hall {
    #[webhook]
    fn told(&self, request: Webhook) -> u8 {
        1
    }
}

fn main() {}
