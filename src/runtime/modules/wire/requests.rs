//! What a driver asks of its module's link. Everything that waits for an answer gets one.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use drivers_sdk_protocol::message::{Failure, Headed, HttpRequest, HttpResponse, SshExec, SshOutput, code};
use serde::Serialize;

use super::Wire;
use crate::connections::{self, Link, Payload, Reason, http, ssh};
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
    pub(crate) fn transmit(&self, answer: Answer, connection: u64, payload: Payload) {
        // Older drivers name the connection of a make-break link, which is the same to them as long as it is up.
        let connection = if self.0.lock().makebreak { 0 } else { connection };
        match self.meant(connection) {
            Ok(link) => transmit(&link, answer, payload),
            Err(failure) => answer.failed(&failure),
        }
    }

    /// As `transmit`; the connection that the driver names is not made for it.
    pub(crate) fn send(&self, answer: Answer, connection: u64, mut payload: Payload) {
        let makebreak = self.0.lock().makebreak;
        payload.no_connect = makebreak && connection != 0;
        match self.meant(connection) {
            Ok(link) => transmit(&link, answer, payload),
            Err(failure) if makebreak => {
                answer.failed(&Failure { code: code::ENDED.into(), ..failure });
            }
            Err(failure) => answer.failed(&failure),
        }
    }

    /// Drops a connection because the driver asks for that.
    pub(crate) fn disconnect(&self, connection: u64, reason: Reason, why: &str) {
        let state = self.0.lock();
        let meant = connection == 0 || connection == state.connection || state.makebreak;
        let link = state.link.clone().filter(|_| meant);
        drop(state);
        if let Some(link) = link {
            link.disconnect(reason, why);
        }
    }

    /// Goes on in TLS. `verified`: told, when it does, whether it is known who is spoken to.
    pub(crate) fn start_tls(
        &self,
        answer: Answer,
        connection: u64,
        verified: impl FnOnce(bool) + std::marker::Send + 'static,
    ) {
        let link = match self.meant(connection) {
            Ok(link) => link,
            Err(failure) => return answer.failed(&failure),
        };
        let verifies = self.0.lock().start_tls_verifies;
        link.start_tls(Some(Box::new(move |outcome| match outcome {
            Ok(()) => {
                if let Some(verifies) = verifies {
                    verified(verifies);
                }
                answer.done(&[]);
            }
            Err(error @ connections::Error::Unable { .. }) => answer.failed(&refused(&error.to_string())),
            Err(connections::Error::Lost(failure)) => answer.failed(&offline(failure.to_string())),
            Err(error) => answer.failed(&offline(error.to_string())),
        })));
    }

    /// Makes an HTTP request.
    pub(crate) fn http(&self, answer: Answer, request: HttpRequest, body: &[u8], command: u32) {
        let link = match self.meant(0) {
            Ok(link) => link,
            Err(failure) => return answer.failed(&failure),
        };
        let HttpRequest { method, url, headers, timeout_ms, .. } = request;
        let timeout = timeout_ms.map(Duration::from_millis);
        let body = Bytes::copy_from_slice(body);
        let request = http::Request { method, url, headers, body, timeout, command };
        link.exchange(
            request,
            Box::new(move |outcome| match outcome {
                Ok(response) => responded(&answer, response),
                Err(error) => answer.failed(&unanswered(&error)),
            }),
        );
    }

    /// Runs a command beside the shell.
    pub(crate) fn ssh_exec(&self, answer: Answer, exec: SshExec, command: u32) {
        let link = match self.meant(0) {
            Ok(link) => link,
            Err(failure) => return answer.failed(&failure),
        };
        let SshExec { command: line, timeout_ms, .. } = exec;
        let exec = ssh::Exec { line, limit: timeout_ms.map(Duration::from_millis), command };
        tokio::spawn(async move {
            match link.ssh_exec(exec).await {
                Ok(output) => ended(&answer, &output),
                Err(error) => answer.failed(&not_run(&error)),
            }
        });
    }

    /// Waits for the module's turn on the connection that it shares.
    pub(crate) fn acquire(&self, answer: Answer) {
        if !self.0.lock().turns {
            return answer.failed(&refused("this connection is shared with nobody, so there are no turns"));
        }
        let link = match self.meant(0) {
            Ok(link) => link,
            Err(failure) => return answer.failed(&failure),
        };
        link.acquire(Box::new(move |outcome| match outcome {
            Ok(()) => answer.done(&[]),
            Err(error @ connections::Error::Waiting) => answer.failed(&refused(&error.to_string())),
            Err(error @ connections::Error::Withdrawn) => {
                let code = code::REPLACED.into();
                answer.failed(&Failure { code, message: error.to_string(), ..Failure::default() });
            }
            Err(error) => answer.failed(&offline(error.to_string())),
        }));
    }

    /// Gives the turn back, or stops waiting for it.
    pub(crate) fn release(&self) {
        self.0.lock().release();
    }
}

