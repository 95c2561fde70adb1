//! `connection.ssh`: who signs in, what the host must show, and what the stream is.

use crate::{secrets::Secret, ssh::HostKey};
use serde::{Deserialize, Deserializer, de::Error as _};

#[derive(Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub username: String,
    /// For a password asked for directly, or in a dialogue.
    pub password: Option<Secret>,
    /// A private key in OpenSSH or PEM form.
    pub key: Option<Secret>,
    pub passphrase: Option<Secret>,
    /// The key that the host must show. None: the one it showed first, which is kept in the daemon's `known_hosts`.
    pub host_key: Option<HostKey>,
    pub channel: Channel,
    /// For the channel `exec`.
    pub command: Option<String>,
    /// None: a shell has a terminal, a command has none.
    pub pty: Option<Terminal>,
    /// The host is asked for a sign of life after this much silence, milliseconds, and again; after three times this much it counts as `silent`. 0: never.
    pub keepalive_ms: u64,
    /// How long handshake and sign-in may take together, milliseconds: old devices need seconds for their keys.
    pub login_ms: u64,
    /// How long a command may take for which its caller says nothing, milliseconds.
    pub exec_ms: u64,
    /// Offers algorithms that are no longer safe, for old devices.
    pub legacy: bool,
}

/// What is the link's stream.
#[derive(Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    #[default]
    Shell,
    /// The input and output of one command.
    Exec,
    /// Nothing: the connection is for commands only.
    None,
}

/// `true`, `false`, or what it is like.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Terminal {
    Off,
    Like(Pty),
}

#[derive(Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(default, deny_unknown_fields)]
pub struct Pty {
    pub term: String,
    pub columns: u32,
    pub rows: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            username: String::new(),
            password: None,
            key: None,
            passphrase: None,
            host_key: None,
            channel: Channel::Shell,
            command: None,
            pty: None,
            keepalive_ms: 10_000,
            login_ms: 15_000,
            exec_ms: 30_000,
            legacy: false,
        }
    }
}

/// Wide and long, so that a device neither breaks lines nor waits for a key at the end of a page.
impl Default for Pty {
    fn default() -> Self {
        Self { term: "vt100".into(), columns: 511, rows: 1000 }
    }
}

impl Settings {
    /// What is wrong with them taken together, for people.
    pub fn check(&self) -> Result<(), String> {
        if self.username.is_empty() {
            return Err("the setting connection.ssh.username is missing: who signs in?".into());
        }
        match (self.channel, &self.command) {
            (Channel::Exec, None) => {
                Err("the setting connection.ssh.command is missing, which the channel exec runs".into())
            }
            (Channel::Shell | Channel::None, Some(_)) => {
                Err("the setting connection.ssh.command is for the channel exec only".into())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn terminal(&self) -> Option<Pty> {
        match (&self.pty, self.channel) {
            (Some(Terminal::Like(pty)), _) => Some(pty.clone()),
            (None, Channel::Shell) => Some(Pty::default()),
            (Some(Terminal::Off), _) | (None, _) => None,
        }
    }
}

impl<'de> Deserialize<'de> for Terminal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Bool(false) => Ok(Self::Off),
            serde_json::Value::Bool(true) => Ok(Self::Like(Pty::default())),
            other => serde_json::from_value(other).map(Self::Like).map_err(D::Error::custom),
        }
    }
}
