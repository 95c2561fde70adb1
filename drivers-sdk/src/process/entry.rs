//! The program a driver package builds: what its command line may say, and how it finds its channel.

use std::io::{self, IsTerminal, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;

use drivers_sdk_protocol::CHANNEL_FD;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

use crate::driver::Driver;
use crate::emulator::{self, Device};
use crate::manifest::manifest;

/// What `main!` calls: `--manifest`, `--emulator`, or run for the daemon.
pub fn main<D: Driver>(emulator: Option<fn(OwnedFd, bool) -> io::Result<()>>) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let name = D::DECLARATION.name;
    match words.as_slice() {
        ["--manifest"] => match serde_json::to_string_pretty(&manifest::<D>(emulator.is_some())) {
            Ok(text) => {
                println!("{text}");
                ExitCode::SUCCESS
            }
            Err(error) => failure(&format!("the manifest of {name} cannot be written as JSON: {error}")),
        },
        ["--emulator"] | ["--emulator", "--messages"] => match emulator {
            None => failure(&format!("{name} carries no emulator: main!(…, emulator = …) would give it one")),
            Some(run) => finish(channel().and_then(|fd| run(fd, words.len() > 1)), name),
        },
        [] => {
            let run = |fd: OwnedFd| {
                let stream = UnixStream::from(fd);
                stream.set_nonblocking(true)?;
                block_on(async { super::serve::<D>(tokio::net::UnixStream::from_std(stream)?).await })
            };
            finish(channel().and_then(run), name)
        }
        _ => {
            usage(name, emulator.is_some());
            ExitCode::from(2)
        }
    }
}

/// Serves an emulated device on the listening socket that the daemon gave.
pub fn emulate<E: Device>(fd: OwnedFd, messages: bool) -> io::Result<()> {
    let listener = UnixListener::from(fd);
    listener.set_nonblocking(true)?;
    let mut settings = String::new();
    if !io::stdin().is_terminal() {
        io::stdin().read_to_string(&mut settings)?;
    }
    let device = emulator::create::<E>(&settings).map_err(|error| io::Error::other(error.to_string()))?;
    block_on(async {
        let listener = tokio::net::UnixListener::from_std(listener)?;
        match messages {
            true => emulator::serve_messages(device, listener).await,
            false => emulator::serve(device, listener).await,
        }
    })
}

fn finish(result: io::Result<()>, name: &str) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(&format!("{name}: {error}")),
    }
}

fn failure(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}

fn usage(name: &str, emulator: bool) {
    eprintln!("{name}: a driver, which the Headend daemon runs. By hand it takes:");
    eprintln!("  --manifest   print what the driver declares: functions, settings, status");
    if emulator {
        eprintln!(
            "  --emulator   serve an emulated device on the listening socket that is file descriptor 3"
        );
    }
}

fn block_on(future: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    let runtime: LocalRuntime =
        Builder::new_current_thread().enable_io().enable_time().build_local(LocalOptions::default())?;
    let result = runtime.block_on(future);
    // Tasks of drivers may hold on to anything; nothing of theirs is worth waiting for.
    runtime.shutdown_background();
    result
}

/// The socket that the daemon gave this process.
fn channel() -> io::Result<OwnedFd> {
    // `/proc` tells what the descriptor is before anything takes hold of it: a person who runs the program by hand
    // has no descriptor 3, or something else as 3.
    let kind = std::fs::read_link(format!("/proc/self/fd/{CHANNEL_FD}"));
    if !kind.is_ok_and(|target| target.to_string_lossy().starts_with("socket:")) {
        return Err(io::Error::other(format!(
            "file descriptor {CHANNEL_FD} is not a socket. The Headend daemon runs this program and gives it one; \
             by hand it can print what it declares: --manifest"
        )));
    }
    // A duplicate, so that processes a driver may start do not inherit it.
    inherited(CHANNEL_FD).try_clone()
}

/// Takes an inherited descriptor.
///
/// The one place of `unsafe` in this crate: the standard library has no safe way to a descriptor that was inherited.
#[allow(unsafe_code)]
fn inherited(fd: i32) -> OwnedFd {
    use std::os::fd::FromRawFd;
    // SAFETY: called once, at the start of `main`, after `fd` was seen to be open; the protocol gives it to this process
    // alone, and nothing in it has had a chance to open, take or close it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
