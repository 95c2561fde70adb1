//! The contract between the Headend daemon and a driver process.
//!
//! The daemon starts a driver process with one end of a Unix stream socket as file descriptor
//! [`CHANNEL_FD`] and both sides exchange [`Frame`]s over it: a fixed binary header, then a payload that is
//! JSON for structured messages and raw bytes for what goes over the wire.
//!
//! - [`frame`]: the header, the kinds, and the [`frame::Decoder`].
//! - [`feature`]: the names of what not every peer knows.
//! - [`message`]: the JSON payloads, and the [`binary`](message::binary) ones.
//! - [`emulated`]: messages of an emulated device.
//! - [`manifest`]: what a driver declares about itself, printed by `DRIVER --manifest`.
//! - `replay` (feature of the same name): a recording that plays the device.
//!
//! A driver that carries an emulator of its device serves it with `DRIVER --emulator`: file descriptor [`CHANNEL_FD`]
//! is then a listening Unix stream socket, each connection it accepts is one connection to the device (with `--messages`,
//! one that carries [`emulated`] messages), and standard input holds the merged settings of the emulated module (a JSON
//! object, then end-of-file; empty means none).
//!
//! `docs/driver-protocol.md` describes the same for authors of an SDK in another language. This crate does no
//! I/O. It is versioned apart from the daemon and the SDK: what a released version says stays valid.
#![forbid(unsafe_code)]

pub mod emulated;
pub mod feature;
pub mod frame;
pub mod manifest;
pub mod message;
#[cfg(feature = "replay")]
pub mod replay;

pub use frame::{Decoder, Error, Frame, Header, Kind};
pub use manifest::Manifest;

/// The file descriptor on which a driver process finds its end of the channel.
pub const CHANNEL_FD: i32 = 3;

/// The versions of the protocol this crate speaks, oldest and newest.
pub const VERSIONS: (u16, u16) = (1, 1);

/// Largest payload a peer may send, in bytes. A longer one closes the channel.
pub const MAX_PAYLOAD: usize = 16 * 1024 * 1024;

/// Longest name of a channel that modules publish to, in bytes.
pub const MAX_CHANNEL: usize = 256;

/// Largest value that a module publishes to a channel, in bytes of JSON.
pub const MAX_PUBLISHED: usize = 64 * 1024;
