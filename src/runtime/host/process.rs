//! The task that owns a driver process. The states are in the header of the parent module.

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use drivers_sdk_protocol::message::{Hello, Welcome};
use drivers_sdk_protocol::{Kind, VERSIONS, feature};
use tokio::net::UnixStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::channel::Channel;
use super::inbound::{self, End};
use super::output::{self, Tail};
use crate::runtime::Shared;
use crate::runtime::modules::Entry;
use crate::runtime::program::Program;
use crate::runtime::reconciler::Event;
use crate::runtime::spawner::{Child, Launch, Output};

/// The correlation of greetings and pings. 0 would ask for no answer, and calls do not count this far.
const OWN: u32 = u32::MAX;

/// How long the last frames and lines of a process that has ended may take to arrive.
const LAST_WORDS: Duration = Duration::from_millis(250);
/// How long a process may live on after it closed its channel.
const EXIT_GRACE: Duration = Duration::from_millis(500);

/// The handle of a process.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) id: u64,
    pub(crate) channel: Arc<Channel>,
    drain: Arc<Notify>,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// A word: `exited`, `killed`, `hung`, `protocol`, `start`.
    pub(crate) code: &'static str,
    /// A sentence.
    pub(crate) message: String,
    /// The modules that may have brought it down.
    pub(crate) suspects: Vec<Arc<Entry>>,
    /// The last lines of standard error.
    pub(crate) output: Vec<String>,
}

impl Process {
    /// Tells it to stop its modules and exit.
    pub(crate) fn drain(&self) {
        self.drain.notify_one();
    }
}

/// Starts a process. [`Event::ProcessReady`] and, whatever happens, [`Event::ProcessEnded`] follow.
pub(crate) fn start(shared: &Arc<Shared>, id: u64, program: Arc<Program>) -> Process {
    let process =
        Process { id, channel: Arc::new(Channel::new(&shared.options)), drain: Arc::new(Notify::new()) };
    let task = Task { shared: shared.clone(), process: process.clone(), program };
    shared.processes.spawn(task.run());
    process
}

struct Task {
    shared: Arc<Shared>,
    process: Process,
    program: Arc<Program>,
}

/// Why the daemon ended a process, or saw it end.
enum Cause {
    Exited(std::io::Result<ExitStatus>),
    Channel(End),
    Unwelcome,
    Hung(&'static str),
    Drained,
}

impl Task {
    async fn run(self) {
        let ended = match self.launch().await {
            Ok(running) => self.attend(running).await,
            Err(error) => {
                let message = format!("could not start {}: {error}", self.program.executable.display());
                self.close(&message);
                Ended { code: "start", message, suspects: Vec::new(), output: Vec::new() }
            }
        };
        self.shared.tell(Event::ProcessEnded { process: self.process.id, ended });
    }

    async fn launch(&self) -> std::io::Result<Running> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let launch = Launch {
            program: self.program.executable.clone(),
            args: Vec::new(),
            channel: OwnedFd::from(theirs),
            input: Vec::new(),
        };
        let (child, output) = self.shared.spawner.spawn(launch).await?;
        self.shared.metrics.processes_started.inc();
        let (read, write) = UnixStream::from_std(ours)?.into_split();
        let channel = &self.process.channel;
        let hello = Hello {
            versions: VERSIONS,
            features: feature::ALL.iter().map(|name| (*name).into()).collect(),
            daemon: concat!("headend ", env!("CARGO_PKG_VERSION")).into(),
        };
        channel.send_json(Kind::Hello, 0, OWN, &hello);
        let (welcome, welcomed) = oneshot::channel();
        let reader = {
            let (shared, channel, id) = (self.shared.clone(), channel.clone(), self.process.id);
            let mut welcome = Some(welcome);
            tokio::spawn(async move {
                let greet = move |message| {
                    if let Some(welcome) = welcome.take() {
                        let _ = welcome.send(message);
                    }
                };
                inbound::read(&shared, id, &channel, read, greet).await
            })
        };
        let writer = {
            let channel = channel.clone();
            tokio::spawn(async move {
                // If the process has closed its end, the reader finds that out too.
                let _ = channel.out.write(write).await;
            })
        };
        let (tail, lines) = self.follow(output);
        Ok(Running { child, reader, writer, welcomed: Some(welcomed), tail, lines })
    }

    fn follow(&self, output: Output) -> (Tail, JoinHandle<()>) {
        let tail = Tail::new(self.shared.options.stderr_lines);
        let driver = self.program.driver.clone();
        let lines = output::follow(output, tail.clone(), move |line| {
            tracing::info!(target: "driver", %driver, "{line}");
        });
        (tail, tokio::spawn(lines))
    }

    async fn attend(&self, mut running: Running) -> Ended {
        let channel = &self.process.channel;
        let cancel = |module, correlation| channel.send(Kind::Cancel, module, correlation, &[]);
        let cause = tokio::select! {
            cause = self.watch(&mut running) => cause,
            () = channel.pending.sweep(cancel) => Cause::Drained,
        };
        // What the process said last still counts, and so does what it did at the end.
        let (status, read) = match cause {
            Cause::Exited(ref status) => {
                let status = status.as_ref().ok().copied();
                let read = tokio::time::timeout(LAST_WORDS, &mut running.reader).await;
                (status, read.ok().and_then(Result::ok))
            }
            Cause::Channel(_) => {
                let exited = tokio::time::timeout(EXIT_GRACE, running.child.wait()).await;
                (exited.ok().and_then(Result::ok), None)
            }
            _ => (None, None),
        };
        let suspects = match cause {
            Cause::Drained => Vec::new(),
            _ => channel.suspects(),
        };
        let (code, message) = self.describe(&cause, status, read.as_ref());
        if let Cause::Channel(End::Frame(_) | End::Message(_)) = cause {
            channel.send(Kind::Goodbye, 0, 0, message.as_bytes());
        }
        self.close(&message);
        running.child.kill();
        let _ = tokio::time::timeout(EXIT_GRACE, running.child.wait()).await;
        let _ = tokio::time::timeout(LAST_WORDS, &mut running.lines).await;
        let output = running.tail.lines();
        running.stop();
        Ended { code, message, suspects, output }
    }

