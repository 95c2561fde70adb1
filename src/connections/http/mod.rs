//! HTTP: exchanges with a service, or with a device's web server, for the driver that asks for them.
//!
//! A module has one [`Client`]. For a service, it is also the address of the module's link ([`link`]); beside another kind
//! of link it is just there for requests, and the link's state says nothing about it.
//!
//! HTTP/1.1 (RFC 9110, 9112), basic and bearer (RFC 7617, 6750) and digest authentication (RFC 7616).

mod auth;
mod client;
mod digest;
mod error;
mod exchange;
pub(super) mod link;
mod pool;
mod queue;
mod record;
mod request;
mod response;
mod settings;
mod steps;

pub use client::{Client, Config};
pub use error::Error;
pub use exchange::Answer;
pub use request::{LONGEST, Request, Response};
pub use settings::{Auth, Probe, Proxy, Settings};

pub(super) use exchange::{Exchanges, Start};
