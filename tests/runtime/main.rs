//! The runtime over a real store, real processes and real sockets. Drivers are `tests/fixtures/probe_driver.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests, and what they stand on"
)]

mod calls;
mod changes;
mod failures;
mod live;
mod load;
mod peer;
mod world;
