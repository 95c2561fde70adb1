#![allow(unused)]
use drivers_sdk::interfaces::Powerable;
use drivers_sdk::prelude::*;

#[derive(Default, Status)]
struct State {
    power: Option<bool>,
}

#[derive(Default)]
struct Projector;

#[driver(name = "Projector", module = "Display", tcp = 4352, status = State, implements(Powerable))]
impl Projector {
    #[function]
    fn power(&self, on: bool) {}
}

impl Powerable for Projector {
    async fn power(&self, cx: &Cx<Self>, on: bool) -> Result<bool> {
        Ok(on)
    }
}

fn main() {}
