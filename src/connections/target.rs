//! What a link connects to, and how long it keeps the connection.
//!
//! Each kind is a variant of [`Address`]: everything outside `dial/` and the kind's own folder is the same for all of them.

use super::{Payload, http, ssh, tls::Tls, udp, websocket};
use crate::model::serial::Line;
use std::{fmt, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

/// Compared by value, so that a reconciler can see whether it changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub address: Address,
    pub mode: Mode,
    /// Where requests of the driver of a device go; for a service that is its address.
    pub http: Option<http::Client>,
    /// For TLS that a driver starts in mid-connection; none: as if nothing were set.
    pub tls: Option<Arc<Tls>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    Tcp(Endpoint),
    Tls {
        endpoint: Endpoint,
        tls: Arc<Tls>,
    },
    Udp(udp::Target),
    Ssh(ssh::Target),
    /// A stream socket in the file system: how emulators are reached.
    Unix(PathBuf),
    /// The same for devices that have messages.
    UnixMessages {
        path: PathBuf,
        /// Those are datagrams.
        datagrams: bool,
    },
    WebSocket(websocket::Service),
    /// A service: no bytes, but exchanges.
    Http(http::Client),
    /// A serial port of this machine.
    Serial {
        path: PathBuf,
        line: Line,
    },
    /// A serial port behind a gateway that speaks RFC 2217.
    Rfc2217 {
        endpoint: Endpoint,
        line: Line,
    },
    /// What is at that address, shared with all other links to it that say so too, in turns.
    Bus(Box<Address>),
}

/// Where a network peer is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// A name, resolved again at every attempt, or a literal IPv4 or IPv6 address (without brackets).
    pub host: String,
    pub port: u16,
    /// The address of this machine to connect from; none: the system chooses.
    pub source: Option<IpAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Connected whenever the peer lets us.
    KeepOpen,
    /// Connected when there is something to send; closed again after `hold` without traffic in either direction.
    MakeBreak { hold: Duration },
}

// === impl Target ===

impl Target {
    /// Kept open.
    pub fn new(address: Address) -> Self {
        Self { address, mode: Mode::KeepOpen, http: None, tls: None }
    }

    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        Self::new(Address::Tcp(Endpoint::new(host, port)))
    }

    pub fn tls(host: impl Into<String>, port: u16, tls: Tls) -> Self {
        Self::new(Address::Tls { endpoint: Endpoint::new(host, port), tls: Arc::new(tls) })
    }

    pub fn udp(host: impl Into<String>, port: u16, settings: udp::Settings) -> Self {
        Self::new(Address::Udp(udp::Target { endpoint: Endpoint::new(host, port), settings }))
    }

    pub fn ssh(host: impl Into<String>, port: u16, settings: ssh::Settings) -> Self {
        let (endpoint, settings) = (Endpoint::new(host, port), Arc::new(settings));
        Self::new(Address::Ssh(ssh::Target { endpoint, settings }))
    }

    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::new(Address::Unix(path.into()))
    }

    /// Whether TLS that is started in mid-connection verifies the peer; `None` where none can be started.
    pub fn start_tls_verifies(&self) -> Option<bool> {
        match self.address {
            Address::Tcp(_) => Some(self.tls.as_ref().is_none_or(|tls| tls.verify)),
            _ => None,
        }
    }

    /// On one connection with all others that say so too.
    pub fn shared(mut self) -> Self {
        self.address = Address::Bus(Box::new(self.address));
        self
    }

    pub fn make_break(mut self, hold: Duration) -> Self {
        self.mode = Mode::MakeBreak { hold };
        self
    }

    /// What requests are made with.
    pub(super) fn http(&self) -> Option<&http::Client> {
        match &self.address {
            Address::Http(client) => Some(client),
            _ => self.http.as_ref(),
        }
    }
}

// === impl Address ===

