//! TLS as a client of devices: whom to trust, with what to identify ourselves, and what a failure is called.
//!
//! - Verification is on unless somebody says otherwise, which the module's status shows (`tls_verified`).
//! - One rustls configuration per distinct [`Tls`], made once ([`client_config`]); links, WebSockets and HTTP share it.
//! - What a verifier refuses travels inside rustls's own error, so that whoever gets that error in the end (a link, an
//!   HTTP client) finds the sentence in it: [`explain()`].
//!
//! TLS 1.2 (RFC 5246; ECDHE suites with AES-GCM or ChaCha20 only) and 1.3 (RFC 8446), rustls with ring.

mod certificate;
mod config;
mod explain;
mod pin;
mod secured;
mod settings;
#[cfg(test)]
mod tests;
mod verifier;
mod watched;

pub(crate) use config::client_config;
pub(crate) use explain::explain;
pub use pin::Pin;
pub use settings::{Tls, Version};

pub(super) use explain::handshake_failure;
pub(super) use secured::Secured;
pub(super) use watched::Watched;
