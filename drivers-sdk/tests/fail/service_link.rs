use drivers_sdk::prelude::*;

#[derive(Default)]
struct Framed;

#[driver(name = "Service", module = "Service", uri = "https://example.org", framing = lines("\n"))]
impl Framed {}

#[derive(Default)]
struct Broken;

#[driver(name = "Service", module = "Service", uri = "http://example.org", makebreak(hold_ms = 20))]
impl Broken {}

fn main() {}
