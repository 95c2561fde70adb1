//! Digest authentication: the answer to a server's challenge. RFC 7616, and what RFC 2617 and RFC 2069 left behind in
//! devices: no `qop`, MD5.
//!
//! The client nonce stays the same for as long as the challenge does, so that servers which compute the key of a `-sess`
//! algorithm once (as the RFC says) and servers which compute it for each request both agree; the count makes requests
//! differ.

use crate::secrets::Secret;
use http_auth::{ChallengeParser, ChallengeRef};
use std::fmt::Write as _;

/// A challenge, and how often it was answered.
#[derive(Debug)]
pub(super) struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    hash: Hash,
    /// As the server wrote it; none if it did not.
    algorithm: Option<String>,
    session: bool,
    qop: Option<Qop>,
    hide_user: bool,
    /// The nonce of the previous answer was too old; the credentials may be right.
    pub(super) stale: bool,
    cnonce: String,
    count: u32,
}

/// In order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Hash {
    Md5,
    Sha256,
    Sha512_256,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Qop {
    Auth,
    AuthInt,
}

/// What is being asked for.
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    /// Path and query.
    pub(super) uri: &'a str,
    pub(super) body: &'a [u8],
}

// === impl Challenge ===

impl Challenge {
    /// The strongest digest challenge in the values of `WWW-Authenticate`; none if there is none that can be answered.
    pub(super) fn strongest<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        headers
            .flat_map(ChallengeParser::new)
            .map_while(Result::ok)
            .filter_map(|challenge| Self::read(&challenge))
            .reduce(|best, next| if next.hash > best.hash { next } else { best })
    }

    fn read(challenge: &ChallengeRef<'_>) -> Option<Self> {
        if !challenge.scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let param = |name: &str| {
            let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_unescaped())
        };
        let algorithm = param("algorithm");
        let (hash, session) = Hash::named(algorithm.as_deref().unwrap_or("MD5"))?;
        let qop = match param("qop") {
            Some(offered) => Some(Qop::of(&offered)?),
            None => None,
        };
        let is = |name: &str| param(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        Some(Self {
            realm: param("realm")?,
            nonce: param("nonce")?,
            opaque: param("opaque"),
            hash,
            algorithm,
            session,
            qop,
            hide_user: is("userhash"),
            stale: is("stale"),
            cnonce: format!("{:032x}", rand::random::<u128>()),
            count: 0,
        })
    }

    /// The server's wish for the next request (`Authentication-Info: nextnonce=…`).
    pub(super) fn renew(&mut self, info: &str) {
        // The parser wants a scheme before the parameters.
        let info = format!("Digest {info}");
        let parsed = ChallengeParser::new(&info).next().and_then(Result::ok);
        let next = parsed.and_then(|parsed| {
            let found = parsed.params.iter().find(|(key, _)| key.eq_ignore_ascii_case("nextnonce"));
            found.map(|(_, value)| value.to_unescaped())
        });
        if let Some(nonce) = next.filter(|next| *next != self.nonce) {
            (self.nonce, self.count) = (nonce, 0);
        }
    }

    /// The value of `Authorization`.
    pub(super) fn answer(&mut self, user: &str, password: &Secret, asked: &Asked<'_>) -> String {
        self.count = self.count.wrapping_add(1);
        let hash = |text: &str| self.hash.hex(text.as_bytes());
        let Self { realm, nonce, cnonce, .. } = self;
        let count = format!("{:08x}", self.count);
        let mut a1 = hash(&format!("{user}:{realm}:{}", password.expose()));
        if self.session {
            a1 = hash(&format!("{a1}:{nonce}:{cnonce}"));
        }
        let Asked { method, uri, body } = asked;
        let a2 = match self.qop {
            Some(Qop::AuthInt) => hash(&format!("{method}:{uri}:{}", self.hash.hex(body))),
            _ => hash(&format!("{method}:{uri}")),
        };
        let response = match self.qop {
            Some(qop) => hash(&format!("{a1}:{nonce}:{count}:{cnonce}:{}:{a2}", qop.as_str())),
            None => hash(&format!("{a1}:{nonce}:{a2}")),
        };

        let user = match (self.hide_user, user.is_ascii()) {
            (true, _) => format!("username=\"{}\", userhash=true", hash(&format!("{user}:{realm}"))),
            (false, true) => format!("username={}", quoted(user)),
            (false, false) => format!("username*=UTF-8''{}", percent(user)),
        };
        let mut out = format!(
            "Digest {user}, realm={}, nonce={}, uri={}, response=\"{response}\"",
            quoted(realm),
            quoted(nonce),
            quoted(uri)
        );
        // Writing to a string cannot fail.
        if let Some(algorithm) = &self.algorithm {
            let _ = write!(out, ", algorithm={algorithm}");
        }
        if let Some(qop) = self.qop {
            let _ = write!(out, ", qop={}, nc={count}, cnonce=\"{cnonce}\"", qop.as_str());
        } else if self.session {
            let _ = write!(out, ", cnonce=\"{cnonce}\"");
        }
        if let Some(opaque) = &self.opaque {
            let _ = write!(out, ", opaque={}", quoted(opaque));
        }
        out
    }
}

// === impl Hash, Qop ===

impl Hash {
    fn named(name: &str) -> Option<(Self, bool)> {
        let name = name.to_ascii_uppercase();
        let (name, session) = name.strip_suffix("-SESS").map_or((name.as_str(), false), |name| (name, true));
        let hash = match name {
            "MD5" => Self::Md5,
            "SHA-256" => Self::Sha256,
            "SHA-512-256" => Self::Sha512_256,
            _ => return None,
        };
        Some((hash, session))
    }

    fn hex(self, bytes: &[u8]) -> String {
        let sha = |algorithm| {
            let digest = ring::digest::digest(algorithm, bytes);
            digest.as_ref().iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            })
        };
        match self {
            Self::Md5 => format!("{:x}", md5::compute(bytes)),
            Self::Sha256 => sha(&ring::digest::SHA256),
            Self::Sha512_256 => sha(&ring::digest::SHA512_256),
        }
    }
}

impl Qop {
    /// The plain one if there is a choice.
    fn of(offered: &str) -> Option<Self> {
        let offers = |word: &str| offered.split(',').any(|one| one.trim().eq_ignore_ascii_case(word));
        if offers("auth") { Some(Self::Auth) } else { offers("auth-int").then_some(Self::AuthInt) }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// RFC 8187 `ext-value`, without the charset.
fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests;
