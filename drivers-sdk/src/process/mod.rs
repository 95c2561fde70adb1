//! The driver process: reads frames from the daemon and hands them to the modules.
//!
//! One thread, one reader task, one writer task. The reader decodes everything that one read gave before it lets the
//! tasks run that it woke; the writer comes after them in the queue, so their answers leave in one write.
//! End-of-file means that the daemon is gone: the process ends.

use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use drivers_sdk_protocol::frame::HEADER;
use drivers_sdk_protocol::message::{self, Failure, Form, Hello, LinkDown, LinkUp, Welcome, code};
use drivers_sdk_protocol::{Decoder, Header, Kind, VERSIONS};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::Instant;

use crate::channel::{Channel, HIGH_WATER};
use crate::driver::Driver;
use crate::module::Core;
use crate::module::instance::{Instance, STOP_LIMIT};
use crate::panics::{self, guard};

pub(crate) mod entry;

/// Bytes read at once.
const READ: usize = 64 * 1024;
/// How often it is looked whether every module has stopped.
const SHUTDOWN_CHECK: Duration = Duration::from_millis(5);

/// Serves a channel until the daemon ends it. Runs on a [`LocalRuntime`](tokio::runtime::LocalRuntime) or in a
/// [`LocalSet`](tokio::task::LocalSet).
pub async fn serve<D: Driver>(stream: UnixStream) -> io::Result<()> {
    let (read, write) = stream.into_split();
    serve_on::<D>(read, write).await
}

/// As [`serve`], on any stream.
pub(crate) async fn serve_on<D: Driver>(
    read: impl AsyncRead + Unpin,
    write: impl AsyncWrite + Unpin + 'static,
) -> io::Result<()> {
    panics::install_hook();
    let channel = Rc::new(Channel::default());
    let mut writer = tokio::task::spawn_local(write_all(write, channel.clone()));
    let mut process =
        Process::<D> { channel: channel.clone(), modules: HashMap::new(), ending: false, shutdown: None };
    let result = process.run(read).await;
    // What was said at last, if the daemon still listens.
    tokio::select! {
        _ = tokio::time::timeout(STOP_LIMIT, channel.drained(0)) => {}
        _ = &mut writer => {}
    }
    writer.abort();
    for (_, instance) in process.modules.drain() {
        instance.core.tasks.abort_all();
    }
    result
}

async fn write_all(mut stream: impl AsyncWrite + Unpin, channel: Rc<Channel>) -> io::Result<()> {
    loop {
        let buffer = channel.take().await;
        if let Err(error) = stream.write_all(&buffer).await {
            channel.broken();
            return Err(error);
        }
        channel.written(buffer);
    }
}

struct Process<D: Driver> {
    channel: Rc<Channel>,
    modules: HashMap<u32, Rc<Instance<D>>>,
    ending: bool,
    /// Until when modules may stop, once the daemon wants them to.
    shutdown: Option<Instant>,
}