fn transmit(link: &Link, answer: Answer, payload: Payload) {
    let receipt = answer.wanted().then(|| {
        Box::new(move |sent: Result<(), connections::Error>| match sent {
            Ok(()) => answer.done(&[]),
            Err(error @ connections::Error::Unable { .. }) => answer.failed(&refused(&error.to_string())),
            Err(error @ connections::Error::Ended { .. }) => {
                answer.failed(&Failure { code: code::ENDED.into(), ..offline(error.to_string()) });
            }
            Err(error) => answer.failed(&offline(error.to_string())),
        }) as connections::Receipt
    });
    link.transmit(payload, receipt);
}

fn ended(answer: &Answer, output: &ssh::Output) {
    let ssh::Output { status, signal, stdout, stderr } = output;
    let head = SshOutput { status: *status, signal: signal.clone(), stdout: stdout.len() as u64 };
    headed(answer, &head, &[stdout, stderr]);
}

fn not_run(error: &ssh::ExecError) -> Failure {
    let code = match error {
        ssh::ExecError::Link(connections::Error::Unable { .. }) | ssh::ExecError::NotSsh { .. } => {
            code::BAD_REQUEST
        }
        ssh::ExecError::Link(_) => code::OFFLINE,
        ssh::ExecError::Late { .. } => code::TIMEOUT,
        ssh::ExecError::TooMuch { .. } | ssh::ExecError::Refused { .. } => code::DEVICE,
    };
    Failure { code: code.into(), message: error.to_string(), ..Failure::default() }
}

fn responded(answer: &Answer, response: http::Response) {
    let http::Response { status, headers, body } = response;
    headed(answer, &HttpResponse { status, headers }, &[&body]);
}

/// A head, and the bytes it speaks of.
fn headed(answer: &Answer, head: &impl Serialize, body: &[&[u8]]) {
    match serde_json::to_vec(head) {
        Ok(head) => {
            let length: usize = body.iter().map(|part| part.len()).sum();
            let mut payload = BytesMut::with_capacity(4 + head.len() + length);
            Headed { head: &head, body: &[] }.write(&mut payload);
            body.iter().for_each(|part| payload.extend_from_slice(part));
            answer.done(&payload);
        }
        Err(error) => answer.failed(&refused(&error.to_string())),
    }
}

fn unanswered(error: &http::Error) -> Failure {
    let code = match error {
        http::Error::Request(_) => code::BAD_REQUEST,
        http::Error::Failed(_) => code::OFFLINE,
        http::Error::Late { .. } | http::Error::Full { .. } => code::TIMEOUT,
        http::Error::TooLong { .. } => code::DEVICE,
        http::Error::Stopped { .. } => code::STOPPED,
    };
    Failure { code: code.into(), message: error.to_string(), ..Failure::default() }
}

fn offline(why: impl Into<String>) -> Failure {
    Failure { code: code::OFFLINE.into(), message: why.into(), ..Failure::default() }
}

fn refused(why: &str) -> Failure {
    Failure { code: code::BAD_REQUEST.into(), message: why.into(), ..Failure::default() }
}
