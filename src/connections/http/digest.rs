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
mod tests {
    use super::*;

    fn challenge(header: &str, cnonce: &str) -> Challenge {
        let mut challenge = Challenge::strongest([header].into_iter()).expect("a challenge");
        challenge.cnonce = cnonce.into();
        challenge
    }

    fn get(uri: &str) -> Asked<'_> {
        Asked { method: "GET", uri, body: b"" }
    }

    fn field<'a>(answer: &'a str, name: &str) -> &'a str {
        let start = answer.find(&format!(" {name}=")).unwrap_or_else(|| panic!("{name} in {answer}"));
        answer[start..].split_once('=').expect("=").1.split(',').next().expect("value").trim_matches('"')
    }

    /// RFC 7616, 3.9.1: both challenges of one response.
    const BOTH: [&str; 2] = [
        r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=MD5, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#,
        r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#,
    ];
    const CNONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

    #[test]
    fn answers_as_the_rfc_does() {
        let password = Secret::from("Circle of Life");
        for (header, expected) in [
            (BOTH[0], "8ca523f5e9506fed4657c9700eebdbec"),
            (BOTH[1], "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let answer = challenge(header, CNONCE).answer("Mufasa", &password, &get("/dir/index.html"));
            assert_eq!(field(&answer, "response"), expected, "{answer}");
            assert_eq!((field(&answer, "nc"), field(&answer, "qop")), ("00000001", "auth"));
            assert_eq!(field(&answer, "opaque"), "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS");
        }
    }

    #[test]
    fn hides_the_user_as_the_rfc_does() {
        // RFC 7616, 3.9.2, with the hash of erratum 4897; the response is what Python's hashlib makes of the formula.
        let header = r#"Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true"#;
        let cnonce = "NTg6RKcb9boFIAS3KrFK9BGeh+niz/sm";
        let user = "J\u{e4}s\u{f8}n Doe";
        let answer = challenge(header, cnonce).answer(user, &"Secret, or not?".into(), &get("/doe.json"));
        assert_eq!(
            field(&answer, "username"),
            "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
        );
        assert_eq!(
            field(&answer, "response"),
            "7a4e1192babbba02e91182d2895bfdbf7adafc6e48d4e517ca301974843d840c"
        );
        assert!(answer.contains("userhash=true"));
    }

    #[test]
    fn answers_old_devices_without_qop() {
        // RFC 2069, 2.4, with the response of its erratum.
        let header = r#"Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41""#;
        let answer = challenge(header, "x").answer("Mufasa", &"CircleOfLife".into(), &get("/dir/index.html"));
        assert_eq!(field(&answer, "response"), "1949323746fe6a43ef61f9606e7febea");
        assert!(!answer.contains("nc=") && !answer.contains("algorithm"), "{answer}");
    }

    #[test]
    fn counts_and_keeps_its_session() {
        let header = r#"Digest realm="r", nonce="n", qop="auth", algorithm=MD5-sess"#;
        let mut challenge = challenge(header, "c");
        let first = challenge.answer("u", &"p".into(), &get("/"));
        let second = challenge.answer("u", &"p".into(), &get("/"));
        assert_eq!((field(&first, "nc"), field(&second, "nc")), ("00000001", "00000002"));
        assert_eq!(field(&first, "cnonce"), field(&second, "cnonce"));
        assert_ne!(field(&first, "response"), field(&second, "response"));
        // H(H(H(u:r:p):n:c) : n : nc : c : auth : H(GET:/)), by hand.
        let md5 = |text: &str| format!("{:x}", md5::compute(text));
        let key = md5(&format!("{}:n:c", md5("u:r:p")));
        assert_eq!(field(&second, "response"), md5(&format!("{key}:n:00000002:c:auth:{}", md5("GET:/"))));
        challenge.renew(r#"nextnonce="later", qop=auth"#);
        let third = challenge.answer("u", &"p".into(), &get("/"));
        assert_eq!((field(&third, "nonce"), field(&third, "nc")), ("later", "00000001"));
    }

    #[test]
    fn integrity_only_where_nothing_else_is_offered() {
        let header = r#"Digest realm="r", nonce="n", qop="auth-int", stale=TRUE"#;
        let mut challenge = challenge(header, "c");
        assert!(challenge.stale);
        let asked = Asked { method: "POST", uri: "/", body: b"body" };
        let answer = challenge.answer("u", &"p".into(), &asked);
        let md5 = |text: &str| format!("{:x}", md5::compute(text));
        let a2 = md5(&format!("POST:/:{}", md5("body")));
        assert_eq!(field(&answer, "response"), md5(&format!("{}:n:00000001:c:auth-int:{a2}", md5("u:r:p"))));
    }

    #[test]
    fn takes_the_strongest_of_what_it_knows() {
        let one = |header: &'static str| Challenge::strongest([header].into_iter());
        assert_eq!(Challenge::strongest(BOTH.into_iter()).expect("one").hash, Hash::Sha256);
        let mixed = r#"Basic realm="x", Digest realm="a, b", nonce="n1", algorithm=MD5, Digest realm="c", nonce="n2", algorithm=SHA-256"#;
        assert_eq!(one(mixed).expect("one").realm, "c");
        assert!(one(r#"Basic realm="x""#).is_none());
        assert!(one(r#"Digest realm="x", nonce="n", algorithm=SHA-1"#).is_none());
        assert!(one(r#"Digest realm="x", nonce="n", qop="token""#).is_none());
        assert!(one(r#"Digest realm="x""#).is_none());
        assert!(one("Digest realm=\"x").is_none());
    }

    #[test]
    fn quotes_what_needs_it() {
        let header = r#"Digest realm="say \"hi\"", nonce="n", qop=auth"#;
        let answer = challenge(header, "c").answer(r#"a"b\c"#, &"p".into(), &get("/"));
        assert!(answer.contains(r#"realm="say \"hi\"""#), "{answer}");
        assert!(answer.contains(r#"username="a\"b\\c""#), "{answer}");
        let answer = challenge(header, "c").answer("j\u{e4}y", &"p".into(), &get("/"));
        assert!(answer.contains("username*=UTF-8''j%C3%A4y"), "{answer}");
    }
}
