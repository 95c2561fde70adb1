//! A program that is run to its end: in a process group of its own, with limits on time and memory, at a low
//! priority, its output read as it comes.
//!
//! The group is killed while its leader has not been reaped, so the number cannot have passed to another process. It
//! is killed in every case, also after a good end: what a build leaves running is of no use.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{self, Pid, PidfdFlags, Resource, Rlimit, Signal};
use tokio_util::sync::CancellationToken;

/// How long a stop of the daemon or a time limit may go unnoticed.
const NOTICE: Duration = Duration::from_millis(200);
/// Niceness of builds: what runs goes first.
const NICE: i32 = 10;

pub(super) struct Limits {
    pub(super) time: Duration,
    /// Address space of each process, bytes; 0: no limit.
    pub(super) memory: u64,
}

#[derive(Debug)]
pub(super) enum End {
    Exited(ExitStatus),
    TimedOut,
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stream {
    Output,
    Error,
}

/// Kills the group and reaps the leader, whatever happens.
struct Group {
    leader: Child,
    pid: Pid,
}

impl Group {
    fn end(mut self) -> io::Result<ExitStatus> {
        self.kill();
        self.leader.wait()
    }

    fn kill(&self) {
        // Fails only if nobody is left.
        let _ = process::kill_process_group(self.pid, Signal::KILL);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // After `end` the leader is reaped and has a status: the number may be somebody else's.
        if let Ok(None) = self.leader.try_wait() {
            self.kill();
            let _ = self.leader.wait();
        }
    }
}

/// Blocks until the program has ended or a limit ends it. `Err`: it could not be started, or not be watched.
pub(super) fn run(
    mut command: Command,
    limits: &Limits,
    stop: &CancellationToken,
    mut heard: impl FnMut(Stream, &[u8]),
) -> io::Result<End> {
    let deadline = Instant::now() + limits.time;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut leader = command.spawn()?;
    let (mut output, mut error) = (leader.stdout.take(), leader.stderr.take());
    let group = Group { pid: Pid::from_child(&leader), leader };
    let ended = process::pidfd_open(group.pid, PidfdFlags::empty())?;
    confine(group.pid, limits.memory);
    let mut buffer = [0u8; 16 << 10];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            group.end()?;
            return Ok(End::TimedOut);
        }
        if stop.is_cancelled() {
            group.end()?;
            return Ok(End::Stopped);
        }
        let wait = left.min(NOTICE);
        let ready = {
            let mut watched = vec![PollFd::new(&ended, PollFlags::IN)];
            watched.extend(output.as_ref().map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)));
            watched.extend(error.as_ref().map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)));
            match poll(&mut watched, Some(&wait.try_into().unwrap_or_default())) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let ready = |index: usize| watched.get(index).is_some_and(|fd| !fd.revents().is_empty());
            let second = 1 + usize::from(output.is_some());
            (ready(0), output.is_some() && ready(1), error.is_some() && ready(second))
        };
        let (over, from_output, from_error) = ready;
        // A pipe that is ready gives what it has without blocking.
        if from_output && !pass_on(&mut output, Stream::Output, &mut buffer, &mut heard) {
            output = None;
        }
        if from_error && !pass_on(&mut error, Stream::Error, &mut buffer, &mut heard) {
            error = None;
        }
        // Only when it has ended and nothing more waits in the pipes. Whoever has them still does not count.
        if over && !from_output && !from_error {
            return Ok(End::Exited(group.end()?));
        }
    }
}

/// False at the end of the stream.
fn pass_on(
    pipe: &mut Option<impl Read>,
    stream: Stream,
    buffer: &mut [u8],
    heard: &mut impl FnMut(Stream, &[u8]),
) -> bool {
    let Some(pipe) = pipe else { return false };
    match pipe.read(buffer) {
        Ok(0) => false,
        Ok(count) => {
            heard(stream, buffer.get(..count).unwrap_or_default());
            true
        }
        Err(error) => error.kind() == io::ErrorKind::Interrupted,
    }
}

/// Limits the process, and with it all that it will start. It has ended already if any of this fails.
fn confine(pid: Pid, memory: u64) {
    let limit = |bytes| Rlimit { current: Some(bytes), maximum: Some(bytes) };
    if memory > 0 {
        let _ = process::prlimit(Some(pid), Resource::As, limit(memory));
    }
    let _ = process::prlimit(Some(pid), Resource::Core, limit(0));
    let _ = process::setpriority_process(Some(pid), NICE);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limits: Limits, stop: &CancellationToken) -> (End, String) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let mut text = String::new();
        let end = run(command, &limits, stop, |stream, bytes| {
            text.push_str(&format!("{stream:?}:{}", String::from_utf8_lossy(bytes)));
        });
        (end.unwrap(), text)
    }

    fn limits(ms: u64) -> Limits {
        Limits { time: Duration::from_millis(ms), memory: 0 }
    }

    /// Whether a process of that number exists and is not a zombie.
    fn lives(pid: &str) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !status.is_empty() && !status.contains(") Z ")
    }

    #[test]
    fn output_and_exit_code() {
        let (end, text) = shell("echo one; echo two >&2; exit 3", limits(60_000), &CancellationToken::new());
        assert!(matches!(end, End::Exited(status) if status.code() == Some(3)), "{end:?}");
        assert!(text.contains("Output:one\n") && text.contains("Error:two\n"), "{text}");
    }

    #[test]
    fn a_time_limit_ends_the_whole_group() {
        let started = Instant::now();
        let (end, text) = shell("sleep 600 & echo $!; wait", limits(400), &CancellationToken::new());
        assert!(matches!(end, End::TimedOut), "{end:?}");
        assert!(started.elapsed() < Duration::from_secs(60));
        let pid = text.trim_start_matches("Output:").trim();
        let deadline = Instant::now() + Duration::from_secs(30);
        while lives(pid) {
            assert!(Instant::now() < deadline, "process {pid} outlived its group");
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_a_program_leaves_running_is_not_waited_for() {
        let started = Instant::now();
        let (end, _) = shell("setsid sleep 600 & exit 0", limits(300_000), &CancellationToken::new());
        assert!(matches!(end, End::Exited(status) if status.success()), "{end:?}");
        assert!(started.elapsed() < Duration::from_secs(120));
    }

    #[test]
    fn the_daemons_end_ends_it() {
        let stop = CancellationToken::new();
        stop.cancel();
        let (end, _) = shell("sleep 600", limits(600_000), &stop);
        assert!(matches!(end, End::Stopped), "{end:?}");
    }

    #[test]
    fn memory_is_limited() {
        let limits = Limits { time: Duration::from_secs(60), memory: 64 << 20 };
        // The limit arrives a moment after the start.
        let script = "sleep 0.5; head -c 200000000 /dev/zero | tail -c 190000000 >/dev/null";
        let (end, text) = shell(script, limits, &CancellationToken::new());
        assert!(matches!(end, End::Exited(status) if !status.success()), "{end:?}: {text}");
    }
}
