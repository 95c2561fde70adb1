//! The link of the driver under test: what its device sees and says.

use std::time::Duration;

use drivers_sdk_protocol::message::Form;

use super::daemon::{Daemon, State, Wire};
use super::harness::Harness;
use super::report::{compare, text};
use super::service::{ExecExpectation, MockHttp};
use super::step::Step;
use crate::driver::Driver;
use crate::framing::Framer;
use crate::matcher::{Match, Matcher};

impl<D: Driver> Harness<D> {
    /// The link to the device comes up. (With a device model it is up already, and comes back by itself.)
    pub fn connect(&self) -> Step<()> {
        self.run.step(async |daemon| {
            if daemon.look().link.up {
                return Err("connect: the link is up already".into());
            }
            daemon.link_up();
            Ok(())
        })
    }

    /// The device closes the connection: the link goes down. A make-break link stays up: only its connection is over.
    pub fn disconnect(&self, detail: impl Into<String>) -> Step<()> {
        let detail = detail.into();
        self.run.step(async move |daemon| {
            if !daemon.look().link.open {
                return Err("disconnect: there is no connection".into());
            }
            daemon.connection_lost(&detail);
            Ok(())
        })
    }

    /// The device cannot be reached any more, until [`connect`](Self::connect). What needs it fails with `offline`.
    pub fn unreachable(&self, detail: impl Into<String>) -> Step<()> {
        let detail = detail.into();
        self.run.step(async move |daemon| {
            daemon.link_down("unreachable", &detail);
            Ok(())
        })
    }

    /// The driver sends exactly these bytes next; where the link has messages, they are one. Several expectations may
    /// share what the driver sent at once.
    pub fn expect(&self, bytes: impl Into<Vec<u8>>) -> Step<()> {
        let bytes = bytes.into();
        self.run.step(async move |daemon| expect(daemon, &bytes, None).await)
    }

    /// As [`expect`](Self::expect); and they are a WebSocket's text message.
    pub fn expect_text(&self, text: impl Into<String>) -> Step<()> {
        let text = text.into();
        self.run.step(async move |daemon| expect(daemon, text.as_bytes(), Some(Form::Text)).await)
    }

    /// The driver sends a command that this matches next, such as `prefix("LAMP ")`; gives what it reads. It sees the
    /// command without what the driver's framing puts around it.
    pub fn expect_match<M: Matcher>(&self, mut matcher: M) -> Step<M::Output> {
        self.run.step(async move |daemon| {
            let found = daemon.until(daemon.patience(), |state| match state.wire.front() {
                Some(Wire::Sent { .. }) => state.wire.pop_front(),
                _ => None,
            });
            let Some(Wire::Sent { bytes, .. }) = found.await else {
                return Err(format!("a command was expected; {}", rest(&daemon.look())));
            };
            match matcher.offer(inner(daemon, &bytes)) {
                Match::Done(Ok(output)) => Ok(output),
                Match::Done(Err(error)) => {
                    Err(format!("the driver sent {}, which makes no sense: {error}", text(&bytes)))
                }
                _ => Err(format!("the driver sent {}, which is not what was expected", text(&bytes))),
            }
        })
    }

    /// The driver sends nothing more, for this time.
    pub fn expect_nothing(&self, time: Duration) -> Step<()> {
        self.run.step(async move |daemon| match daemon.until(time, |state| state.wire.pop_front()).await {
            Some(Wire::Sent { bytes, .. }) => Err(format!("the driver sent {}", text(&bytes))),
            Some(other) => Err(format!("nothing was expected, and {}", did(&other))),
            None => Ok(()),
        })
    }

    /// The driver goes on in TLS ([`Cx::start_tls`](crate::Cx::start_tls)).
    pub fn expect_start_tls(&self) -> Step<()> {
        self.run.step(async |daemon| {
            match daemon.until(daemon.patience(), |state| state.wire.pop_front()).await {
                Some(Wire::StartTls) => Ok(()),
                Some(other) => Err(format!("TLS was expected to begin, and {}", did(&other))),
                None => Err("TLS was expected to begin, and did not".into()),
            }
        })
    }

    /// The driver drops the connection, or refuses to go on because the login failed; why. The link is down after that.
    pub fn expect_drop(&self) -> Step<String> {
        self.run.step(async |daemon| {
            match daemon.until(daemon.patience(), |state| state.wire.pop_front()).await {
                Some(Wire::Dropped { reason, .. }) => Ok(reason),
                Some(other) => {
                    Err(format!("the driver was expected to drop the connection; {}", did(&other)))
                }
                None => Err("the driver was expected to drop the connection, and did not".into()),
            }
        })
    }

    /// Forgets what the driver has sent until now: the test has nothing to say about it.
    pub fn ignore_sent(&self) {
        self.run.daemon.state().wire.clear();
    }

