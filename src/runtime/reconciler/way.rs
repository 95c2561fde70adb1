//! How a module reaches what it drives: from its fields, its driver's declaration and its settings to a [`Target`].

use std::sync::Arc;
use std::time::Duration;

use drivers_sdk_protocol::manifest::{Kind, Manifest};

use crate::connections::{Address, Endpoint, Mode, Settings, Target, Tls, http, ssh, udp, websocket};
use crate::model::serial::{Place, SerialUri};
use crate::model::{Driver, Module};

/// How long a make-break link stays connected after the last traffic, if neither the settings nor the driver say.
const HOLD: Duration = Duration::from_secs(5);

/// How a module reaches what it drives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Way {
    /// Not at all: a logic module.
    None,
    Link(Target),
    /// The emulator of its driver's package.
    Emulator {
        mode: Mode,
        /// What to make requests of it with, if it is a service.
        service: Option<http::Client>,
        /// If the device has messages: whether those are datagrams.
        messages: Option<bool>,
    },
}

impl Way {
    /// The driver may send while the link is down.
    pub(super) fn makebreak(&self) -> bool {
        let mode = match self {
            Way::None => return false,
            Way::Link(target) => target.mode,
            Way::Emulator { mode, .. } => *mode,
        };
        matches!(mode, Mode::MakeBreak { .. })
    }
}

/// `Err`: why there is none, for people.
pub(super) fn way(
    module: &Module,
    driver: &Driver,
    manifest: &Manifest,
    settings: &Settings,
) -> Result<Way, String> {
    if manifest.kind == Kind::Logic {
        return Ok(Way::None);
    }
    let hold = settings.hold_ms.or(manifest.hold_ms).map_or(HOLD, Duration::from_millis);
    let mode = if module.makebreak { Mode::MakeBreak { hold } } else { Mode::KeepOpen };
    if module.emulated {
        let service = manifest.kind == Kind::Service;
        let service = if service { Some(service_http(module, driver, settings)?) } else { None };
        let messages = match manifest.kind {
            Kind::Websocket => Some(false),
            Kind::Device if module.udp && SerialUri::parse(&module.uri).is_none() => Some(true),
            _ => None,
        };
        return Ok(Way::Emulator { mode, service, messages });
    }
    let tls = Some(tls(settings)?).filter(|tls| **tls != Tls::default());
    let http = if manifest.kind == Kind::Device { device_http(module, settings)? } else { None };
    let address = address(module, driver, manifest, settings)?;
    let address = match address {
        address if !settings.bus => address,
        address if address.messages() || matches!(address, Address::Http(_)) => {
            return Err("the setting connection.bus is for streams of bytes: take it away".into());
        }
        address => Address::Bus(Box::new(address)),
    };
    Ok(Way::Link(Target { address, mode, http, tls }))
}

fn address(
    module: &Module,
    driver: &Driver,
    manifest: &Manifest,
    settings: &Settings,
) -> Result<Address, String> {
    if let Some(uri) = SerialUri::parse(&module.uri).filter(|_| manifest.kind == Kind::Device) {
        return serial(uri, settings);
    }
    match manifest.kind {
        Kind::Ssh => {
            settings.ssh.check()?;
            let endpoint = endpoint(module, driver, settings)?;
            Ok(Address::Ssh(ssh::Target { endpoint, settings: settings.ssh.clone() }))
        }
        Kind::Service => Ok(Address::Http(service_http(module, driver, settings)?)),
        Kind::Websocket => Ok(Address::WebSocket(websocket(module, driver, settings)?)),
        _ if module.udp => Ok(Address::Udp(udp::Target {
            endpoint: endpoint(module, driver, settings)?,
            settings: settings.udp.clone(),
        })),
        Kind::Device if module.tls => {
            Ok(Address::Tls { endpoint: endpoint(module, driver, settings)?, tls: tls(settings)? })
        }
        Kind::Device | Kind::Logic => Ok(Address::Tcp(endpoint(module, driver, settings)?)),
    }
}

/// The line as the uri's query says, else the settings.
fn serial(uri: Result<SerialUri, String>, settings: &Settings) -> Result<Address, String> {
    let SerialUri { place, settings: query } = uri.map_err(|why| format!("its uri {why}"))?;
    let line =
        query.or(settings.serial).line().map_err(|why| format!("the setting connection.serial has {why}"))?;
    Ok(match place {
        Place::Local(path) => Address::Serial { path: path.into(), line },
        Place::Gateway { host, port } => {
            let endpoint = Endpoint { source: settings.source, ..Endpoint::new(host, port) };
            Address::Rfc2217 { endpoint, line }
        }
    })
}

/// A service, or the emulator of one, which needs no address.
fn service_http(module: &Module, driver: &Driver, settings: &Settings) -> Result<http::Client, String> {
    let uri = [module.uri.trim(), driver.default_uri.as_deref().unwrap_or_default().trim()];
    match uri.into_iter().find(|uri| !uri.is_empty()) {
        Some(uri) => client(uri, settings).map_err(|why| format!("its uri cannot be used: {why}")),
        None if module.emulated => client("http://emulator/", settings),
        None => Err("it has no address; set its uri".into()),
    }
}

fn websocket(module: &Module, driver: &Driver, settings: &Settings) -> Result<websocket::Service, String> {
    let uri = [module.uri.trim(), driver.default_uri.as_deref().unwrap_or_default().trim()];
    let Some(uri) = uri.into_iter().find(|uri| !uri.is_empty()) else {
        return Err("it has no address; set its uri".into());
    };
    websocket::Service::new(uri, settings.source, tls(settings)?, settings.websocket.clone())
        .map_err(|why| format!("its uri cannot be used: {why}"))
}

/// The web server of a device, which its driver may use beside the link.
fn device_http(module: &Module, settings: &Settings) -> Result<Option<http::Client>, String> {
    let ip = module.ip.trim();
    match &settings.http.base {
        Some(base) => client(base, settings).map(Some).map_err(|why| format!("connection.http.base: {why}")),
        None if ip.is_empty() => Ok(None),
        None if ip.contains(':') => client(&format!("http://[{ip}]/"), settings).map(Some),
        None => client(&format!("http://{ip}/"), settings).map(Some),
    }
}

fn tls(settings: &Settings) -> Result<Arc<Tls>, String> {
    settings.tls.check().map_err(|why| format!("the setting connection.tls cannot be used: {why}"))?;
    Ok(settings.tls.clone())
}

fn client(base: &str, settings: &Settings) -> Result<http::Client, String> {
    http::Client::new(http::Config {
        base: base.into(),
        socket: None,
        source: settings.source,
        settings: settings.http.clone(),
        tls: tls(settings)?,
    })
}

/// The host and port of a device.
fn endpoint(module: &Module, driver: &Driver, settings: &Settings) -> Result<Endpoint, String> {
    let port = if module.port == 0 { driver.default_port.unwrap_or(0) } else { module.port };
    let port = u16::try_from(port).ok().filter(|port| *port != 0);
    let Some(port) = port else {
        return Err(format!("{} is not a port; set one from 1 to 65535", module.port));
    };
    if module.ip.trim().is_empty() {
        return Err("it has no address; set its ip".into());
    }
    Ok(Endpoint { source: settings.source, ..Endpoint::new(module.ip.trim(), port) })
}

#[cfg(test)]
mod tests;
