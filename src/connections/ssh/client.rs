//! What russh asks on the way: whether the host's key is right; and what it tells: why the session ended.

use super::{
    super::{Failure, Reason, target::Endpoint},
    session::Trust,
};
use parking_lot::Mutex;
use russh::{
    Error,
    client::{DisconnectReason, Handler},
    keys::PublicKeyOrCertificate,
};
use std::{io, sync::Arc};
use tokio_util::sync::DropGuard;

/// Lives as long as the session's task.
pub(super) struct Client {
    pub(super) endpoint: Endpoint,
    pub(super) trust: Trust,
    pub(super) why: Why,
    /// Tells that the session is over.
    pub(super) _gone: DropGuard,
}

/// Why the session ended, or could not begin: the first who knows says so.
#[derive(Clone, Default)]
pub(super) struct Why(Arc<Mutex<Option<Failure>>>);

impl Why {
    pub(super) fn get(&self) -> Option<Failure> {
        self.0.lock().clone()
    }

    fn set(&self, failure: Failure) {
        self.0.lock().get_or_insert(failure);
    }
}

impl Handler for Client {
    type Error = Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Error> {
        let doubt = match key {
            PublicKeyOrCertificate::PublicKey { key, .. } => {
                let (trust, endpoint, key) = (self.trust.clone(), self.endpoint.clone(), key.clone());
                // It may have to be noted on disk.
                let checked = tokio::task::spawn_blocking(move || trust.check(&endpoint, &key)).await;
                match checked {
                    Ok(Ok(())) => return Ok(true),
                    Ok(Err(doubt)) => doubt,
                    Err(error) => error.to_string(),
                }
            }
            PublicKeyOrCertificate::Certificate { .. } => {
                "the host shows a certificate, and none was asked for".to_owned()
            }
        };
        self.why.set(Failure::new(Reason::Auth, format!("{} is not trusted: {doubt}.", self.endpoint)));
        Ok(false)
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Error>) -> Result<(), Error> {
        match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                let words = printable(&info.message);
                let said =
                    format!("{} ended the SSH session: {words:?} ({:?}).", self.endpoint, info.reason_code);
                self.why.set(Failure::new(Reason::Closed, said));
                Ok(())
            }
            DisconnectReason::Error(error) => {
                self.why.set(lost(&self.endpoint, &error));
                Err(error)
            }
        }
    }
}

/// What the host says, cut, and without what would confuse a log.
pub(super) fn printable(text: &str) -> String {
    const LONGEST: usize = 300;
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .take(LONGEST)
        .collect()
}

/// What the end of a session is called.
pub(super) fn lost(endpoint: &Endpoint, error: &Error) -> Failure {
    use io::ErrorKind as Kind;
    let (reason, happened) = match error {
        Error::HUP | Error::Disconnect | Error::SendError | Error::RecvError => {
            return closed(endpoint);
        }
        Error::IO(error) => match error.kind() {
            Kind::ConnectionReset => (Reason::Reset, format!("reset the connection ({error})")),
            Kind::TimedOut => (Reason::Silent, format!("stopped answering ({error})")),
            Kind::InvalidData => {
                let what =
                    format!("{endpoint} does not speak SSH ({error}): is that the port of its SSH server?");
                return Failure::new(Reason::Protocol, what);
            }
            Kind::UnexpectedEof | Kind::BrokenPipe | Kind::ConnectionAborted | Kind::NotConnected => {
                return closed(endpoint);
            }
            _ => (Reason::Unreachable, format!("can no longer be reached ({error})")),
        },
        Error::KeepaliveTimeout | Error::InactivityTimeout => {
            (Reason::Silent, "no longer answers in the SSH session".to_owned())
        }
        Error::NoCommonAlgo { kind, theirs, .. } => {
            let theirs = printable(&theirs.join(", "));
            let what = format!(
                "{endpoint} and the daemon share no algorithm ({kind:?}): it offers {theirs}. If it is an old device, the \
                 setting connection.ssh.legacy offers it those that are no longer safe."
            );
            return Failure::new(Reason::Protocol, what);
        }
        error => {
            let what = format!(
                "the SSH session with {endpoint} broke: {error}. Does an SSH server listen at that port?"
            );
            return Failure::new(Reason::Protocol, what);
        }
    };
    Failure::new(reason, format!("{endpoint} {happened}. {}", reason.sentence()))
}

fn closed(endpoint: &Endpoint) -> Failure {
    let reason = Reason::Closed;
    Failure::new(reason, format!("{endpoint} closed the connection. {}", reason.sentence()))
}
