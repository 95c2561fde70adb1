//! Desired state, durable.
