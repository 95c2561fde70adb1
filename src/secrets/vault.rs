//! Seals text at rest with AES-256-GCM under a key that never leaves the data directory.
//!
//! A sealed text is ESC (0x1b), then `version|base64 nonce|base64 ciphertext`. The context (what the text belongs
//! to) is authenticated but not stored: a sealed text moved to another document does not open there.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac::{self, HMAC_SHA256};

/// What a sealed text starts with.
const ESC: char = '\u{1b}';
/// The form of what follows ESC.
const VERSION: &str = "1";
/// The key's file in the data directory: 32 bytes.
const FILE: &str = "vault.key";
const KEY_LENGTH: usize = 32;

/// Seals and reveals text.
pub struct Vault {
    key: LessSafeKey,
    /// Of secrets that are not stored.
    derived: hmac::Key,
    is_new: bool,
}

/// Why the vault cannot be opened, or a text not revealed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("could not {action} the vault's key {}: {detail}", file.display())]
    File { action: &'static str, file: PathBuf, detail: String },
    #[error(
        "the vault's key {} is no key: expected {KEY_LENGTH} bytes, found {found}. Restore it from a backup; \
         without it the sealed settings and passwords are lost, and deleting it makes a new one",
        file.display()
    )]
    Length { file: PathBuf, found: usize },
    #[error("a sealed text of {context} does not open: {why}")]
    Sealed { context: String, why: &'static str },
}

/// Is this text sealed? (Or pretends to be: whoever takes text from outside must not store it as sealed.)
pub fn is_sealed(text: &str) -> bool {
    text.starts_with(ESC)
}

impl Vault {
    /// Opens the vault of a data directory. Its key is made at first start.
    pub fn open(data: impl AsRef<Path>) -> Result<Vault, Error> {
        let file = data.as_ref().join(FILE);
        let (bytes, is_new) = match fs::read(&file) {
            Ok(bytes) => {
                protect(&file).map_err(|error| failure("protect", &file, &error))?;
                (bytes, false)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (create(&file).map_err(|error| failure("create", &file, &error))?, true)
            }
            Err(error) => return Err(failure("read", &file, &error)),
        };
        let key =
            UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| Error::Length { file, found: bytes.len() })?;
        let root = hmac::sign(&hmac::Key::new(HMAC_SHA256, &bytes), b"headend: secrets that are not stored");
        let derived = hmac::Key::new(HMAC_SHA256, root.as_ref());
        Ok(Vault { key: LessSafeKey::new(key), derived, is_new })
    }

    /// Was its key made just now? Then it opens nothing that was sealed before.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Seals a text that belongs to `context` (the id of a document and the name of the field, say).
    pub fn seal(&self, text: &str, context: &str) -> String {
        // 96 random bits: safe for 2^32 texts under one key.
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut sealed = text.as_bytes().to_vec();
        let done = self.key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(context.as_bytes()),
            &mut sealed,
        );
        // AES-GCM refuses only texts of more than 64 GiB.
        debug_assert!(done.is_ok());
        if done.is_err() {
            sealed.clear();
        }
        format!("{ESC}{VERSION}|{}|{}", STANDARD.encode(nonce), STANDARD.encode(sealed))
    }

    /// A secret of 43 letters, digits, `-` and `_` that is always the same for a context, and nobody knows without the key.
    pub fn derive(&self, context: &str) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.derived, context.as_bytes()))
    }

    /// Is this the secret of the context? Takes the same time wherever it differs.
    pub fn is_derived(&self, secret: &str, context: &str) -> bool {
        let secret = URL_SAFE_NO_PAD.decode(secret).unwrap_or_default();
        hmac::verify(&self.derived, context.as_bytes(), &secret).is_ok()
    }

    /// The text that was sealed for `context`. A text that is not sealed is returned as it is.
    pub fn reveal(&self, sealed: &str, context: &str) -> Result<String, Error> {
        let Some(parts) = sealed.strip_prefix(ESC) else { return Ok(sealed.to_owned()) };
        self.decrypt(parts, context).map_err(|why| Error::Sealed { context: context.into(), why })
    }

    fn decrypt(&self, parts: &str, context: &str) -> Result<String, &'static str> {
        const FORM: &str = "it does not have the form of one";
        let mut parts = parts.split('|');
        let (Some(VERSION), Some(nonce), Some(text), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(FORM);
        };
        let nonce = STANDARD.decode(nonce).map_err(|_| FORM)?;
        let mut text = STANDARD.decode(text).map_err(|_| FORM)?;
        let nonce = Nonce::try_assume_unique_for_key(&nonce).map_err(|_| FORM)?;
        let text = self
            .key
            .open_in_place(nonce, Aad::from(context.as_bytes()), &mut text)
            .map_err(|_| "it was sealed with another key, for something else, or was altered")?;
        String::from_utf8(text.to_vec()).map_err(|_| FORM)
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(***)")
    }
}

