//! Datagrams: one for each transmit, boundaries kept both ways.
//!
//! ```text
//!  link ── Datagrams ──┬── Member ── Port: its own socket, or one shared with other links (`local_port`)
//!                      └── Member ── Port: the socket of a multicast group
//! ```
//!
//! *The device* is whom datagrams are taken from:
//!
//! - one port of one address (`connected`), whose refusals are heard where the socket is the link's own;
//! - any port of one address (`connected: false`): some devices answer from other ports than they listen on;
//! - anyone, if the address is a multicast group or `broadcast` is set: whoever answers is meant.
//!
//! What comes to a shared port goes to the links whose device it is from: those that name its port, else those that name its
//! address; and besides to those that take anyone's. Each link has a bounded queue of its own: a slow one loses its own datagrams, which are
//! counted, and nobody else's.

mod interface;
mod port;
mod registry;
mod settings;
mod transport;

pub(super) use registry::Registry;
pub use settings::{Multicast, Settings};
pub(super) use transport::open;

/// The longest datagram IPv4 can carry (RFC 768 and 791): 65 535 less the headers.
const LONGEST: usize = 65_507;

/// Where datagrams go, and how.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub endpoint: super::Endpoint,
    pub settings: Settings,
}

/// Why this is no datagram.
pub(super) fn refuses(payload: &super::Payload) -> Option<&'static str> {
    (payload.bytes.len() > LONGEST)
        .then_some("not sent: it is longer than the 65507 bytes that a datagram can hold")
}
