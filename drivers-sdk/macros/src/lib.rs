//! Attribute macros of drivers-sdk.
