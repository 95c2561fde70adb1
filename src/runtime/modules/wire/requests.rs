//! What a driver asks of its module's link. Everything that waits for an answer gets one.

use drivers_sdk_protocol::message::{Failure, HttpRequest, SshExec, code};

use super::Wire;
use crate::connections::{self, Link, Payload, Reason};
use crate::runtime::host::inbound::Answer;

impl Wire {
    /// The link, if the connection that the driver means is up, or it means whichever is.
    fn meant(&self, connection: u64) -> Result<Link, Failure> {
        let state = self.0.lock();
        if connection != 0 && !(state.up && connection == state.connection) {
            return Err(offline("the connection these bytes were meant for is gone"));
        }
        state.link.clone().ok_or_else(|| offline("this module has no device"))
    }

    /// Sends what the driver wants on the wire.
    pub(crate) fn send(&self, answer: Answer, connection: u64, payload: Payload) {
        let link = match self.meant(connection) {
            Ok(link) => link,
            Err(failure) => return answer.failed(&failure),
        };
        let receipt = answer.wanted().then(|| {
            Box::new(move |sent: Result<(), connections::Error>| match sent {
                Ok(()) => answer.done(&[]),
                Err(error) => answer.failed(&offline(error.to_string())),
            }) as connections::Receipt
        });
        link.transmit(payload, receipt);
    }

    /// Drops a connection because the driver asks for that.
    pub(crate) fn disconnect(&self, connection: u64, reason: Reason, why: &str) {
        let state = self.0.lock();
        let link = state.link.clone().filter(|_| connection == 0 || connection == state.connection);
        drop(state);
        if let Some(link) = link {
            link.disconnect(reason, why);
        }
    }

    /// Goes on in TLS.
    pub(crate) fn start_tls(&self, answer: Answer, connection: u64) {
        match self.meant(connection) {
            Ok(_) => answer.failed(&refused("this connection cannot go on in TLS")),
            Err(failure) => answer.failed(&failure),
        }
    }

    /// Makes an HTTP request.
    pub(crate) fn http(&self, answer: Answer, _request: HttpRequest, _body: &[u8]) {
        answer.failed(&refused("this version makes no HTTP requests yet"));
    }

    /// Runs a command beside the shell.
    pub(crate) fn ssh_exec(&self, answer: Answer, _exec: SshExec) {
        answer.failed(&refused("this connection is not one to an SSH server, which alone runs commands"));
    }

    /// Waits for the module's turn on the connection that it shares.
    pub(crate) fn acquire(&self, answer: Answer) {
        answer.failed(&refused("this connection is shared with nobody, so there are no turns"));
    }

    /// Gives the turn back, or stops waiting for it.
    pub(crate) fn release(&self) {}
}

fn offline(why: impl Into<String>) -> Failure {
    Failure { code: code::OFFLINE.into(), message: why.into(), ..Failure::default() }
}

fn refused(why: &str) -> Failure {
    Failure { code: code::BAD_REQUEST.into(), message: why.into(), ..Failure::default() }
}
