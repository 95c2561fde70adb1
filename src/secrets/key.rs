//! API keys: `<id: 32 hex digits>.<secret: 43 characters of url-safe base64>`.
//!
//! Stored is only the id and HMAC-SHA512(key = secret, data = id) in hex, so the database gives no key away.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use super::Secret;

/// A key as it is presented, in its two parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// 32 lower-case hex digits: the id of the key's document.
    pub id: String,
    /// 43 characters of url-safe base64.
    pub secret: Secret,
}

impl Key {
    /// A new key.
    pub fn mint() -> Key {
        let secret: [u8; 32] = rand::random();
        Key { id: hex(&rand::random::<[u8; 16]>()), secret: Secret::new(URL_SAFE_NO_PAD.encode(secret)) }
    }

    /// Takes a presented key apart; `None` if it does not have the form of one.
    pub fn parse(text: &str) -> Option<Key> {
        let (id, secret) = text.trim().split_once('.')?;
        let is_hex = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_base64 = secret.len() == 43
            && secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        (is_hex && is_base64).then(|| Key { id: id.to_ascii_lowercase(), secret: Secret::new(secret) })
    }

    /// The whole key, to be shown once.
    pub fn expose(&self) -> String {
        format!("{}.{}", self.id, self.secret.expose())
    }

    /// What is stored of it, in hex.
    pub fn hash(&self) -> String {
        hex(hmac::sign(&self.hmac(), self.id.as_bytes()).as_ref())
    }

    /// Is it the key of this stored hash? Takes the same time wherever they differ.
    pub fn verify(&self, hash: &str) -> bool {
        unhex(hash).is_some_and(|tag| hmac::verify(&self.hmac(), self.id.as_bytes(), &tag).is_ok())
    }

    fn hmac(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA512, self.secret.expose().as_bytes())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .map(|byte| u8::try_from(byte).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minted_key_has_the_form_and_verifies() {
        let key = Key::mint();
        let shown = key.expose();
        assert_eq!(shown.len(), 32 + 1 + 43);
        assert_eq!(Key::parse(&shown).unwrap(), key);
        assert!(key.verify(&key.hash()));
        assert_ne!(Key::mint(), key);
    }

    /// HMAC-SHA512(key = 43 × "A", data = 32 × "0"), from another implementation.
    #[test]
    fn the_hash_is_the_contracts() {
        let key = Key::parse(&format!("{}.{}", "0".repeat(32), "A".repeat(43))).unwrap();
        assert_eq!(key.hash(), HASH);
    }
    const HASH: &str = "83c84b8a825d4e065030dbd5755fd115ebc044b43d3a723295a04c1ea81c48da38b39bc03d3cb8380d326a26be363c1c2198ffdcb3df4099c330af0ee5c5b17a";

    #[test]
    fn another_key_does_not_verify() {
        let key = Key::mint();
        assert!(!Key::mint().verify(&key.hash()));
        assert!(!Key { id: Key::mint().id, ..key.clone() }.verify(&key.hash()));
        for broken in ["", "0", "zz", &key.hash()[..126], &format!("{}00", key.hash())] {
            assert!(!key.verify(broken), "{broken}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let shown = Key::mint().expose();
        for text in
            ["", ".", "abc.def", &shown[1..], &shown[..75], &shown.replace('.', "-"), &format!("{shown}=")]
        {
            assert_eq!(Key::parse(text), None, "{text}");
        }
    }
}
