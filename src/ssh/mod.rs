//! What git over ssh and links to ssh devices have in common: whom they trust, and how they sign in.

pub mod known_hosts;
pub(crate) mod sign_in;

#[cfg(test)]
pub(crate) mod tests;

pub use known_hosts::{HostKey, KnownHosts};
