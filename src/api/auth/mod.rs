//! Who calls, and what they may do.
//!
//! A credential is found in the request ([`credential`]), verified against the API keys ([`verifier`]) and becomes
//! a [`Caller`]; the route says what access and scope it takes. Unknown credential: 401. Known, but not allowed: 403.

mod caller;
pub(crate) mod credential;
pub mod keys;
#[cfg(test)]
mod tests;
pub(crate) mod verifier;

pub(crate) use caller::{Access, Caller, Permissions};
pub(crate) use verifier::Verifier;
