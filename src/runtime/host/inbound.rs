//! Frames from a driver process: read many at a time, and act on each at once and without waiting, in order.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use drivers_sdk_protocol::message::{
    self, Call, CallModule, Disconnect, Failure, Headed, HttpRequest, Level, Log, SaveSetting, SshExec,
    StartTls, Status, StatusOf, Transmit, Welcome, code,
};
use drivers_sdk_protocol::{Decoder, Header, Kind, MAX_PAYLOAD, VERSIONS, frame};
use serde_json::value::RawValue;
use tokio::net::unix::OwnedReadHalf;

use super::channel::{Channel, Followed};
use super::pending::Outcome;
use super::said;
use crate::connections::{Form, Payload, Reason};
use crate::runtime::exec::{self, Target};
use crate::runtime::modules::Entry;
use crate::runtime::reconciler::Event;
use crate::runtime::subscriptions::Sink;
use crate::runtime::{Shared, calls, status};

/// What is read at once, and what the buffer is cut back to when a large frame is through.
const CHUNK: usize = 64 * 1024;

/// Why nothing more is read from a process.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    /// It closed its end.
    #[error("it closed its channel")]
    Closed,
    #[error("reading from it failed: {0}")]
    Io(#[from] io::Error),
    #[error("it broke the protocol: {0}")]
    Frame(#[from] frame::Error),
    #[error("it broke the protocol: {0}")]
    Message(String),
    #[error("it gave up: {0}")]
    Goodbye(String),
}

/// Reads and acts on frames until the channel ends. `welcome` is called with the first frame's message.
pub(crate) async fn read(
    shared: &Arc<Shared>,
    process: u64,
    channel: &Arc<Channel>,
    stream: OwnedReadHalf,
    mut welcome: impl FnMut(Welcome) + Send,
) -> End {
    let decoder = Decoder::default();
    let mut buffer = BytesMut::with_capacity(CHUNK);
    loop {
        match next_bytes(&stream, &mut buffer).await {
            Ok(0) => return End::Closed,
            Ok(_) => channel.note_heard(),
            Err(error) => return End::Io(error),
        }
        loop {
            let used = match decoder.peek(&buffer) {
                Ok(Some((header, payload))) => {
                    match act(shared, process, channel, header, payload, &mut welcome) {
                        Ok(()) => {}
                        Err(End::Message(problem)) if header.module != 0 => {
                            refuse(shared, channel, header, problem);
                        }
                        Err(end) => return end,
                    }
                    frame::HEADER + payload.len()
                }
                Ok(None) => break,
                Err(error) => return End::Frame(error),
            };
            buffer.advance(used);
        }
        if buffer.is_empty() && buffer.capacity() > 2 * CHUNK {
            buffer = BytesMut::new();
        }
        buffer.reserve(CHUNK / 2);
    }
}

async fn next_bytes(stream: &OwnedReadHalf, buffer: &mut BytesMut) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read_buf(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
}

fn act(
    shared: &Arc<Shared>,
    process: u64,
    channel: &Arc<Channel>,
    header: Header,
    payload: &[u8],
    welcome: &mut (impl FnMut(Welcome) + Send),
) -> Result<(), End> {
    let Header { module: handle, correlation, .. } = header;
    let Some(kind) = header.kind() else { return Ok(()) };
    match kind {
        Kind::Welcome => {
            let message: Welcome = parse("Welcome", payload)?;
            if message.version < VERSIONS.0 || message.version > VERSIONS.1 {
                let (oldest, newest) = VERSIONS;
                let text = format!("it speaks version {}, not {oldest} to {newest}", message.version);
                return Err(End::Message(text));
            }
            channel.agree(message.features.clone());
            welcome(message);
            return Ok(());
        }
        Kind::Goodbye => return Err(End::Goodbye(String::from_utf8_lossy(payload).into_owned())),
        Kind::Done => {
            channel.pending.answer(correlation, done(payload));
            return Ok(());
        }
        Kind::Failed => {
            channel.pending.answer(correlation, Outcome::Failed(failure(payload)));
            return Ok(());
        }
        _ => {}
    }
    // Frames of a module that has gone meanwhile are late, not wrong.
    let Some(entry) = channel.module(handle) else { return Ok(()) };
    let answer = || Answer { channel: channel.clone(), handle, correlation };
    match kind {
        Kind::Status => set_status(shared, &entry, payload)?,
        Kind::Transmit => {
            let Transmit { connection, bytes } =
                Transmit::read(payload).ok_or_else(|| malformed("Transmit"))?;
            let payload = Payload::from(Bytes::copy_from_slice(bytes));
            entry.wire.transmit(answer(), connection, payload);
        }
        Kind::Send => {
            let send = message::Send::read(payload).ok_or_else(|| malformed("Send"))?;
            let form = match send.form {
                message::Form::Bytes => Form::Bytes,
                message::Form::Text => Form::Text,
            };
            let payload = Payload {
                bytes: Bytes::copy_from_slice(send.bytes),
                form,
                command: channel.pending.tag(send.call),
                ..Payload::default()
            };
            entry.wire.send(answer(), send.connection, payload);
        }
        Kind::Disconnect | Kind::LoginFailed => {
            let Disconnect { connection, reason: why } =
                Disconnect::read(payload).ok_or_else(|| malformed("Disconnect"))?;
            let reason = if kind == Kind::LoginFailed { Reason::Auth } else { Reason::Protocol };
            entry.wire.disconnect(connection, reason, why);
        }
        Kind::StartTls => {
            let StartTls { connection } = StartTls::read(payload).ok_or_else(|| malformed("StartTls"))?;
            let (shared, secured) = (shared.clone(), entry.clone());
            entry.wire.start_tls(answer(), connection, move |verified| {
                secured.set_status(&shared, status::TLS_VERIFIED, Some(status::boolean(verified)));
            });
        }
        Kind::Http => {
            let Headed { head, body } = Headed::read(payload).ok_or_else(|| malformed("Http"))?;
            let request: HttpRequest = parse("Http", head)?;
            let command = channel.pending.tag(request.call);
            entry.wire.http(answer(), request, body, command);
        }
        Kind::SshExec => {
            let exec: SshExec = parse("SshExec", payload)?;
            let command = channel.pending.tag(exec.call);
            entry.wire.ssh_exec(answer(), exec, command);
        }
        Kind::Acquire => entry.wire.acquire(answer()),
        Kind::Release => entry.wire.release(),
        Kind::Online => entry.online(shared, parse("Online", payload)?),
        Kind::Hide => {
            let text = std::str::from_utf8(payload).map_err(|_| malformed("Hide"))?;
            if let Some(recorder) = &entry.recorder {
                recorder.hide_also(text.into());
            }
        }
        Kind::Log => {
            let log = Log::read(payload).ok_or_else(|| malformed("Log"))?;
            entry.say(shared, log.level, log.text);
        }
        Kind::ModuleFailed => {
            let failure = failure(payload);
            channel.discharge(handle, &format!("the module failed: {}", failure.message).into());
            shared.tell(Event::ModuleFailed { module: entry.id.clone(), process, handle, failure });
        }
        Kind::SaveSetting => {
            let message: SaveSetting<'_> = parse("SaveSetting", payload)?;
            shared.save_setting(&entry, message.key.into_owned(), message.value, answer());
        }
        Kind::CallModule => {
            let message: CallModule<'_> = parse("CallModule", payload)?;
            let answer = answer();
            // Whoever waits for a chain of calls gives up on all of it at the same time.
            let work = channel.pending.work(handle, message.call);
            if message.call != 0 && work.is_none() {
                answer.failed(&Failure {
                    code: code::TIMEOUT.into(),
                    message: "nobody waits any more for the call that this one was made for".into(),
                    ..Failure::default()
                });
                return Ok(());
            }
            match place(&entry, message.system.map(Into::into), message.module.into(), message.index) {
                Ok(target) => {
                    let user = work.as_ref().and_then(|(_, user)| user.as_deref()).map(Cow::Borrowed);
                    let call = Call { function: message.function, args: message.args, user };
                    calls::relay(shared, target, call, work.as_ref().map(|(until, _)| *until), answer);
                }
                Err(failure) => answer.failed(&failure),
            }
        }
        Kind::ReadStatus => {
            let StatusOf { system, module, index, key } = parse("ReadStatus", payload)?;
            let value = place(&entry, system, module, index)
                .ok()
                .and_then(|target| shared.find(&target).ok())
                .and_then(|other| other.board.get(&key));
            channel.send(Kind::Done, handle, correlation, value.as_deref().unwrap_or_default().as_bytes());
        }
        Kind::Subscribe => {
            let StatusOf { system, module, index, key } = parse("Subscribe", payload)?;
            match place(&entry, system, module, index) {
                Ok(target) => {
                    channel.send(Kind::Done, handle, correlation, &[]);
                    let sink = Arc::new(ToDriver { channel: channel.clone(), handle });
                    let subscription = shared.registry.subscribe(target, &key, sink, u64::from(correlation));
                    channel.add_subscription(handle, correlation, Followed::Status(subscription));
                }
                Err(failure) => answer().failed(&failure),
            }
        }
        Kind::Publish => said::publish(shared, &entry, &parse("Publish", payload)?),
        Kind::Monitor => {
            let message: message::Monitor = parse("Monitor", payload)?;
            said::monitor(shared, channel, handle, correlation, &message.channel);
        }
        Kind::Unsubscribe => channel.end_subscription(handle, correlation),
        _ => {}
    }
    Ok(())
}

fn malformed(kind: &str) -> End {
    End::Message(format!("malformed {kind}"))
}

fn parse<'a, T: serde::Deserialize<'a>>(kind: &str, payload: &'a [u8]) -> Result<T, End> {
    serde_json::from_slice(payload).map_err(|error| End::Message(format!("malformed {kind}: {error}")))
}

/// Why something failed, also if the driver does not say so readably.
fn failure(payload: &[u8]) -> Failure {
    serde_json::from_slice(payload).unwrap_or_else(|error| Failure {
        code: code::DRIVER.into(),
        message: format!("the driver's failure cannot be read: {error}"),
        ..Failure::default()
    })
}

/// A module's message cannot be read: that fails the request, if it is one, and concerns nobody else.
fn refuse(shared: &Shared, channel: &Arc<Channel>, header: Header, problem: String) {
    if let Some(entry) = channel.module(header.module) {
        entry.say(shared, Level::Error, &format!("its driver broke the protocol: {problem}"));
    }
    let answer = Answer { channel: channel.clone(), handle: header.module, correlation: header.correlation };
    answer.failed(&Failure { code: code::BAD_REQUEST.into(), message: problem, ..Failure::default() });
}

/// A result passes through as text, into JSON that others parse: it must be JSON.
fn done(payload: &[u8]) -> Outcome {
    if payload.is_empty() {
        return Outcome::Done(Bytes::from_static(b"null"));
    }
    match serde_json::from_slice::<&RawValue>(payload) {
        Ok(_) => Outcome::Done(Bytes::copy_from_slice(payload)),
        Err(error) => Outcome::Failed(Failure {
            code: code::DRIVER.into(),
            message: format!("the driver's result is not JSON: {error}"),
            ..Failure::default()
        }),
    }
}

fn set_status(shared: &Shared, entry: &Arc<Entry>, payload: &[u8]) -> Result<(), End> {
    let Status { key, value } = Status::read(payload).ok_or_else(|| malformed("Status"))?;
    if key == status::TLS_VERIFIED || (key == status::CONNECTED && entry.wire.last().is_some()) {
        // Whether the device can be reached, and is who it says, is not for the driver to say.
        return Ok(());
    }
    if value.is_empty() {
        entry.set_status(shared, key, None);
    } else if let Err(error) = serde_json::from_str::<&RawValue>(value) {
        return Err(End::Message(format!("the status value {key} is not JSON: {error}")));
    } else {
        entry.set_status(shared, key, Some(value));
    }
    Ok(())
}

/// The module that a driver names; without a system, in its own.
fn place(entry: &Entry, system: Option<String>, name: String, index: u32) -> Result<Target, Failure> {
    match system.or_else(|| entry.system().map(|system| system.to_string())) {
        Some(system) => Ok(Target::Named { system, name, index }),
        None => Err(Failure {
            code: code::BAD_REQUEST.into(),
            message: format!("{name}_{index}: a module that is no logic module must name the system"),
            ..Failure::default()
        }),
    }
}

/// Where the answer to a driver's request goes.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    channel: Arc<Channel>,
    handle: u32,
    correlation: u32,
}

