#![allow(unused)]
use drivers_sdk::prelude::*;

#[derive(Default)]
struct Projector;

#[driver(name = "Projector", module = "Display", tcp = 4352)]
impl Projector {
    #[function]
    async fn power(cx: &Cx<Self>, on: bool) -> Result<bool> {
        Ok(on)
    }

    #[function]
    fn mute(&mut self, on: bool) {}

    #[connected]
    async fn connected() {}
}

fn main() {}
