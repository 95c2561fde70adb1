//! Signing in to an ssh server with a private key or a password, whichever it takes.

use std::sync::Arc;

use russh::{
    MethodKind, MethodSet,
    client::{AuthResult, Handle, Handler, KeyboardInteractiveAuthResponse},
    keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg},
};

use crate::secrets::Secret;

/// Dialogues ask for the password once; a host that goes on asking does not take it.
const QUESTIONS: usize = 3;

/// What somebody signs in with.
pub(crate) struct Credentials<'a> {
    pub(crate) user: &'a str,
    pub(crate) key: Option<PrivateKey>,
    pub(crate) password: Option<&'a Secret>,
}

pub(crate) enum Error {
    /// `tried`: with what; empty if the host offers nothing that the credentials are good for.
    Refused { tried: String, offered: String },
    /// The connection ended.
    Broken(russh::Error),
}

impl From<russh::Error> for Error {
    fn from(error: russh::Error) -> Self {
        Self::Broken(error)
    }
}

/// Asks the host what it takes, and tries what there is: the key, then the password, which is given in a dialogue where the host
/// wants that. Nothing is tried twice: hosts count.
pub(crate) async fn sign_in<H: Handler>(handle: &mut Handle<H>, with: &Credentials<'_>) -> Result<(), Error> {
    let mut tried = Vec::new();
    let mut offered = match handle.authenticate_none(with.user).await? {
        AuthResult::Success => return Ok(()),
        AuthResult::Failure { remaining_methods, .. } => remaining_methods,
    };
    if let Some(key) = with.key.as_ref().filter(|_| offered.contains(&MethodKind::PublicKey)) {
        tried.push("the key");
        let key = Arc::new(key.clone());
        for hash in hashes(handle, &key).await? {
            let key = PrivateKeyWithHashAlg::new(key.clone(), hash);
            match handle.authenticate_publickey(with.user, key).await? {
                AuthResult::Success => return Ok(()),
                AuthResult::Failure { remaining_methods, .. } => offered = remaining_methods,
            }
        }
    }
    if let Some(password) = with.password {
        if offered.contains(&MethodKind::Password) {
            tried.push("the password");
            match handle.authenticate_password(with.user, password.expose()).await? {
                AuthResult::Success => return Ok(()),
                AuthResult::Failure { remaining_methods, .. } => offered = remaining_methods,
            }
        } else if offered.contains(&MethodKind::KeyboardInteractive) {
            tried.push("the password");
            match dialogue(handle, with.user, password).await? {
                AuthResult::Success => return Ok(()),
                AuthResult::Failure { remaining_methods, .. } => offered = remaining_methods,
            }
        }
    }
    // A host that is gone answers nothing, which looks like a refusal.
    if handle.is_closed() && tried.is_empty() {
        return Err(Error::Broken(russh::Error::Disconnect));
    }
    Err(Error::Refused { tried: tried.join(" and "), offered: listed(&offered) })
}

/// The signatures to try with a key, best first. Hosts that do not say which they take are old, and may know SHA-1 only.
async fn hashes<H: Handler>(handle: &Handle<H>, key: &PrivateKey) -> Result<Vec<Option<HashAlg>>, Error> {
    if !key.algorithm().is_rsa() {
        return Ok(vec![None]);
    }
    Ok(match handle.best_supported_rsa_hash().await? {
        Some(hash) => vec![hash],
        None => vec![Some(HashAlg::Sha256), None],
    })
}

async fn dialogue<H: Handler>(
    handle: &mut Handle<H>,
    user: &str,
    password: &Secret,
) -> Result<AuthResult, russh::Error> {
    let mut answer = handle.authenticate_keyboard_interactive_start(user, None).await?;
    for _ in 0..QUESTIONS {
        match answer {
            KeyboardInteractiveAuthResponse::Success => return Ok(AuthResult::Success),
            KeyboardInteractiveAuthResponse::Failure { remaining_methods, partial_success } => {
                return Ok(AuthResult::Failure { remaining_methods, partial_success });
            }
            KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => {
                let answers = prompts.iter().map(|_| password.expose().to_owned()).collect();
                answer = handle.authenticate_keyboard_interactive_respond(answers).await?;
            }
        }
    }
    let remaining_methods = MethodSet::empty();
    Ok(AuthResult::Failure { remaining_methods, partial_success: false })
}

fn listed(methods: &MethodSet) -> String {
    let words: Vec<&str> = methods.iter().map(<&str>::from).collect();
    words.join(", ")
}

/// Reads a private key in OpenSSH or PEM form. The error is a sentence about it, without any of it.
pub(crate) fn parse_key(text: &str, passphrase: Option<&Secret>) -> Result<PrivateKey, String> {
    // Pasted text often lacks the last line's end, and may have Windows' line ends.
    let text = format!("{}\n", text.trim().replace("\r\n", "\n"));
    match (russh::keys::decode_secret_key(&text, None), passphrase) {
        (Ok(key), _) => Ok(key),
        (Err(russh::keys::Error::KeyIsEncrypted), None) => {
            Err("the private key is encrypted, and there is no passphrase".to_owned())
        }
        (Err(_), Some(passphrase)) => russh::keys::decode_secret_key(&text, Some(passphrase.expose()))
            .map_err(|error| format!("the private key could not be read with the passphrase: {error}")),
        (Err(error), None) => {
            Err(format!("the private key could not be read: {error}. It must be in OpenSSH or PEM form"))
        }
    }
}
