use drivers_sdk::prelude::*;

#[derive(Default, Status)]
struct LampStatus {
    /// Whether the lamp answers.
    connected: bool,
}

#[derive(Default, Status)]
struct BoxStatus {
    tls_verified: Option<bool>,
}

fn main() {}
