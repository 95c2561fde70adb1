//! Black-box tests: the built daemon with an empty data directory, spoken to over HTTP, WebSocket and its command
//! line, with real peers on loopback.
#![allow(unreachable_pub, reason = "what `support` shows is for these tests")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod author;
mod builds;
mod client;
mod dev;
mod devices;
mod durability;
mod example;
mod lifecycle;
#[path = "../../src/connections/tests/olad.rs"]
mod olad;
mod peers;
mod processes;
mod protocols;
mod recording;
mod recovery;
mod refusals;
mod subscribers;
mod support;
mod ts_client;
mod wire;
