//! Headend: the driver runtime that buildings, AV racks and IoT sites run on.
//!
//! Dependencies point down only:
//!
//! ```text
//! api            the control API: auth, resources, exec, live state          author   a driver author's commands
//! runtime        reconciler, supervisor, status table
//! repositories   git, builds, artifacts      connections   links to devices      store   desired state
//! ssh            whom ssh trusts, and how it signs in: for repositories and connections
//! secrets        what must not be read at rest or in logs
//! model          what users configure: data and rules, no I/O
//! ```
#![deny(unsafe_code)]

pub mod api;
pub mod author;
pub mod client;
pub mod config;
pub mod connections;
pub mod daemon;
pub mod model;
pub mod repositories;
pub mod runtime;
pub mod secrets;
pub mod site;
pub mod ssh;
pub mod store;
pub mod tls;
