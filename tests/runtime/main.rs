//! The runtime over a real store, real processes and real sockets. Drivers are those of `tests/fixtures`: one speaks the
//! protocol by hand and knows no feature, the others are made with the SDK.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests, and what they stand on"
)]

mod bus;
mod calls;
mod changes;
mod connection_settings;
mod failures;
mod http;
mod links;
mod live;
mod load;
mod logic;
mod messages;
mod peer;
mod ssh;
#[path = "../../src/ssh/tests/sshd.rs"]
#[allow(dead_code, reason = "passwords are tested elsewhere")]
mod sshd;
mod world;
