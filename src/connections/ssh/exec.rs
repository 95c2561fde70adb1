//! Commands beside the stream, each in a channel of its own.

use super::{
    super::{Address, Error, Link, Payload, recorder::Aside},
    client::printable,
    record,
    session::{COMMANDS, Session},
};
use russh::{ChannelMsg, ChannelOpenFailure, ChannelWriteHalf, client::Msg};
use std::time::Duration;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

/// What a command may write, output and error output together.
const LARGEST: usize = 4 << 20;

/// A command.
#[derive(Clone, Default)]
pub struct Exec {
    /// As the host's shell reads it.
    pub line: String,
    /// For all of it; none: the settings'.
    pub limit: Option<Duration>,
    /// As in [`Payload`].
    pub command: u32,
}

/// How a command ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// None: a signal ended it, or the host does not say.
    pub status: Option<u32>,
    /// Without `SIG`.
    pub signal: Option<String>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// Why there is no output.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecError {
    #[error(transparent)]
    Link(#[from] Error),
    #[error("{address} is no SSH connection, which alone runs commands")]
    NotSsh { address: String },
    #[error("{address} did not end the command within {} ms; it may still run there", .after.as_millis())]
    Late { address: String, after: Duration },
    #[error("the command wrote more than {LARGEST} bytes on {address}, and was given up")]
    TooMuch { address: String },
    #[error("{address} does not run the command: {why}")]
    Refused { address: String, why: String },
}

/// Why a session ran no command; the link knows its address.
enum Trouble {
    /// The connection has ended.
    Gone,
    Late,
    TooMuch,
    Refused(String),
}

/// Closes its channel when it is dropped.
struct Open(Option<ChannelWriteHalf<Msg>>);

impl Link {
    /// Runs a command beside the stream; of an SSH connection only. A make-break link connects first. Those in flight when
    /// the connection ends are told at once.
    pub async fn ssh_exec(&self, exec: impl Into<Exec>) -> Result<Output, ExecError> {
        let Exec { line, limit, command } = exec.into();
        let shared = self.shared();
        let target = shared.target();
        let address = target.address.to_string();
        let Address::Ssh(ssh) = target.address else { return Err(ExecError::NotSsh { address }) };
        let limit = limit.unwrap_or(Duration::from_millis(ssh.settings.exec_ms));
        let deadline = Instant::now() + limit;
        // Sending nothing takes a connection.
        let (told, connected) = oneshot::channel();
        self.transmit(Payload::default(), Some(Box::new(move |outcome| drop(told.send(outcome)))));
        match timeout_at(deadline, connected).await {
            Ok(Ok(outcome)) => outcome?,
            Ok(Err(_)) => return Err(shared.absent().into()),
            Err(_) => return Err(ExecError::Late { address, after: limit }),
        }
        let Some(session) = shared.ssh() else { return Err(shared.absent().into()) };
        let tape = shared.recorder.as_deref().map(|recorder| recorder.aside(command));
        let mut output = Output::default();
        let outcome = session.exec(&line, deadline, tape, &mut output).await;
        shared.touch();
        let error = outcome.err().map(|trouble| match trouble {
            Trouble::Gone => match session.why.get() {
                Some(failure) => Error::Lost(failure).into(),
                None => shared.absent().into(),
            },
            Trouble::Late => ExecError::Late { address, after: limit },
            Trouble::TooMuch => ExecError::TooMuch { address },
            Trouble::Refused(why) => ExecError::Refused { address, why },
        });
        if let Some(tape) = tape {
            record::end(tape, &output, error.as_ref());
        }
        error.map_or(Ok(output), Err)
    }
}

impl From<&str> for Exec {
    fn from(line: &str) -> Self {
        Self { line: line.into(), ..Self::default() }
    }
}

impl Session {
    /// Whether a command runs, or waits to.
    pub(in crate::connections) fn busy(&self) -> bool {
        self.commands.available_permits() < COMMANDS
    }

    /// Runs a command; those beyond a few wait for the others.
    async fn exec(
        &self,
        line: &str,
        deadline: Instant,
        tape: Option<Aside<'_>>,
        output: &mut Output,
    ) -> Result<(), Trouble> {
        let run = async {
            let _permit = self.commands.acquire().await;
            self.run(line, tape, output).await
        };
        tokio::select! {
            biased;
            () = self.left.cancelled() => Err(Trouble::Gone),
            outcome = timeout_at(deadline, run) => outcome.unwrap_or(Err(Trouble::Late)),
        }
    }

    async fn run(&self, line: &str, tape: Option<Aside<'_>>, output: &mut Output) -> Result<(), Trouble> {
        let (mut incoming, outgoing) = match self.handle.channel_open_session().await {
            Ok(channel) => channel.split(),
            Err(russh::Error::ChannelOpenFailure(why)) => return Err(Trouble::Refused(not_opened(&why))),
            Err(_) => return Err(Trouble::Gone),
        };
        let mut open = Open(Some(outgoing));
        let Some(outgoing) = &open.0 else { return Err(Trouble::Gone) };
        if let Some(tape) = tape {
            record::command(tape, line);
        }
        // A command that reads finds the end.
        for asked in [outgoing.exec(true, line).await, outgoing.eof().await] {
            asked.map_err(|_| Trouble::Gone)?;
        }
        let mut ended = false;
        while let Some(message) = incoming.wait().await {
            match message {
                ChannelMsg::Data { data } => output.stdout.extend_from_slice(&data),
                ChannelMsg::ExtendedData { data, .. } => output.stderr.extend_from_slice(&data),
                ChannelMsg::Failure => return Err(Trouble::Refused("the host does not say why".into())),
                ChannelMsg::ExitStatus { exit_status } => output.status = Some(exit_status),
                ChannelMsg::ExitSignal { signal_name, .. } => output.signal = Some(name(signal_name)),
                ChannelMsg::Eof => ended = true,
                ChannelMsg::Close => {
                    ended = true;
                    break;
                }
                _ => {}
            }
            if output.stdout.len() + output.stderr.len() > LARGEST {
                return Err(Trouble::TooMuch);
            }
        }
        drop(open.close().await);
        let told = ended || output.status.is_some() || output.signal.is_some();
        if told && !self.gone.is_cancelled() { Ok(()) } else { Err(Trouble::Gone) }
    }
}

fn not_opened(why: &ChannelOpenFailure) -> String {
    match why {
        ChannelOpenFailure::AdministrativelyProhibited => "it is not allowed there".into(),
        // What OpenSSH says when there are too many (MaxSessions).
        ChannelOpenFailure::ConnectFailed | ChannelOpenFailure::ResourceShortage => {
            "it has no room for another channel".into()
        }
        ChannelOpenFailure::Other { reason, .. } => printable(reason),
        other => format!("{other:?}"),
    }
}

fn name(signal: russh::Sig) -> String {
    match signal {
        russh::Sig::Custom(name) => printable(&name),
        known => format!("{known:?}"),
    }
}

impl Open {
    /// Before the next channel is opened: the host counts those that we have not closed.
    async fn close(&mut self) -> Result<(), russh::Error> {
        match self.0.take() {
            Some(channel) => channel.close().await,
            None => Ok(()),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let (Some(channel), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { drop(channel.close().await) });
        }
    }
}
