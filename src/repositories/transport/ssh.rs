//! git over ssh: `git-upload-pack 'path'` run on the host, its input and output carrying the git protocol.
//!
//! The host's key is pinned at first use, in the daemon's known_hosts; a host whose key has changed is refused before
//! anything is sent to it.

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use russh::client::{AuthResult, Handle, Handler, KeyboardInteractiveAuthResponse, Msg};
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf};

use super::super::{Error, Result};
use super::{Session, known_hosts};

/// Most of what the host says on its error output that is kept, bytes.
const LARGEST_COMPLAINT: usize = 2048;

pub(super) struct Channel {
    session: Arc<Session>,
    /// Dropping it ends the connection.
    _handle: Handle<Client>,
    incoming: ChannelReadHalf,
    outgoing: ChannelWriteHalf<Msg>,
    chunk: Bytes,
    complaint: Vec<u8>,
    received: bool,
}

pub(super) fn open(session: Arc<Session>, host: &str, port: u16, path: &str) -> io::Result<Channel> {
    let refusal = Arc::new(Mutex::new(None));
    let client = Client {
        host: host.to_owned(),
        port,
        remote: session.remote().to_string(),
        known_hosts: session.known_hosts.clone(),
        refusal: refusal.clone(),
    };
    let mut config = russh::client::Config { nodelay: true, ..Default::default() };
    // A host that is known by a key of one kind must not be met by a key of another kind.
    let known = known_hosts::algorithms(&session.known_hosts, host, port);
    if !known.is_empty() {
        let all = config
            .preferred
            .key
            .iter()
            .filter(|kind| known.iter().any(|known| known_hosts::same_kind(known, kind)));
        config.preferred.key = Cow::Owned(all.cloned().collect());
    }
    let mut handle = session.connect(async {
        let connected = russh::client::connect(Arc::new(config), (host, port), client).await;
        connected.map_err(|error| match refusal.lock().take() {
            Some(refusal) => refusal,
            None => match error {
                russh::Error::NoCommonAlgo { kind: russh::AlgorithmKind::Key, .. } if !known.is_empty() => {
                    known_hosts::changed(&session.known_hosts, &session.remote().to_string(), host)
                }
                error => session.unreachable(error.to_string()),
            },
        })
    })?;
    session.connect(sign_in(&session, &mut handle))?;
    let command = format!("git-upload-pack {}", quoted(path));
    let (incoming, outgoing) = session.exchange(async {
        let failed = |error: russh::Error| session.unreachable(error.to_string());
        let channel = handle.channel_open_session().await.map_err(failed)?;
        channel.exec(true, command).await.map_err(failed)?;
        Ok(channel.split())
    })?;
    Ok(Channel {
        session,
        _handle: handle,
        incoming,
        outgoing,
        chunk: Bytes::new(),
        complaint: Vec::new(),
        received: false,
    })
}

/// A word for the shell of the host.
fn quoted(path: &str) -> String {
    // A leading ~user must reach the shell unquoted to mean a home folder; git's own server expands it as well.
    format!("'{}'", path.replace('\'', r"'\''").replace('!', r"'\!'"))
}

async fn sign_in(session: &Session, handle: &mut Handle<Client>) -> Result<()> {
    let credentials = session.credentials();
    let user = credentials.username.clone().unwrap_or_else(|| "git".to_owned());
    let failed = |error: russh::Error| session.unreachable(error.to_string());
    let mut tried = Vec::new();
    if let Some(key) = &credentials.key {
        let passphrase = credentials.password.as_ref().map(|secret| secret.expose());
        let key = parse_key(key.expose(), passphrase).map_err(|why| session.refused(why))?;
        let hash = handle.best_supported_rsa_hash().await.map_err(failed)?.flatten();
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
        if handle.authenticate_publickey(user.clone(), key).await.map_err(failed)?.success() {
            return Ok(());
        }
        tried.push("the key");
    }
    if let Some(password) = &credentials.password {
        let result = handle.authenticate_password(user.clone(), password.expose()).await.map_err(failed)?;
        if result.success() || interactive(handle, &user, password.expose(), &result).await.map_err(failed)? {
            return Ok(());
        }
        tried.push("the password");
    }
    if tried.is_empty() {
        return match handle.authenticate_none(user.clone()).await.map_err(failed)? {
            AuthResult::Success => Ok(()),
            AuthResult::Failure { .. } => Err(session.refused(
                "ssh needs a private key or a password, and the repository has neither. Give it one",
            )),
        };
    }
    let tried = tried.join(" and ");
    Err(session.refused(format!(
        "user {user:?} is not let in with {tried}. Check the user name, and that the host has the public key"
    )))
}

