use drivers_sdk::prelude::*;

// The device would be sent `PASS ***`: it is `password.reveal()` that it wants.
fn sign_in(password: &Secret) -> String {
    format!("PASS {password}")
}

fn main() {}
