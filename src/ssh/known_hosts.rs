//! The ssh hosts that were met, in one file of OpenSSH's format (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT), so that
//! `ssh-keyscan` can fill it and `ssh-keygen -R` can mend it.
//!
//! The first key that a host shows is pinned, on disk before it is trusted. Another key of that host is refused until somebody
//! removes the line, or says which key it is to be ([`HostKey`]).

use std::{
    fmt, fs,
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use parking_lot::Mutex;
use russh::keys::ssh_key::{Algorithm, Fingerprint, HashAlg, PublicKey};
use serde::{Deserialize, Deserializer};

/// Two sessions that meet a host for the first time at once must agree on its key.
static WRITING: Mutex<()> = Mutex::new(());

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct KnownHosts {
    file: Arc<Path>,
}

/// A key that a host is said to have: `SHA256:…`, as `ssh-keygen -l` shows it, or the public key itself, `ssh-ed25519 AAAA…`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostKey(String);

/// Why a host's key is not trusted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "the host shows another key, {shown}, than the one pinned in line {line} of {}, {pinned}. Either the host was set up \
         anew, or somebody is in between. If the change is known to be right, remove that line \
         (ssh-keygen -f {} -R '{name}')", file.display(), file.display()
    )]
    Changed { file: PathBuf, line: usize, name: String, pinned: String, shown: String },
    #[error("the host shows the key {shown}, which line {line} of {} says was revoked", file.display())]
    Revoked { file: PathBuf, line: usize, shown: String },
    #[error(
        "the host shows the key {shown}, and is to have {wanted}. Either the host was set up anew, or somebody is in between"
    )]
    Other { wanted: String, shown: String },
    #[error("{} could not be read: {why}. Mend or remove that file", file.display())]
    Unreadable { file: PathBuf, why: String },
    #[error("its key could not be noted in {}: {why}", file.display())]
    Unwritable { file: PathBuf, why: io::Error },
}

struct Line {
    number: usize,
    key: PublicKey,
    revoked: bool,
}

impl KnownHosts {
    /// The file need not exist.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into().into() }
    }

    /// Puts the kinds of key by which the host is known first: a host that still has that key is not met by another.
    pub fn prefer(&self, host: &str, port: u16, offered: &[Algorithm]) -> Vec<Algorithm> {
        let known = self.lines(&name(host, port)).unwrap_or_default();
        let mut offered = offered.to_vec();
        offered.sort_by_key(|kind| !known.iter().any(|line| same_kind(&line.key.algorithm(), kind)));
        offered
    }

    /// Accepts the pinned key, pins the key of a stranger, refuses anything else. Writes to disk: not for a runtime's thread.
    pub fn check(&self, host: &str, port: u16, key: &PublicKey) -> Result<(), Error> {
        let name = name(host, port);
        let _guard = WRITING.lock();
        let known = self.lines(&name)?;
        let same = |line: &&Line| line.key.key_data() == key.key_data();
        if let Some(line) = known.iter().filter(|line| line.revoked).find(same) {
            let (file, shown) = (self.file.to_path_buf(), shown(key));
            return Err(Error::Revoked { file, line: line.number, shown });
        }
        let mut pinned = known.iter().filter(|line| !line.revoked);
        if pinned.clone().any(|line| same(&line)) {
            return Ok(());
        }
        // The key of the same kind is the one that was expected.
        let other = pinned.clone().find(|line| same_kind(&line.key.algorithm(), &key.algorithm()));
        if let Some(line) = other.or_else(|| pinned.next()) {
            return Err(Error::Changed {
                file: self.file.to_path_buf(),
                line: line.number,
                name,
                pinned: shown(&line.key),
                shown: shown(key),
            });
        }
        self.note(&name, key).map_err(|why| Error::Unwritable { file: self.file.to_path_buf(), why })?;
        tracing::info!(host, port, fingerprint = %key.fingerprint(HashAlg::Sha256), "pinned the key of an ssh host");
        Ok(())
    }

    fn note(&self, name: &str, key: &PublicKey) -> io::Result<()> {
        if let Some(folder) = self.file.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = fs::OpenOptions::new().read(true).append(true).create(true).open(&self.file)?;
        let mut last = [b'\n'];
        if file.seek(io::SeekFrom::End(0))? > 0 {
            file.seek(io::SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        let start = if last == [b'\n'] { "" } else { "\n" };
        let key = PublicKey::new(key.key_data().clone(), "").to_openssh().map_err(io::Error::other)?;
        file.write_all(format!("{start}{name} {key}\n").as_bytes())?;
        file.sync_all()
    }

    /// What the file says of this host.
    fn lines(&self, name: &str) -> Result<Vec<Line>, Error> {
        let unreadable = |why: String| Error::Unreadable { file: self.file.to_path_buf(), why };
        let text = match fs::read_to_string(&self.file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(error.to_string())),
        };
        let mut lines = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let mut words = line.split_whitespace().peekable();
            let marker = words.next_if(|word| word.starts_with('@'));
            let Some(hosts) = words.next().filter(|hosts| !hosts.starts_with('#')) else { continue };
            // A certificate authority says nothing about a bare key.
            if marker == Some("@cert-authority") || !covers(hosts, name) {
                continue;
            }
            let number = index + 1;
            let key = words.take(2).collect::<Vec<_>>().join(" ");
            let key = PublicKey::from_openssh(&key)
                .map_err(|error| unreadable(format!("the key in line {number}: {error}")))?;
            lines.push(Line { number, key, revoked: marker == Some("@revoked") });
        }
        Ok(lines)
    }
}

