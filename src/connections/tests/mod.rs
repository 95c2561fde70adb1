//! The contract of links, against real sockets on loopback.
//!
//! `contract` holds what every kind of connection must pass; `kinds` says for each kind how to make a peer and a target.
//! A new kind implements [`kinds::Kind`] and is added to the list in `contract`, and to those in `proxied` if it is reached by
//! TCP: nothing else.

mod bus;
mod contract;
mod faults;
mod harness;
mod http;
mod kinds;
mod make_break;
mod olad;
mod peers;
mod proxied;
mod recorded;
mod refused;
mod serial;
mod silent;
pub(super) mod simulated;
mod source;
mod ssh;
mod start_tls;
mod stress;
mod tls;
mod udp;
mod udp_groups;
mod udp_peers;
mod websocket;