impl Answer {
    /// Whether the driver waits for it.
    pub(crate) fn wanted(&self) -> bool {
        self.correlation != 0
    }

    pub(crate) fn done(&self, value: &[u8]) {
        if value.len() > MAX_PAYLOAD {
            let message = format!("the answer is too large: {} bytes, of {MAX_PAYLOAD} at most", value.len());
            return self.failed(&Failure { code: code::DEVICE.into(), message, ..Failure::default() });
        }
        if self.correlation != 0 {
            self.channel.send(Kind::Done, self.handle, self.correlation, value);
        }
    }

    pub(crate) fn failed(&self, failure: &Failure) {
        if self.correlation != 0 {
            self.channel.send_json(Kind::Failed, self.handle, self.correlation, failure);
        }
    }

    pub(crate) fn error(&self, error: &exec::Error) {
        self.failed(&error.to_failure());
    }
}

/// Status values that a driver's module follows.
struct ToDriver {
    channel: Arc<Channel>,
    handle: u32,
}

impl Sink for ToDriver {
    fn changed(&self, token: u64, value: Option<Arc<str>>) {
        let correlation = u32::try_from(token).unwrap_or(0);
        let value = value.as_deref().unwrap_or_default();
        self.channel.send(Kind::Notify, self.handle, correlation, value.as_bytes());
    }
}
