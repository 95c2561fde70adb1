//! Commands that run on an SSH server beside its shell, each in a channel of its own.

use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use drivers_sdk_protocol::Kind;
use drivers_sdk_protocol::message::{SshExec, SshOutput as Head};

use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::module::Core;
use crate::module::exchange::headed;

/// A command for an SSH server, run when it is awaited. Made by [`Cx::ssh_exec`](crate::Cx::ssh_exec).
///
/// It does not go through the queue: several may run at a time, beside what is sent to the shell.
#[must_use = "a command is run when it is awaited"]
pub struct SshCommand<'a> {
    core: &'a Rc<Core>,
    exec: SshExec,
}

impl std::fmt::Debug for SshCommand<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the command: it may hold a password.
        f.write_str("SshCommand")
    }
}

/// How a command on an SSH server ended, and what it wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshOutput {
    /// Its exit status; `None` if a signal ended it or the server does not say.
    pub status: Option<u32>,
    /// The signal that ended it, such as `TERM`.
    pub signal: Option<String>,
    /// What it wrote: `output.stdout.text()`.
    pub stdout: Frame,
    /// What it complained of.
    pub stderr: Frame,
}

impl SshOutput {
    /// Itself if the command ended well, with status 0; else a `device` error with what it complained of.
    pub fn ok(self) -> Result<SshOutput> {
        let how = match (self.status, &self.signal) {
            (Some(0), _) => return Ok(self),
            (Some(status), _) => format!("ended with status {status}"),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => "ended, and the server does not say how".into(),
        };
        let said = if self.stderr.is_empty() { String::new() } else { format!(": {:?}", self.stderr) };
        Err(Error::device(format!("the command {how}{said}")))
    }
}

impl<'a> SshCommand<'a> {
    pub(crate) fn new(core: &'a Rc<Core>, command: String) -> SshCommand<'a> {
        let call = core.tasks.call();
        SshCommand { core, exec: SshExec { command, call, ..SshExec::default() } }
    }

    /// How long it may run; the module's setting, unless said otherwise.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.exec.timeout_ms = Some(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        self
    }
}

impl<'a> IntoFuture for SshCommand<'a> {
    type Output = Result<SshOutput>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<SshOutput>> + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let exec = serde_json::to_vec(&self.exec)?;
            let request = self.core.request_feature(Kind::SshExec, |out| out.extend_from_slice(&exec))?;
            let (Head { status, signal, stdout }, written) = headed(request.await?)?;
            let (stdout, stderr) = usize::try_from(stdout)
                .ok()
                .and_then(|length| written.split_at_checked(length))
                .ok_or_else(|| Error::driver("an answer of the daemon is cut off"))?;
            Ok(SshOutput { status, signal, stdout: stdout.into(), stderr: stderr.into() })
        })
    }
}
