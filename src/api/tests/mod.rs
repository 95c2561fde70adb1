//! The API as a client meets it: over TCP, with a store and a runtime behind it.

mod access;
mod conventions;
mod hostile;
mod keys;
mod live;
mod metadata;
mod openapi;
mod resources;
mod server;
mod settings;
mod socket;
mod socket_live;
mod webhooks;
mod wire;
