//! The fingerprint of a certificate: SHA-256 over its DER, written `sha256:…`.

use serde::{Deserialize, Deserializer};
use std::{fmt, str::FromStr};

/// Written as people find it: hexadecimal digits of either case, with or without colons between the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pin([u8; 32]);

#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "not a fingerprint: write sha256: and the 64 hexadecimal digits that `openssl x509 -noout -fingerprint -sha256` prints"
)]
pub struct Invalid;

impl Pin {
    /// Of a certificate in DER.
    pub(super) fn of(certificate: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, certificate).as_ref());
        Self(bytes)
    }
}

impl FromStr for Pin {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let digits = text.trim().strip_prefix("sha256:").ok_or(Invalid)?.replace(':', "");
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return Err(Invalid);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| Invalid)?;
            // `from_str_radix` would take a sign.
            let valid = pair.bytes().all(|digit| digit.is_ascii_hexdigit());
            *byte = u8::from_str_radix(pair, 16).ok().filter(|_| valid).ok_or(Invalid)?;
        }
        Ok(Self(bytes))
    }
}

impl<'de> Deserialize<'de> for Pin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