impl Address {
    /// Where that is, if it is reached over the network.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            Self::Tcp(endpoint)
            | Self::Tls { endpoint, .. }
            | Self::Udp(udp::Target { endpoint, .. })
            | Self::Rfc2217 { endpoint, .. } => Some(endpoint),
            Self::Ssh(ssh::Target { endpoint, .. }) => Some(endpoint),
            Self::WebSocket(service) => Some(service.endpoint()),
            Self::Bus(address) => address.endpoint(),
            Self::Unix(_) | Self::UnixMessages { .. } | Self::Http(_) | Self::Serial { .. } => None,
        }
    }

    #[cfg(test)]
    pub(super) fn endpoint_mut(&mut self) -> Option<&mut Endpoint> {
        match self {
            Self::Tcp(endpoint) | Self::Tls { endpoint, .. } | Self::Rfc2217 { endpoint, .. } => {
                Some(endpoint)
            }
            Self::Bus(address) => address.endpoint_mut(),
            Self::Ssh(ssh::Target { endpoint, .. }) => Some(endpoint),
            Self::WebSocket(service) => Some(service.endpoint_mut()),
            _ => None,
        }
    }

    /// The connection is shared with other links, which take turns on it.
    pub fn turns(&self) -> bool {
        matches!(self, Self::Bus(_))
    }

    /// What is sent and received are messages with boundaries, not parts of a stream.
    pub fn messages(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Tls { .. } | Self::Ssh(_) | Self::Unix(_) | Self::Http(_) => false,
            Self::Serial { .. } | Self::Rfc2217 { .. } => false,
            Self::Udp(_) | Self::WebSocket(_) | Self::UnixMessages { .. } => true,
            Self::Bus(address) => address.messages(),
        }
    }

    /// Whether the certificate of the peer is verified; `None` where there is none.
    pub fn tls_verified(&self) -> Option<bool> {
        match self {
            Self::Tls { tls, .. } => Some(tls.verify),
            Self::WebSocket(service) => service.tls().map(|tls| tls.verify),
            Self::Http(client) => client.tls().map(|tls| tls.verify),
            Self::Bus(address) => address.tls_verified(),
            Self::Tcp(_)
            | Self::Udp(_)
            | Self::Ssh(_)
            | Self::Unix(_)
            | Self::UnixMessages { .. }
            | Self::Serial { .. }
            | Self::Rfc2217 { .. } => None,
        }
    }

    /// The device file, if it is a serial port of this machine.
    pub fn serial_path(&self) -> Option<&str> {
        match self {
            Self::Serial { path, .. } => path.to_str(),
            Self::Bus(address) => address.serial_path(),
            _ => None,
        }
    }

    /// These are datagrams.
    pub fn datagrams(&self) -> bool {
        matches!(self, Self::Udp(_) | Self::UnixMessages { datagrams: true, .. })
    }

    /// Why this can never be sent there, for people.
    pub(super) fn refuses(&self, payload: &Payload) -> Option<&'static str> {
        match self {
            Self::Udp(_) => udp::refuses(payload),
            Self::WebSocket(_) => websocket::refuses(payload),
            Self::Ssh(target) => target.refuses(payload),
            _ => None,
        }
    }
}

/// As people write it: `host:port`, `[::1]:port`, `unix:/path`, `serial:///path`, `http://host/`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(endpoint)
            | Self::Tls { endpoint, .. }
            | Self::Udp(udp::Target { endpoint, .. })
            | Self::Rfc2217 { endpoint, .. } => endpoint.fmt(f),
            Self::Ssh(ssh::Target { endpoint, .. }) => endpoint.fmt(f),
            Self::Unix(path) | Self::UnixMessages { path, .. } => write!(f, "unix:{}", path.display()),
            Self::WebSocket(service) => service.fmt(f),
            Self::Http(client) => client.fmt(f),
            Self::Serial { path, .. } => write!(f, "serial://{}", path.display()),
            Self::Bus(address) => address.fmt(f),
        }
    }
}

// === impl Endpoint ===

impl Endpoint {
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port, source: None }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}
