//! A signed-in connection.

use super::{
    super::{Failure, Reason, target::Endpoint},
    Channel, Settings, Shell, Target,
    client::{Client, Why, lost, printable},
    stream::{Backlog, Stream},
};
use crate::ssh::{
    KnownHosts,
    sign_in::{self, Credentials},
};
use russh::{
    ChannelMsg, Preferred, cipher,
    client::{Config, Handle},
    kex,
    keys::ssh_key::PublicKey,
    mac,
};
use std::{borrow::Cow, net::Shutdown, sync::Arc, time::Duration};
use tokio::{
    net::TcpStream,
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Signs of life that are asked for. When the next would be, the session ends.
const KEEPALIVES: usize = 2;
/// How long what was taken may still be sent after the link has let go.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(1);
/// Commands at a time: OpenSSH allows ten channels by default. The stream is one, and those given up may still run.
pub(super) const COMMANDS: usize = 4;
/// What a host may send before it has to wait; with that, the memory that a session may take.
const WINDOW: u32 = 256 * 1024;
const WAITING: usize = 16;

pub(in crate::connections) struct Session {
    pub(super) endpoint: Endpoint,
    pub(super) handle: Handle<Client>,
    pub(super) why: Why,
    pub(super) backlog: Arc<Backlog>,
    /// The session's task has ended.
    pub(super) gone: CancellationToken,
    /// The link has let go of the connection.
    pub(super) left: CancellationToken,
    pub(super) commands: Semaphore,
    cut: Option<Cut>,
}

/// Shuts the socket down, however the session's task stands.
struct Cut(socket2::Socket);

/// What makes a host's key the right one.
#[derive(Clone)]
pub(super) struct Trust {
    pub(super) settings: Arc<Settings>,
    /// None: nothing can be pinned.
    pub(super) pins: Option<KnownHosts>,
}

/// Does everything that comes after TCP.
pub(in crate::connections) async fn open(
    stream: TcpStream,
    target: &Target,
    pins: Option<KnownHosts>,
) -> Result<Shell, Failure> {
    let Target { endpoint, settings } = target;
    let limit = Duration::from_millis(settings.login_ms);
    match timeout(limit, begin(stream, target, pins)).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let what = format!(
                "{endpoint} accepted the connection, but handshake and sign-in were not over within {} ms \
                 (connection.ssh.login_ms). {}",
                settings.login_ms,
                Reason::Timeout.sentence()
            );
            Err(Failure::new(Reason::Timeout, what))
        }
    }
}

async fn begin(stream: TcpStream, target: &Target, pins: Option<KnownHosts>) -> Result<Shell, Failure> {
    let Target { endpoint, settings } = target;
    let key = private_key(settings).await.map_err(|why| refused(endpoint, &why))?;
    let trust = Trust { settings: settings.clone(), pins };
    let (why, gone) = (Why::default(), CancellationToken::new());
    let cut = socket2::SockRef::from(&stream).try_clone().map(Cut);
    let cut = cut.map_err(|error| lost(endpoint, &russh::Error::IO(error)))?;
    let (stream, backlog) = Stream::new(stream);
    let client = Client {
        endpoint: endpoint.clone(),
        trust: trust.clone(),
        why: why.clone(),
        _gone: gone.clone().drop_guard(),
    };
    let config = Arc::new(config(settings, endpoint, &trust));
    let failed = |error: russh::Error| why.get().unwrap_or_else(|| lost(endpoint, &error));
    let handle = russh::client::connect_stream(config, stream, client).await.map_err(failed)?;
    let mut session = Session {
        endpoint: endpoint.clone(),
        handle,
        why: why.clone(),
        gone,
        backlog,
        left: CancellationToken::new(),
        commands: Semaphore::new(COMMANDS),
        cut: Some(cut),
    };
    let with = Credentials { user: &settings.username, key, password: settings.password.as_ref() };
    match sign_in::sign_in(&mut session.handle, &with).await {
        Ok(()) => {}
        Err(sign_in::Error::Broken(error)) => return Err(failed(error)),
        Err(sign_in::Error::Refused { tried, offered }) => {
            return Err(refused(endpoint, &not_let_in(&settings.username, &tried, &offered, &why)));
        }
    }
    let session = Arc::new(session);
    channel(session.clone(), settings)
        .await
        .map_err(failed)?
        .map_err(|what| Failure::new(Reason::Protocol, format!("{endpoint} let us in, but {what}.")))
}

fn refused(endpoint: &Endpoint, why: &str) -> Failure {
    Failure::new(Reason::Auth, format!("signing in to {endpoint} failed: {why}."))
}