/// Hosts that ask for the password in a dialogue.
async fn interactive(
    handle: &mut Handle<Client>,
    user: &str,
    password: &str,
    refusal: &AuthResult,
) -> Result<bool, russh::Error> {
    let offered = match refusal {
        AuthResult::Failure { remaining_methods, .. } => {
            remaining_methods.contains(&russh::MethodKind::KeyboardInteractive)
        }
        AuthResult::Success => return Ok(true),
    };
    if !offered {
        return Ok(false);
    }
    let mut answer = handle.authenticate_keyboard_interactive_start(user, None).await?;
    // A dialogue asks once; a host that goes on asking does not take the password.
    for _ in 0..3 {
        match answer {
            KeyboardInteractiveAuthResponse::Success => return Ok(true),
            KeyboardInteractiveAuthResponse::Failure { .. } => return Ok(false),
            KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => {
                let answers = prompts.iter().map(|_| password.to_owned()).collect();
                answer = handle.authenticate_keyboard_interactive_respond(answers).await?;
            }
        }
    }
    Ok(false)
}

fn parse_key(text: &str, passphrase: Option<&str>) -> Result<PrivateKey, String> {
    // Pasted text often lacks the last line's end, and may have Windows' line ends.
    let text = format!("{}\n", text.trim().replace("\r\n", "\n"));
    match russh::keys::decode_secret_key(&text, None) {
        Ok(key) => Ok(key),
        Err(russh::keys::Error::KeyIsEncrypted) if passphrase.is_none() => {
            Err("its private key is encrypted. Give the passphrase as the password".to_owned())
        }
        Err(_) if passphrase.is_some() => {
            russh::keys::decode_secret_key(&text, passphrase).map_err(|error| {
                format!("its private key could not be read with the password as passphrase: {error}")
            })
        }
        Err(error) => {
            Err(format!("its private key could not be read: {error}. It must be in OpenSSH or PEM form"))
        }
    }
}

impl Channel {
    fn fill(&mut self) -> io::Result<bool> {
        let Channel { session, incoming, complaint, received, .. } = self;
        let mut failed = None;
        let chunk = session.exchange(async {
            while let Some(message) = incoming.wait().await {
                match message {
                    ChannelMsg::Data { data } if !data.is_empty() => return Ok(Some(data)),
                    ChannelMsg::ExtendedData { data, .. } => {
                        let room = LARGEST_COMPLAINT.saturating_sub(complaint.len());
                        complaint.extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
                    }
                    ChannelMsg::ExitStatus { exit_status } if exit_status != 0 => failed = Some(exit_status),
                    ChannelMsg::Failure => failed = Some(126),
                    _ => {}
                }
            }
            // Nothing at all came before the end: the host refused the command, and says why on its error output.
            if failed.is_some() || !*received {
                let said = String::from_utf8_lossy(complaint);
                let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
                let said = if said.is_empty() { "the host closed the channel".to_owned() } else { said };
                return Err(session.unreadable(&format!("git-upload-pack on the host failed: {said}")));
            }
            Ok(None)
        })?;
        match chunk {
            Some(chunk) => {
                self.received = true;
                self.chunk = chunk;
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

impl Read for Channel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() && !self.fill()? {
            return Ok(0);
        }
        let count = self.chunk.len().min(buffer.len());
        self.chunk.copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Channel { session, outgoing, .. } = self;
        let data = Bytes::copy_from_slice(bytes);
        session.exchange(async {
            outgoing.data_bytes(data).await.map_err(|error| session.unreachable(error.to_string()))
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Client {
    host: String,
    port: u16,
    remote: String,
    known_hosts: PathBuf,
    refusal: Arc<Mutex<Option<Error>>>,
}

impl Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let checked = match key {
            PublicKeyOrCertificate::PublicKey { key, .. } => {
                known_hosts::check(&self.known_hosts, &self.remote, &self.host, self.port, key)
            }
            PublicKeyOrCertificate::Certificate { .. } => Err(Error::HostKey {
                remote: self.remote.clone(),
                why: "it shows a certificate, and none was asked for".to_owned(),
            }),
        };
        match checked {
            Ok(()) => Ok(true),
            Err(error) => {
                *self.refusal.lock() = Some(error);
                Ok(false)
            }
        }
    }
}
