//! `connection.udp`: what a module's fields cannot say of its datagrams.

use serde::{Deserialize, Deserializer, de::Error as _};
use std::{net::IpAddr, num::NonZeroU16};

#[derive(Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Only what comes from the device's own port is the device's. false: what comes from any port of its address.
    pub connected: bool,
    /// The port of this machine to send from and receive at; modules may share it. None: any that is free.
    pub local_port: Option<NonZeroU16>,
    /// The address is a broadcast address. Whoever answers is the device.
    pub broadcast: bool,
    /// A group to receive, and how to send to one.
    pub multicast: Option<Multicast>,
}

#[derive(Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(default, deny_unknown_fields)]
pub struct Multicast {
    /// The group to join. None: the module's address. Received is what is sent to the group at `local_port`, or at the module's port.
    #[serde(deserialize_with = "group")]
    pub group: Option<IpAddr>,
    /// Name or address of an interface of this machine. None: the system chooses by its routes.
    pub interface: Option<String>,
    /// Networks that what is sent to a group may cross: 1 is the local one.
    pub ttl: u8,
    /// Programs on this machine receive what is sent to a group too; also the module itself, if it joined.
    #[serde(rename = "loop")]
    pub loopback: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { connected: true, local_port: None, broadcast: false, multicast: None }
    }
}

impl Default for Multicast {
    fn default() -> Self {
        Self { group: None, interface: None, ttl: 1, loopback: false }
    }
}

fn group<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    let group: Option<IpAddr> = Option::deserialize(deserializer)?;
    match group {
        Some(group) if !group.is_multicast() => Err(D::Error::custom(format!(
            "{group} is no multicast address: those are 224.0.0.0 to 239.255.255.255, and ff00::/8"
        ))),
        group => Ok(group),
    }
}
