#![allow(unused)]
use drivers_sdk::prelude::*;

#[derive(Default)]
struct Projector;

#[driver(name = "Projector", module = "Display", tcp = 4352)]
impl Projector {
    #[received]
    fn received(&self, cx: &Cx<Self>) {}

    #[connected]
    fn connected(&self, cx: &Cx<Self>, connection: u64) {}

    #[function]
    fn volume(&self, level: u8, cx: &Cx<Self>) {}
}

fn main() {}
