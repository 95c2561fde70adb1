//! What must not be read by whoever sees a log, a database file or a screen.
//!
//! - [`Secret`]: text that prints as `***`.
//! - [`Vault`]: seals text at rest; [`fields`] says which.
//! - [`key`]: API keys, of which only a hash is stored.

pub mod fields;
pub mod key;
mod secret;
mod vault;

pub use secret::Secret;
pub use vault::{Error, Vault, is_sealed};
