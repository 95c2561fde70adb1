//! SSH: a shell, or one command, as the link's stream, and commands beside it.
//!
//! ```text
//!  TCP ── handshake ── host key ── sign-in ── channel ──▶ Shell: the link's transport ┐
//!            │            │           │         │                                     ├─ Session ── russh's task ── TCP
//!            ▼            ▼           ▼         ▼         commands of their own: exec ┘
//!      timeout, protocol  auth       auth    protocol
//! ```
//!
//! The session's task belongs to russh. It ends when nothing holds the [`Session`] any more, after what waits has been sent;
//! and however it stands, its socket is shut down soon after. While the link's stream is not read, the whole session waits,
//! commands included: an SSH connection has one order.

mod client;
mod exec;
mod record;
mod session;
mod settings;
mod shell;
mod stream;

pub use exec::{Exec, ExecError, Output};
pub(super) use session::{Session, open};
pub use settings::{Channel, Pty, Settings, Terminal};
pub(super) use shell::Shell;

use std::sync::Arc;

/// An SSH server, and how to sign in there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub endpoint: super::Endpoint,
    pub settings: Arc<Settings>,
}

impl Target {
    /// Why this can never be sent there.
    pub(super) fn refuses(&self, payload: &super::Payload) -> Option<&'static str> {
        let nowhere = self.settings.channel == Channel::None && !payload.bytes.is_empty();
        nowhere.then_some("not sent: connection.ssh.channel is none, so that there are only commands")
    }
}