fn not_let_in(user: &str, tried: &str, offered: &str, why: &Why) -> String {
    let offered = if offered.is_empty() { "nothing more".to_owned() } else { printable(offered) };
    // A host that has had enough says so, and hangs up.
    let last = why.get().map(|failure| format!("; {}", failure.detail)).unwrap_or_default();
    if tried.is_empty() {
        format!(
            "user {user:?} has neither key nor password in connection.ssh that the host takes, which is {offered}{last}"
        )
    } else {
        format!(
            "user {user:?} is not let in with {tried}; the host takes {offered}{last}. Check user name, key and password"
        )
    }
}

/// A passphrase is made hard to try on purpose, and takes its time.
async fn private_key(settings: &Settings) -> Result<Option<russh::keys::PrivateKey>, String> {
    let Some(key) = settings.key.clone() else { return Ok(None) };
    let passphrase = settings.passphrase.clone();
    let parsed = move || sign_in::parse_key(key.expose(), passphrase.as_ref());
    let parsed = tokio::task::spawn_blocking(parsed).await.map_err(|error| error.to_string())?;
    parsed.map(Some).map_err(|why| format!("{why}. Look at connection.ssh.key and passphrase"))
}

fn config(settings: &Settings, endpoint: &Endpoint, trust: &Trust) -> Config {
    let mut preferred = Preferred::DEFAULT;
    if settings.legacy {
        let kex = [
            kex::ECDH_SHA2_NISTP256,
            kex::ECDH_SHA2_NISTP384,
            kex::ECDH_SHA2_NISTP521,
            kex::DH_GEX_SHA1,
            kex::DH_G14_SHA1,
            kex::DH_G1_SHA1,
        ];
        preferred.kex.to_mut().extend(kex);
        preferred.cipher.to_mut().extend([cipher::AES_256_CBC, cipher::AES_192_CBC, cipher::AES_128_CBC]);
        preferred.mac.to_mut().extend([mac::HMAC_SHA1_ETM, mac::HMAC_SHA1]);
    }
    preferred.key = Cow::Owned(match (&settings.host_key, &trust.pins) {
        (Some(wanted), _) => wanted.prefer(&preferred.key),
        (None, Some(pins)) => pins.prefer(&endpoint.host, endpoint.port, &preferred.key),
        (None, None) => preferred.key.to_vec(),
    });
    Config {
        preferred,
        nodelay: true,
        window_size: WINDOW,
        channel_buffer_size: WAITING,
        keepalive_interval: (settings.keepalive_ms > 0).then(|| Duration::from_millis(settings.keepalive_ms)),
        keepalive_max: KEEPALIVES,
        ..Config::default()
    }
}

/// The stream. The inner error is a sentence's end: what the host did not grant.
async fn channel(session: Arc<Session>, settings: &Settings) -> Result<Result<Shell, String>, russh::Error> {
    if settings.channel == Channel::None {
        return Ok(Ok(Shell::silent(session)));
    }
    let (mut incoming, outgoing) = session.handle.channel_open_session().await?.split();
    // Answers come in the order of the requests, and before anything else of the channel.
    let mut asked = Vec::new();
    if let Some(pty) = settings.terminal() {
        outgoing.request_pty(true, &pty.term, pty.columns, pty.rows, 0, 0, &[]).await?;
        asked.push("a terminal (see connection.ssh.pty)");
    }
    match &settings.command {
        Some(command) => outgoing.exec(true, command.as_str()).await?,
        None => outgoing.request_shell(true).await?,
    }
    asked.push(if settings.command.is_some() {
        "the command"
    } else {
        "a shell (see connection.ssh.channel)"
    });
    for what in asked {
        loop {
            match incoming.wait().await {
                Some(ChannelMsg::Success) => break,
                Some(ChannelMsg::Failure) => return Ok(Err(format!("does not give {what}"))),
                Some(ChannelMsg::Close) | None => {
                    return Ok(Err(format!("closed the channel instead of giving {what}")));
                }
                Some(_) => {}
            }
        }
    }
    Ok(Ok(Shell::new(session, incoming, &outgoing)))
}

impl Trust {
    /// The error is a clause, for people.
    pub(super) fn check(&self, endpoint: &Endpoint, key: &PublicKey) -> Result<(), String> {
        match (&self.settings.host_key, &self.pins) {
            (Some(wanted), _) => wanted.check(key).map_err(|error| {
                format!("{error}. If the change is known to be right, change connection.ssh.host_key")
            }),
            (None, Some(pins)) => pins
                .check(&endpoint.host, endpoint.port, key)
                .map_err(|error| format!("{error}, or name the new key in connection.ssh.host_key")),
            (None, None) => Err(
                "keys of hosts are kept nowhere, and connection.ssh.host_key does not say which it must have"
                    .into(),
            ),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let (cut, gone) = (self.cut.take(), self.gone.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                tokio::select! {
                    () = gone.cancelled() => {}
                    () = sleep(2 * LAST_WORDS) => {}
                }
                drop(cut);
            });
        }
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}