    /// What the device answers. The driver gets the bytes as they are: with their line end.
    pub fn reply(&self, bytes: impl Into<Vec<u8>>) -> Step<()> {
        self.arrive(Form::Bytes, bytes.into())
    }

    /// What the device says by itself.
    pub fn push(&self, bytes: impl Into<Vec<u8>>) -> Step<()> {
        self.arrive(Form::Bytes, bytes.into())
    }

    /// What the device says in a WebSocket's text message.
    pub fn push_text(&self, text: impl Into<String>) -> Step<()> {
        self.arrive(Form::Text, text.into().into_bytes())
    }

    fn arrive(&self, form: Form, bytes: Vec<u8>) -> Step<()> {
        self.run.step(async move |daemon| {
            if !daemon.look().link.open {
                return Err(format!("the device cannot say {}: there is no connection", text(&bytes)));
            }
            daemon.received(form, &bytes);
            Ok(())
        })
    }

    /// The service that the driver makes requests of.
    pub fn http(&self) -> MockHttp {
        MockHttp(self.run.clone())
    }

    /// The driver runs this command next on its SSH server, beside the shell.
    pub fn expect_exec(&self, command: impl Into<String>) -> ExecExpectation {
        ExecExpectation { run: self.run.clone(), command: command.into() }
    }
}

async fn expect(daemon: &Daemon, expected: &[u8], form: Option<Form>) -> Result<(), String> {
    let messages = daemon.look().link.messages;
    let found = daemon.until(daemon.patience(), |state| {
        let seen = state.next_sent(messages, form);
        let whole = if messages { !state.wire.is_empty() } else { seen.len() >= expected.len() };
        let ends = whole || !expected.starts_with(&seen) || state.other_waits(&seen);
        ends.then_some(())
    });
    found.await;
    let mut state = daemon.state();
    let seen = state.next_sent(messages, form);
    let message = !messages || seen.len() == expected.len() && !state.wire.is_empty();
    if seen.starts_with(expected) && message {
        state.take_sent(expected.len());
        return Ok(());
    }
    let comparison = compare(expected, &seen);
    let more = if seen.is_empty() { format!("; {}", rest(&state)) } else { String::new() };
    Err(format!("the driver did not send what was expected{more}\n{comparison}"))
}

impl State {
    /// What the driver sent and no expectation took, up to something else that it did.
    fn next_sent(&self, messages: bool, form: Option<Form>) -> Vec<u8> {
        let sent = self.wire.iter().map_while(|wire| match wire {
            Wire::Sent { bytes, form: sent } if form.is_none_or(|form| form == *sent) => {
                Some(bytes.as_slice())
            }
            _ => None,
        });
        if messages { sent.take(1).collect::<Vec<_>>().concat() } else { sent.collect::<Vec<_>>().concat() }
    }

    /// Whether something comes after these bytes.
    fn other_waits(&self, seen: &[u8]) -> bool {
        seen.is_empty() && !self.wire.is_empty()
            || self.wire.iter().any(|wire| !matches!(wire, Wire::Sent { .. }))
    }

    fn take_sent(&mut self, mut length: usize) {
        loop {
            match self.wire.front_mut() {
                Some(Wire::Sent { bytes, .. }) if bytes.len() > length => {
                    bytes.drain(..length);
                    return;
                }
                Some(Wire::Sent { bytes, .. }) => {
                    length -= bytes.len();
                    self.wire.pop_front();
                }
                _ => return,
            }
            if length == 0 {
                return;
            }
        }
    }
}

/// What the driver did instead.
fn rest(state: &State) -> String {
    let nothing = || format!("it did nothing within {:?} of the test's time", state.patience);
    state.wire.front().map_or_else(nothing, did)
}

pub(super) fn did(wire: &Wire) -> String {
    match wire {
        Wire::Sent { bytes, form: Form::Bytes } => format!("it sent {}", text(bytes)),
        Wire::Sent { bytes, form: Form::Text } => format!("it sent {} as text", text(bytes)),
        Wire::StartTls => "it began TLS".into(),
        Wire::Dropped { reason, .. } => format!("it dropped the connection: {reason}"),
    }
}

/// A command without what the driver's framing puts around it.
fn inner<'a>(daemon: &Daemon, bytes: &'a [u8]) -> &'a [u8] {
    let mut framer = Framer::new(daemon.declaration.framing);
    let around = framer.encode(b"x").unwrap_or_default();
    let Some(at) = around.iter().position(|byte| *byte == b'x') else { return bytes };
    let (before, after) = (at, around.get(at + 1..).unwrap_or_default());
    let bytes = bytes.get(before..).unwrap_or(bytes);
    bytes.strip_suffix(after).unwrap_or(bytes)
}
