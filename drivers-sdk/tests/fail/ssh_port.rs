use drivers_sdk::prelude::*;

#[derive(Default)]
struct Server;

#[driver(name = "Server", module = "Server", ssh = "server.example")]
impl Server {}

fn main() {}