/// How the file calls a host.
fn name(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

/// An RSA key goes under several names.
fn same_kind(known: &Algorithm, offered: &Algorithm) -> bool {
    known == offered || matches!((known, offered), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }))
}

fn shown(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256))
}

/// Whether a line's list of patterns is about this host.
fn covers(patterns: &str, name: &str) -> bool {
    let mut covered = false;
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(not) if wild(not.as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => {
                covered |= hashed(pattern, name).unwrap_or_else(|| wild(pattern.as_bytes(), name.as_bytes()))
            }
        }
    }
    covered
}

/// `|1|salt|HMAC-SHA1 of the name`, in base64. None if the pattern is not of that form.
fn hashed(pattern: &str, name: &str) -> Option<bool> {
    let (salt, hash) = pattern.strip_prefix("|1|")?.split_once('|')?;
    let (Ok(salt), Ok(hash)) = (STANDARD.decode(salt), STANDARD.decode(hash)) else { return Some(false) };
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
    Some(ring::hmac::verify(&key, name.as_bytes(), &hash).is_ok())
}

/// `*` stands for any text, `?` for one character.
fn wild(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), None) => wild(rest, name),
        (Some((b'*', rest)), Some((_, shorter))) => wild(rest, name) || wild(pattern, shorter),
        (Some((p, pattern)), Some((n, name))) => {
            (*p == b'?' || p.eq_ignore_ascii_case(n)) && wild(pattern, name)
        }
        _ => false,
    }
}

// === impl HostKey ===

impl HostKey {
    pub fn check(&self, key: &PublicKey) -> Result<(), Error> {
        let same = match self.0.parse::<Fingerprint>() {
            Ok(fingerprint) => key.fingerprint(fingerprint.algorithm()) == fingerprint,
            Err(_) => {
                PublicKey::from_openssh(&self.0).is_ok_and(|wanted| wanted.key_data() == key.key_data())
            }
        };
        if same { Ok(()) } else { Err(Error::Other { wanted: self.to_string(), shown: shown(key) }) }
    }

    /// The kinds of key it can be, first.
    pub fn prefer(&self, offered: &[Algorithm]) -> Vec<Algorithm> {
        let mut offered = offered.to_vec();
        if let Ok(key) = PublicKey::from_openssh(&self.0) {
            offered.sort_by_key(|kind| !same_kind(&key.algorithm(), kind));
        }
        offered
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match PublicKey::from_openssh(&self.0) {
            Ok(key) => f.write_str(&shown(&key)),
            Err(_) => f.write_str(&self.0),
        }
    }
}

impl<'de> Deserialize<'de> for HostKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?.trim().to_owned();
        if text.parse::<Fingerprint>().is_ok() || PublicKey::from_openssh(&text).is_ok() {
            Ok(Self(text))
        } else {
            let wanted = "is no host key: either SHA256:… as `ssh-keygen -l` shows it, or a public key, `ssh-ed25519 AAAA…`";
            Err(serde::de::Error::custom(format!("{text:?} {wanted}")))
        }
    }
}
