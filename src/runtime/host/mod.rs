//! Driver processes: starting, watching and ending them, and talking with them.
//!
//! One task owns a process from its start to its end and tells the reconciler what becomes of it. Nobody else signals
//! the process or reaps it.
//!
//! ```text
//!   ┌──────────┐  Welcome   ┌───────┐  told to end   ┌──────────┐
//!   │ starting │ ─────────▶ │ ready │ ─────────────▶ │ draining │
//!   └──────────┘            └───────┘                └──────────┘
//!        │ no Welcome in time,  │ exits, closes its      │ exits, or is killed
//!        │ cannot be started    │ channel, breaks the    │ after the grace
//!        ▼                      ▼ protocol, hangs        ▼
//!   ┌──────────────────────────────────────────────────────────┐
//!   │ ended: every request is answered, the cause is reported  │
//!   └──────────────────────────────────────────────────────────┘
//! ```
//!
//! A process that ends is not started again here: the reconciler does that, with a growing back-off.

pub(crate) mod channel;
pub(crate) mod inbound;
pub(crate) mod outgoing;
mod output;
pub(crate) mod pending;
mod process;
mod said;

pub(crate) use output::{Tail, follow};
pub(crate) use process::{Ended, Process, start};
