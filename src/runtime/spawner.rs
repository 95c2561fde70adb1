//! Starts processes, and holds on to them.
//!
//! One thread that lives as long as the runtime starts all of them, because the parent-death signal is tied to the
//! *thread* that forked. A child is signalled through its pidfd, taken while it was not yet reaped: never by a
//! remembered pid. A [`Child`] that is dropped is killed and reaped.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;

use command_fds::{CommandFdExt, FdMapping};
use drivers_sdk_protocol::CHANNEL_FD;
use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

use super::options::Options;
use super::trampoline;

/// What to start.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    /// Becomes file descriptor 3.
    pub(crate) channel: OwnedFd,
    /// What it finds on standard input.
    pub(crate) input: Vec<u8>,
}

/// A process that runs, or ran.
#[derive(Debug)]
pub(crate) struct Child {
    pid: u32,
    handle: AsyncFd<OwnedFd>,
    process: Option<std::process::Child>,
    spawner: Spawner,
}

/// What a child writes.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) stdout: Option<tokio::process::ChildStdout>,
    pub(crate) stderr: Option<tokio::process::ChildStderr>,
}

/// The thread's handle.
#[derive(Clone, Debug)]
pub(crate) struct Spawner(mpsc::Sender<Request>);

#[derive(Debug)]
enum Request {
    Spawn(Launch, oneshot::Sender<io::Result<(std::process::Child, OwnedFd)>>),
    Reap(std::process::Child),
}

/// How drivers are wrapped.
#[derive(Clone, Debug)]
struct Wrapping {
    trampoline: Option<PathBuf>,
    memory: u64,
    files: u64,
}

impl Spawner {
    /// Starts the thread. It ends, and the children with it, when the last handle and the last child are gone.
    pub(crate) fn start(options: &Options) -> io::Result<Spawner> {
        let (requests, inbox) = mpsc::channel();
        let wrapping = Wrapping {
            trampoline: options.trampoline.clone(),
            memory: options.process_memory_bytes,
            files: options.process_files,
        };
        std::thread::Builder::new().name("spawner".into()).spawn(move || {
            for request in inbox {
                match request {
                    // If nobody waits any more, the child is killed as it is dropped unclaimed.
                    Request::Spawn(launch, answer) => {
                        if let Err(Ok((mut child, _))) = answer.send(spawn(&wrapping, launch)) {
                            let _ = child.kill();
                            let _ = child.wait();
                        }
                    }
                    Request::Reap(mut child) => {
                        let _ = child.wait();
                    }
                }
            }
        })?;
        Ok(Spawner(requests))
    }

    /// Starts a process.
    pub(crate) async fn spawn(&self, launch: Launch) -> io::Result<(Child, Output)> {
        let gone = || io::Error::other("the thread that starts processes has ended");
        let (answer, started) = oneshot::channel();
        self.0.send(Request::Spawn(launch, answer)).map_err(|_| gone())?;
        let (mut process, pidfd) = started.await.map_err(|_| gone())??;
        let stdout = process.stdout.take().map(tokio::process::ChildStdout::from_std).transpose()?;
        let stderr = process.stderr.take().map(tokio::process::ChildStderr::from_std).transpose()?;
        // Deprecated because not every type that has a descriptor keeps it open; an OwnedFd does.
        #[expect(deprecated)]
        let handle = AsyncFd::new(pidfd)?;
        let child = Child { pid: process.id(), handle, process: Some(process), spawner: self.clone() };
        Ok((child, Output { stdout, stderr }))
    }
}

fn spawn(wrapping: &Wrapping, launch: Launch) -> io::Result<(std::process::Child, OwnedFd)> {
    let mut command = match &wrapping.trampoline {
        Some(trampoline) => {
            let mut command = Command::new(trampoline);
            command.arg(trampoline::SUBCOMMAND);
            command.arg(std::process::id().to_string());
            command.arg(wrapping.memory.to_string()).arg(wrapping.files.to_string()).arg(&launch.program);
            command
        }
        None => Command::new(&launch.program),
    };
    command.args(launch.args).env_clear().env("RUST_BACKTRACE", "1").current_dir("/");
    command.stdin(input(&launch.input)?).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own: Ctrl-C on the daemon's terminal is for the daemon.
    command.process_group(0);
    command
        .fd_mappings(vec![FdMapping { parent_fd: launch.channel, child_fd: CHANNEL_FD }])
        .map_err(|error| io::Error::other(error.to_string()))?;
    let child = command.spawn()?;
    let pid = Pid::from_child(&child);
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK)?;
    Ok((child, pidfd))
}

/// A file in memory, so that nobody waits for a child that does not read.
fn input(bytes: &[u8]) -> io::Result<Stdio> {
    if bytes.is_empty() {
        return Ok(Stdio::null());
    }
    let file = rustix::fs::memfd_create("input", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = std::fs::File::from(file);
    io::Write::write_all(&mut file, bytes)?;
    io::Seek::rewind(&mut file)?;
    Ok(file.into())
}

impl Child {
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until it has ended.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            // Readable means ended.
            let mut ready = self.handle.readable().await?;
            let Some(process) = &mut self.process else { return Ok(ExitStatus::from_raw(0)) };
            match process.try_wait()? {
                Some(status) => {
                    self.process = None;
                    return Ok(status);
                }
                None => ready.clear_ready(),
            }
        }
    }

    /// Ends it for certain.
    pub(crate) fn kill(&self) {
        let _ = rustix::process::pidfd_send_signal(self.handle.get_ref(), Signal::KILL);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            self.kill();
            let _ = self.spawner.0.send(Request::Reap(process));
        }
    }
}
