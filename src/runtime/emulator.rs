//! The emulator of an emulated module: a process of its driver's program that plays the device, behind a socket that the
//! module's link leads to.
//!
//! The socket is made once and outlives the process, so that the link finds the next one at the same place.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use drivers_sdk_protocol::message::Level;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Shared;
use super::backoff::Backoff;
use super::host::Tail;
use super::modules::Entry;
use super::program::Program;
use super::spawner::Launch;

/// A socket's path may be this long.
const PATH_BYTES: usize = 100;

/// A running emulator; ends when dropped.
pub(super) struct Emulator {
    program: u64,
    messages: bool,
    path: PathBuf,
    task: JoinHandle<()>,
}

/// What the process is told.
struct Told {
    settings: String,
    messages: bool,
}

impl Emulator {
    /// `messages`: its device has messages, and it knows of those.
    pub(super) fn start(
        shared: &Arc<Shared>,
        entry: &Arc<Entry>,
        program: &Arc<Program>,
        settings: String,
        messages: bool,
    ) -> Emulator {
        let path = socket(&shared.options.run_dir, &entry.id);
        // Before the link looks for it; what goes wrong is said, and tried again, by the task.
        let listener = bind(&path).ok().filter(|_| program.manifest.emulator);
        let told = Told { settings, messages };
        let work = run(shared.clone(), entry.clone(), program.clone(), path.clone(), listener, told);
        Emulator { program: program.id, messages, path, task: tokio::spawn(work) }
    }

    /// Where the device it plays is found.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The program it belongs to, and whether its connections carry messages.
    pub(super) fn kind(&self) -> (u64, bool) {
        (self.program, self.messages)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// `<run dir>/<module>.sock`; if that is too long for a socket, in the folder for temporary files.
fn socket(run_dir: &Path, module: &str) -> PathBuf {
    let path = run_dir.join(format!("{module}.sock"));
    if path.as_os_str().len() <= PATH_BYTES {
        return path;
    }
    std::env::temp_dir().join(format!("headend-{}-{module}.sock", std::process::id()))
}

async fn run(
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    program: Arc<Program>,
    path: PathBuf,
    mut listener: Option<UnixListener>,
    Told { settings, messages }: Told,
) {
    let say = |text: &str| entry.say(&shared, Level::Warn, &format!("emulator: {text}"));
    if !program.manifest.emulator {
        return say("this driver has none; the module stays offline");
    }
    let options = &shared.options;
    let first = Duration::from_millis(options.restart_ms);
    let longest = Duration::from_millis(options.restart_max_ms);
    let reset = Duration::from_millis(options.restart_reset_ms);
    let mut backoff = Backoff::default();
    let args: &[&str] = if messages { &["--emulator", "--messages"] } else { &["--emulator"] };
    loop {
        let began = Instant::now();
        if listener.is_none() {
            listener = bind(&path).map_err(|error| say(&format!("{}: {error}", path.display()))).ok();
        }
        let channel = listener.as_ref().and_then(|listener| listener.try_clone().ok());
        if let Some(channel) = channel {
            let launch = Launch {
                program: program.executable.clone(),
                args: args.iter().map(Into::into).collect(),
                channel: OwnedFd::from(channel),
                input: settings.clone().into_bytes(),
            };
            match shared.spawner.spawn(launch).await {
                Ok((mut child, output)) => {
                    let lines = super::host::follow(output, Tail::new(0), |line| {
                        entry.say(&shared, Level::Debug, &format!("emulator: {line}"));
                    });
                    let (ended, ()) = tokio::join!(child.wait(), lines);
                    match ended {
                        Ok(status) => say(&format!("ended with {status}")),
                        Err(error) => say(&format!("ended: {error}")),
                    }
                }
                Err(error) => say(&format!("could not be started: {error}")),
            }
        }
        if began.elapsed() >= reset {
            backoff.reset();
        }
        tokio::time::sleep(backoff.next(first, longest)).await;
    }
}

fn bind(path: &Path) -> std::io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    UnixListener::bind(path)
}
