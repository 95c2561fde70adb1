//! git over ssh: `git-upload-pack 'path'` run on the host, its input and output carrying the git protocol.
//!
//! The host's key is pinned at first use, in the daemon's known_hosts; a host whose key has changed is refused before
//! anything is sent to it.

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use russh::client::{Handle, Handler, Msg};
use russh::keys::PublicKeyOrCertificate;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf};

use super::super::{Error, Result};
use super::Session;
use crate::ssh::KnownHosts;
use crate::ssh::sign_in::{self, parse_key};

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
    config.preferred.key = Cow::Owned(session.known_hosts.prefer(host, port, &config.preferred.key));
    let mut handle = session.connect(async {
        let connected = russh::client::connect(Arc::new(config), (host, port), client).await;
        connected.map_err(|error| match refusal.lock().take() {
            Some(refusal) => refusal,
            None => session.unreachable(error.to_string()),
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
    let user = credentials.username.as_deref().unwrap_or("git");
    let password = credentials.password.as_ref();
    // A passphrase is given as the password.
    let key = credentials.key.as_ref().map(|key| parse_key(key.expose(), password)).transpose();
    let key =
        key.map_err(|why| session.refused(format!("{why}. The passphrase is given as the password")))?;
    let bare = key.is_none() && password.is_none();
    let with = sign_in::Credentials { user, key, password };
    match sign_in::sign_in(handle, &with).await {
        Ok(()) => Ok(()),
        Err(sign_in::Error::Broken(error)) => Err(session.unreachable(error.to_string())),
        Err(sign_in::Error::Refused { .. }) if bare => Err(session.refused(
            "ssh needs a private key or a password, and the repository has neither. Give it one",
        )),
        Err(sign_in::Error::Refused { tried, offered }) => Err(session.refused(format!(
            "user {user:?} is not let in with {}; the host takes {offered}. Check the user name, and that the host has the \
             public key",
            if tried.is_empty() { "what the repository has" } else { tried.as_str() }
        ))),
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
    known_hosts: KnownHosts,
    refusal: Arc<Mutex<Option<Error>>>,
}

impl Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let why = match key {
            PublicKeyOrCertificate::PublicKey { key, .. } => {
                match self.known_hosts.check(&self.host, self.port, key) {
                    Ok(()) => return Ok(true),
                    Err(error) => error.to_string(),
                }
            }
            PublicKeyOrCertificate::Certificate { .. } => {
                "it shows a certificate, and none was asked for".to_owned()
            }
        };
        *self.refusal.lock() = Some(Error::HostKey { remote: self.remote.clone(), why });
        Ok(false)
    }
}
