//! The ssh hosts that were met. The first key a host shows is pinned; another key of that host is refused until
//! somebody removes the line. The file has OpenSSH's format, so that `ssh-keyscan` can fill it and `ssh-keygen -R`
//! can mend it.

use std::path::Path;

use parking_lot::Mutex;
use russh::keys::ssh_key::{Algorithm, HashAlg, PublicKey};
use russh::keys::{self, known_hosts};

use super::super::{Error, Result};

/// Two sessions that meet a host for the first time at once must agree on its key.
static WRITING: Mutex<()> = Mutex::new(());

/// Kinds of the keys by which a host is known; empty for a stranger.
pub(super) fn algorithms(file: &Path, host: &str, port: u16) -> Vec<Algorithm> {
    let known = known_hosts::known_host_keys_path(host, port, file).unwrap_or_default();
    known.into_iter().map(|(_, key)| key.algorithm()).collect()
}

/// Whether a key of kind `known` can be shown under the name `offered` (an RSA key goes under several).
pub(super) fn same_kind(known: &Algorithm, offered: &Algorithm) -> bool {
    known == offered || matches!((known, offered), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }))
}

/// Accepts the pinned key, pins the key of a stranger, refuses anything else.
pub(super) fn check(file: &Path, remote: &str, host: &str, port: u16, key: &PublicKey) -> Result<()> {
    let _guard = WRITING.lock();
    let unreadable = |error: keys::Error| Error::HostKey {
        remote: remote.to_owned(),
        why: format!("{} could not be read: {error}. Mend or remove that file", file.display()),
    };
    let known = known_hosts::known_host_keys_path(host, port, file).map_err(unreadable)?;
    if known.iter().any(|(_, known)| known.key_data() == key.key_data()) {
        return Ok(());
    }
    if !known.is_empty() {
        return Err(changed(file, remote, host));
    }
    known_hosts::learn_known_hosts_path(host, port, key, file).map_err(|error| Error::HostKey {
        remote: remote.to_owned(),
        why: format!("its key could not be noted in {}: {error}", file.display()),
    })?;
    tracing::info!(host, port, fingerprint = %key.fingerprint(HashAlg::Sha256), "pinned the key of an ssh host");
    Ok(())
}

/// The refusal of a host that shows another key than before.
pub(super) fn changed(file: &Path, remote: &str, host: &str) -> Error {
    Error::HostKey {
        remote: remote.to_owned(),
        why: format!(
            "the host shows another key than the one pinned in {}. Either the host was set up anew, or somebody is \
             in between. If the change is known to be right, remove the lines of {host} from that file and pull again",
            file.display()
        ),
    }
}