impl<D: Driver> Process<D> {
    async fn run(&mut self, mut stream: impl AsyncRead + Unpin) -> io::Result<()> {
        let decoder = Decoder::default();
        let mut buffer = BytesMut::with_capacity(READ);
        while !self.ending {
            // A daemon that does not read is not read from.
            self.channel.drained(HIGH_WATER).await;
            buffer.reserve(READ);
            let read = tokio::select! {
                read = stream.read_buf(&mut buffer) => read?,
                () = self.stopped() => return Ok(()),
            };
            if read == 0 {
                return Ok(());
            }
            loop {
                let length = match decoder.peek(&buffer) {
                    Ok(Some((header, payload))) => {
                        self.dispatch(header, payload);
                        HEADER + payload.len()
                    }
                    Ok(None) => break,
                    Err(error) => {
                        self.goodbye(&error.to_string());
                        return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                    }
                };
                buffer.advance(length);
            }
            for handle in self.channel.take_ended() {
                self.modules.remove(&handle);
            }
            if buffer.is_empty() && buffer.capacity() > 4 * READ {
                buffer = BytesMut::with_capacity(READ);
            }
            // Lets what this read woke run before the next one.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn goodbye(&mut self, reason: &str) {
        self.ending = true;
        let _ = self.channel.send(Kind::Goodbye, 0, 0, |out| out.extend_from_slice(reason.as_bytes()));
    }

    fn dispatch(&mut self, header: Header, payload: &[u8]) {
        let Some(kind) = header.kind() else { return };
        let correlation = header.correlation;
        match kind {
            Kind::Hello => self.hello(correlation, payload),
            Kind::Ping => {
                let _ = self.channel.send(Kind::Pong, header.module, correlation, |_| {});
            }
            Kind::Goodbye => self.ending = true,
            Kind::Shutdown => self.shut_down(),
            Kind::Start => self.start(header, payload),
            Kind::Done => self.channel.answered(correlation, Ok(payload)),
            Kind::Failed => {
                let failure = serde_json::from_slice(payload).unwrap_or_else(|error| Failure {
                    code: code::DRIVER.into(),
                    message: format!("a failure that cannot be read: {error}"),
                    ..Failure::default()
                });
                self.channel.answered(correlation, Err(failure));
            }
            Kind::Notify => self.channel.notified(correlation, payload),
            _ => self.dispatch_to_module(kind, header, payload),
        }
    }

    fn dispatch_to_module(&mut self, kind: Kind, header: Header, payload: &[u8]) {
        match self.modules.get(&header.module) {
            Some(instance) if !instance.core.is_over() => {
                // It may meet the author's code: a matcher, a codec.
                if let Err(failure) = guard(|| self.hand_on(instance, kind, header, payload)) {
                    instance.core.fail(&failure);
                }
            }
            _ => self.absent(kind, header),
        }
    }

    fn hand_on(&self, instance: &Rc<Instance<D>>, kind: Kind, header: Header, payload: &[u8]) {
        let correlation = header.correlation;
        match kind {
            Kind::Call => instance.call(correlation, payload),
            Kind::Cancel => instance.cancel(correlation),
            Kind::Received => instance.received(payload, Form::Bytes, correlation),
            Kind::ReceivedText => instance.received(payload, Form::Text, correlation),
            Kind::LinkUp => {
                if let Some(up) = read::<LinkUp>(&instance.core, payload) {
                    instance.link_up(&up);
                }
            }
            Kind::LinkDown => {
                if let Some(why) = read::<LinkDown>(&instance.core, payload) {
                    instance.link_down(why);
                }
            }
            Kind::ConnectionEnded => {
                if let Some(why) = read::<LinkDown>(&instance.core, payload) {
                    instance.core.connection_ended(&why);
                }
            }
            Kind::Settings => {
                let result = match serde_json::from_slice::<message::Settings>(payload) {
                    Ok(message) => instance.settings(message.settings.get()),
                    Err(error) => Err(bad_request(&error)),
                };
                match result {
                    Ok(()) => instance.core.done(correlation),
                    Err(failure) if failure.code == code::PANIC => {
                        self.channel.fail(header.module, correlation, &failure);
                        instance.core.fail(&failure);
                    }
                    Err(failure) => self.channel.fail(header.module, correlation, &failure),
                }
            }
            Kind::System => {
                if let Some(system) = read(&instance.core, payload) {
                    instance.system(system);
                }
            }
            Kind::Stop => instance.stop(correlation),
            _ => {}
        }
    }

    /// A frame for a module that is not there, because it failed a moment ago.
    fn absent(&self, kind: Kind, header: Header) {
        match kind {
            Kind::Stop => {
                let _ = self.channel.send(Kind::Done, header.module, header.correlation, |_| {});
            }
            Kind::Call | Kind::Settings | Kind::Received | Kind::ReceivedText if header.correlation != 0 => {
                self.channel.fail(header.module, header.correlation, &crate::channel::stopped());
            }
            _ => {}
        }
    }

    fn hello(&mut self, correlation: u32, payload: &[u8]) {
        let (oldest, newest) = VERSIONS;
        match serde_json::from_slice::<Hello>(payload) {
            Ok(hello) if hello.versions.0 <= newest && hello.versions.1 >= oldest => {
                let welcome = Welcome {
                    version: newest.min(hello.versions.1),
                    features: self.channel.negotiate(&hello.features),
                    sdk: sdk_version(),
                };
                let _ = self.channel.send_json(Kind::Welcome, 0, correlation, &welcome);
            }
            Ok(hello) => {
                let (from, to) = hello.versions;
                self.goodbye(&format!(
                    "this driver speaks versions {oldest} to {newest} of the protocol, the daemon {from} to {to}: \
                     build the driver again with a newer drivers-sdk"
                ));
            }
            Err(error) => self.goodbye(&format!("the greeting cannot be read: {error}")),
        }
    }

    fn start(&mut self, header: Header, payload: &[u8]) {
        let (handle, correlation) = (header.module, header.correlation);
        let start: message::Start = match serde_json::from_slice(payload) {
            Ok(start) => start,
            Err(error) => return self.channel.fail(handle, correlation, &bad_request(&error)),
        };
        if handle == 0 || self.modules.contains_key(&handle) {
            let failure = Failure {
                code: code::BAD_REQUEST.into(),
                message: format!("the handle {handle} is taken"),
                ..Failure::default()
            };
            return self.channel.fail(handle, correlation, &failure);
        }
        let core = Core::new(handle, correlation, &start, D::DECLARATION, self.channel.clone());
        if let Some(instance) = Instance::start(core, &start) {
            self.modules.insert(handle, instance);
        }
    }

    /// Stops every module at the same time. They may still use their links, so frames are read until all are over.
    fn shut_down(&mut self) {
        self.shutdown.get_or_insert(Instant::now() + STOP_LIMIT);
        for instance in self.modules.values() {
            if !instance.core.is_over() {
                instance.stop(0);
            }
        }
    }

    /// Waits until every module has stopped, or had its time to; for ever while nobody wants that.
    async fn stopped(&self) {
        let Some(deadline) = self.shutdown else { return std::future::pending().await };
        while Instant::now() < deadline && self.modules.values().any(|instance| !instance.core.is_over()) {
            tokio::time::sleep(SHUTDOWN_CHECK).await;
        }
    }
}

fn bad_request(error: &serde_json::Error) -> Failure {
    Failure { code: code::BAD_REQUEST.into(), message: error.to_string(), ..Failure::default() }
}

/// Reads a message that nobody can be told is malformed.
fn read<T: DeserializeOwned>(core: &Core, payload: &[u8]) -> Option<T> {
    serde_json::from_slice(payload)
        .inspect_err(|error| {
            core.log(message::Level::Error, &format!("a message of the daemon cannot be read: {error}"));
        })
        .ok()
}

/// Name and version of this SDK.
pub(crate) fn sdk_version() -> String {
    concat!("drivers-sdk ", env!("CARGO_PKG_VERSION")).to_owned()
}
