//! Modules as everyone sees them: one small shared record each.
//!
//! The reconciler alone moves a module from state to state:
//!
//! ```text
//!              should run                driver built               placed in a process that is ready
//!  ┌─────────┐ ──────────▶ ┌─────────┐ ───────────────▶ ┌──────────┐ ─────────────────────────────────▶ ┌─────────┐
//!  │ stopped │             │ waiting │                  │ starting │      the module says it started    │ running │
//!  └─────────┘ ◀────────── └─────────┘                  └──────────┘                                    └─────────┘
//!       ▲     should not run                                 │  ▲                                         │    │
//!       │                                        refused,    │  │ back-off is over                        │    │
//!       │                                        process died▼  │                     panic, process died │    │
//!       │                                               ┌──────────┐                                      │    │
//!       │                                               │  failed  │ ◀────────────────────────────────────┘    │
//!       │                                               └──────────┘                                           │
//!       │                  ┌──────────┐          should not run, or moves to another process                   │
//!       └───────────────── │ stopping │ ◀──────────────────────────────────────────────────────────────────────┘
//!                          └──────────┘ ─ (moves) ─▶ starting
//! ```

mod entry;
mod wire;

pub(crate) use entry::Entry;
pub(crate) use wire::{Place, ToModule};
