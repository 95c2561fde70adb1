//! What a module may set about its TLS: `connection.tls`.

use super::{Pin, config};
use crate::secrets::Secret;
use serde::{Deserialize, Deserializer, de::Error as _};

/// Every field may be left out.
#[derive(Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// False: whoever answers is believed. Shown in the module's status as `tls_verified: false`.
    pub verify: bool,
    /// Certificates in PEM that are trusted besides the system's.
    pub ca: Option<String>,
    /// The peer's own certificate. It alone is accepted: whoever issued it, whatever it is called, expired or not.
    pub pin: Option<Pin>,
    /// What the peer's certificate is expected to say, and what is asked for (SNI), when that is not the host of the address.
    pub server_name: Option<String>,
    /// What identifies us: our certificate and those between it and its issuer's, in PEM, in that order.
    pub certificate: Option<String>,
    /// The key to `certificate`, in PEM (PKCS#8, PKCS#1 or SEC1), not encrypted.
    pub key: Option<Secret>,
    pub min_version: Version,
}

/// The oldest version of TLS that is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Version {
    #[default]
    Tls12,
    Tls13,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            verify: true,
            ca: None,
            pin: None,
            server_name: None,
            certificate: None,
            key: None,
            min_version: Version::default(),
        }
    }
}

impl Tls {
    /// What is wrong with these settings, for the person who wrote them.
    pub fn check(&self) -> Result<(), String> {
        config::Parts::of(self).map(drop)
    }
}

impl<'de> Deserialize<'de> for Version {
    /// `1.2` in YAML is a number.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Number(f64),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Text(text) => text,
            Written::Number(number) => number.to_string(),
        };
        match text.as_str() {
            "1.2" => Ok(Self::Tls12),
            "1.3" => Ok(Self::Tls13),
            _ => Err(D::Error::custom(format!("no version of TLS to choose: {text}; there are 1.2 and 1.3"))),
        }
    }
}
