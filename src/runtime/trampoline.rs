//! The step between the daemon and a driver: the daemon's own program, started again, binds itself to the daemon's life,
//! limits itself, and then becomes the driver. That needs no code between fork and exec.
//!
//! `headend __host PARENT MEMORY FILES PROGRAM ARG…`; not for people.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use rustix::process::{Pid, Resource, Rlimit, Signal};

/// The hidden subcommand.
pub(crate) const SUBCOMMAND: &str = "__host";

/// To be called first in `main`. `None`: this is no trampoline, go on. Otherwise it failed, and the process should end.
pub fn main() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != SUBCOMMAND {
        return None;
    }
    let problem = become_driver(arguments);
    eprintln!("headend: could not start the driver: {problem}");
    Some(ExitCode::from(126))
}

/// Returns only if it failed: why.
fn become_driver(mut arguments: impl Iterator<Item = OsString>) -> String {
    let mut number = || arguments.next()?.to_str()?.parse::<u64>().ok();
    let (Some(parent), Some(memory), Some(files)) = (number(), number(), number()) else {
        return format!("{SUBCOMMAND} is not for people; it needs PARENT MEMORY FILES PROGRAM");
    };
    let Some(program) = arguments.next() else { return "no program".into() };
    if let Err(problem) = restrict(parent, memory, files) {
        return problem;
    }
    let error = Command::new(&program).args(arguments).exec();
    format!("{}: {error}", program.to_string_lossy())
}

fn restrict(parent: u64, memory: u64, files: u64) -> Result<(), String> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| format!("parent-death signal: {error}"))?;
    // The daemon may have died before the signal was asked for.
    if rustix::process::getppid().map(Pid::as_raw_pid).and_then(|pid| u64::try_from(pid).ok()) != Some(parent)
    {
        return Err(format!("the daemon (process {parent}) is gone"));
    }
    rustix::thread::set_no_new_privs(true).map_err(|error| format!("no_new_privs: {error}"))?;
    limit(Resource::Core, 0)?;
    if memory > 0 {
        limit(Resource::Data, memory)?;
    }
    if files > 0 {
        limit(Resource::Nofile, files)?;
    }
    Ok(())
}

/// Lowers a limit; one that is lower already stays.
fn limit(resource: Resource, value: u64) -> Result<(), String> {
    let maximum = rustix::process::getrlimit(resource).maximum;
    let value = maximum.map_or(value, |maximum| maximum.min(value));
    rustix::process::setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })
        .map_err(|error| format!("limit {resource:?} to {value}: {error}"))
}