/// Makes the key's file so that it is there whole, or not at all, after a power cut.
fn create(file: &Path) -> io::Result<Vec<u8>> {
    let key: [u8; KEY_LENGTH] = rand::random();
    let folder = file.parent().unwrap_or(Path::new("."));
    let draft = file.with_extension(format!("{}.new", std::process::id()));
    let written = (|| {
        let mut out =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        out.write_all(&key)?;
        out.sync_all()?;
        // Unlike a rename, a link never replaces a key that someone else made meanwhile.
        fs::hard_link(&draft, file)
    })();
    fs::remove_file(&draft).or_else(|error| if written.is_ok() { Err(error) } else { Ok(()) })?;
    written?;
    fs::File::open(folder)?.sync_all()?;
    Ok(key.to_vec())
}

/// Takes the key away from group and others.
fn protect(file: &Path) -> io::Result<()> {
    let mode = fs::metadata(file)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        tracing::warn!(
            file = %file.display(),
            mode = format!("{mode:o}"),
            "others could read the vault's key; its permissions are now 600. If anyone may have copied it, replace the secrets it seals"
        );
        fs::set_permissions(file, fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

fn failure(action: &'static str, file: &Path, error: &io::Error) -> Error {
    Error::File { action, file: file.into(), detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_revealed_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(folder.path()).unwrap();
        let sealed = vault.seal("user: élève\npassword: hunter2", "sets-1");
        assert!(is_sealed(&sealed));
        assert!(!sealed.contains("hunter2"));
        assert_ne!(vault.seal("x", "sets-1"), vault.seal("x", "sets-1"), "a nonce was used twice");
        let again = Vault::open(folder.path()).unwrap();
        assert!(vault.is_new() && !again.is_new());
        assert_eq!(again.reveal(&sealed, "sets-1").unwrap(), "user: élève\npassword: hunter2");
        assert_eq!(again.reveal("in the clear", "sets-1").unwrap(), "in the clear");
        assert_eq!(again.reveal(&again.seal("", "c"), "c").unwrap(), "");
    }

    #[test]
    fn what_was_moved_or_altered_does_not_open() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(folder.path()).unwrap();
        let sealed = vault.seal("hunter2", "sets-1");
        assert!(vault.reveal(&sealed, "sets-2").is_err());
        let altered = sealed.replacen(&sealed[20..21], if &sealed[20..21] == "A" { "B" } else { "A" }, 1);
        assert!(vault.reveal(&altered, "sets-1").is_err());
        for broken in ["\u{1b}", "\u{1b}1||", "\u{1b}1|AAAA|AAAA", "\u{1b}9|a|b", "\u{1b}salt|a|b|c"] {
            let error = vault.reveal(broken, "sets-1").unwrap_err();
            assert!(error.to_string().contains("sets-1"), "{error}");
        }
        let other = Vault::open(tempfile::tempdir().unwrap().path()).unwrap();
        assert!(other.reveal(&sealed, "sets-1").is_err());
    }

    #[test]
    fn a_derived_secret_is_of_its_context_and_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(folder.path()).unwrap();
        let secret = vault.derive("webhook/mod-1/told");
        assert_eq!(secret.len(), 43);
        let again = Vault::open(folder.path()).unwrap();
        assert!(again.is_derived(&secret, "webhook/mod-1/told"));
        assert!(!again.is_derived(&secret, "webhook/mod-2/told"));
        let mut other = secret.clone().into_bytes();
        other[0] = if other[0] == b'A' { b'B' } else { b'A' };
        for wrong in ["", "?", &secret[1..], std::str::from_utf8(&other).unwrap()] {
            assert!(!again.is_derived(wrong, "webhook/mod-1/told"), "{wrong}");
        }
        let stranger = Vault::open(tempfile::tempdir().unwrap().path()).unwrap();
        assert!(!stranger.is_derived(&secret, "webhook/mod-1/told"));
    }

    #[test]
    fn only_the_owner_can_read_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        let sealed = Vault::open(folder.path()).unwrap().seal("x", "c");
        let mode = || fs::metadata(&file).unwrap().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the draft is left behind");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(Vault::open(folder.path()).unwrap().reveal(&sealed, "c").unwrap(), "x");
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn a_broken_key_file_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        fs::write(&file, "short").unwrap();
        let error = Vault::open(folder.path()).unwrap_err();
        assert_eq!(error, Error::Length { file: file.clone(), found: 5 });
        assert_eq!(fs::read(&file).unwrap(), b"short");
        assert!(Vault::open(folder.path().join("nowhere")).unwrap_err().to_string().contains("nowhere"));
    }
}
