//! HTTP against real sockets: `exchanges` and `errors` with a server that does as it is told, `link` and `faults` for what they say about
//! the service, `recorded` for the flight recorder, `lighttpd` with a real server and a real proxy.

mod errors;
mod exchanges;
mod faults;
mod lighttpd;
mod link;
mod peer;
mod recorded;