    /// Watches over the process until it has to end, or has ended.
    async fn watch(&self, running: &mut Running) -> Cause {
        let options = &self.shared.options;
        let channel = &self.process.channel;
        let start_limit = tokio::time::sleep(Duration::from_millis(options.process_start_ms));
        tokio::pin!(start_limit);
        let interval = Duration::from_millis(options.ping_interval_ms.max(1));
        let mut ping = tokio::time::interval_at(Instant::now() + interval, interval);
        // Silence is counted in questions, not in time: a daemon that itself stood still must not blame the process.
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let patience = options.hung_ms.div_ceil(options.ping_interval_ms.max(1)).max(1);
        let mut silent = 0;
        let mut draining: Option<Instant> = None;
        let Running { child, reader, welcomed, .. } = running;
        loop {
            let grace = draining.unwrap_or_else(|| Instant::now() + Duration::from_secs(86_400));
            tokio::select! {
                status = child.wait() => {
                    return if draining.is_some() { Cause::Drained } else { Cause::Exited(status) };
                }
                end = &mut *reader => {
                    let end = end.unwrap_or(End::Closed);
                    return if draining.is_some() { Cause::Drained } else { Cause::Channel(end) };
                }
                greeting = greeting(welcomed) => {
                    *welcomed = None;
                    if let Ok(welcome) = greeting {
                        let (pid, process) = (child.pid(), self.process.id);
                        tracing::info!(pid, driver = %self.program.driver, sdk = %welcome.sdk, "driver process is ready");
                        self.shared.tell(Event::ProcessReady { process, pid });
                    }
                }
                () = &mut start_limit, if welcomed.is_some() => return Cause::Unwelcome,
                _ = ping.tick(), if welcomed.is_none() => {
                    silent = if channel.take_heard() { 0 } else { silent + 1 };
                    if silent >= patience {
                        return Cause::Hung("it answered nothing");
                    }
                    if channel.out.is_choked() {
                        return Cause::Hung("it took nothing");
                    }
                    channel.send(Kind::Ping, 0, OWN, &[]);
                }
                () = self.shared.kill.cancelled() => return Cause::Drained,
                () = self.process.drain.notified(), if draining.is_none() => {
                    channel.send(Kind::Shutdown, 0, 0, &[]);
                    draining = Some(Instant::now() + Duration::from_millis(options.stop_grace_ms));
                }
                () = tokio::time::sleep_until(grace), if draining.is_some() => return Cause::Drained,
            }
        }
    }

    fn describe(
        &self,
        cause: &Cause,
        status: Option<ExitStatus>,
        read: Option<&End>,
    ) -> (&'static str, String) {
        match cause {
            Cause::Drained => ("exited", "the driver process was stopped".into()),
            Cause::Unwelcome => {
                let limit = self.shared.options.process_start_ms;
                ("start", format!("the driver process did not answer the first frame within {limit} ms"))
            }
            Cause::Hung(how) => {
                let limit = self.shared.options.hung_ms;
                ("hung", format!("the driver process hung ({how} for {limit} ms) and was killed"))
            }
            Cause::Channel(end @ (End::Frame(_) | End::Message(_))) => {
                ("protocol", format!("the driver process was ended because {end}"))
            }
            Cause::Channel(End::Goodbye(why)) => ("exited", format!("the driver process gave up: {why}")),
            Cause::Channel(_) | Cause::Exited(_) => match (status, read) {
                (_, Some(End::Goodbye(why))) => ("exited", format!("the driver process gave up: {why}")),
                (Some(status), _) => died(status),
                (None, _) => ("exited", "the driver process closed its channel".into()),
            },
        }
    }

    fn close(&self, why: &str) {
        self.process.channel.close(&why.into());
    }
}

fn died(status: ExitStatus) -> (&'static str, String) {
    const ABORTED: i32 = 6;
    const KILLED: i32 = 9;
    match (status.code(), status.signal()) {
        (Some(code), _) => ("exited", format!("the driver process exited by itself with code {code}")),
        (_, Some(KILLED)) => {
            let text =
                "the driver process was killed (signal 9): by a person, or by the system for want of memory";
            ("killed", text.into())
        }
        (_, Some(ABORTED)) => {
            let text = "the driver process aborted (signal 6): a panic that could not be caught, or its memory limit";
            ("killed", text.into())
        }
        (_, Some(signal)) => ("killed", format!("the driver process was ended by signal {signal}")),
        _ => ("exited", "the driver process ended".into()),
    }
}

struct Running {
    child: Child,
    reader: JoinHandle<End>,
    writer: JoinHandle<()>,
    welcomed: Option<oneshot::Receiver<Welcome>>,
    tail: Tail,
    lines: JoinHandle<()>,
}

impl Running {
    fn stop(self) {
        self.reader.abort();
        self.writer.abort();
        self.lines.abort();
    }
}

/// The greeting; never, once that is over.
async fn greeting(
    welcomed: &mut Option<oneshot::Receiver<Welcome>>,
) -> Result<Welcome, oneshot::error::RecvError> {
    match welcomed {
        Some(welcomed) => welcomed.await,
        None => std::future::pending().await,
    }
}
