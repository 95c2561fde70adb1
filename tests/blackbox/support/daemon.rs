//! The built daemon as a child process, in a data directory of its own, on a port of its own.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{Api, builds::Builds};

/// The admin key of every daemon here.
pub const KEY: &str = "0123456789abcdef0123456789abcdef.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// How a daemon is to be started.
#[derive(Clone, Default)]
pub struct Setup {
    /// Sections of the configuration.
    pub config: String,
    /// The folder of an earlier daemon; a new one if none is given.
    pub folder: Option<Arc<TempDir>>,
    /// The admin key; [`KEY`] if none is given.
    pub key: Option<&'static str>,
    /// More of its environment.
    pub environment: Vec<(&'static str, PathBuf)>,
    /// It is to build drivers: see [`super::builds`].
    pub builds: bool,
    /// While it, or one that is started again in its folder, may build.
    turn: Option<Arc<Builds>>,
}

/// A daemon that runs; killed when it is dropped.
pub struct Daemon {
    pub folder: Arc<TempDir>,
    pub url: String,
    pub api: Api,
    pub setup: Setup,
    child: Child,
}

/// The program, without this process's `HEADEND_` variables.
pub fn headend() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headend"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HEADEND_")) {
        command.env_remove(name);
    }
    command
}

impl Setup {
    pub fn new(config: &str) -> Self {
        Setup { config: config.into(), ..Setup::default() }
    }

    /// Of a daemon that builds drivers: one at a time.
    pub fn building(self) -> Self {
        Setup { builds: true, ..self }
    }

    pub fn start(self) -> Daemon {
        self.try_start().unwrap_or_else(|(status, log)| panic!("the daemon ended with {status}:\n{log}"))
    }

    /// Starts a daemon; one that ends instead of listening gives its status and what it said.
    pub fn try_start(mut self) -> Result<Daemon, (ExitStatus, String)> {
        let folder = self.folder.take().unwrap_or_else(|| Arc::new(tempfile::tempdir().unwrap()));
        self.folder = Some(folder.clone());
        if self.builds && self.turn.is_none() {
            self.turn = Some(Arc::new(Builds::take(&folder.path().join("data"))));
        }
        let config = folder.path().join("config.toml");
        std::fs::write(&config, &self.config).unwrap();
        let log = std::fs::File::options().create(true).append(true).open(folder.path().join("log")).unwrap();
        let mut child = headend()
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&config)
            .arg("--data")
            .arg(folder.path().join("data"))
            .env("HEADEND_ADMIN_KEY", self.key.unwrap_or(KEY))
            .env("NO_COLOR", "1")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let (lines, said) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = lines.send(line);
            }
        });
        let started = Instant::now();
        let url = loop {
            match said.recv_timeout(Duration::from_secs(30)) {
                Ok(line) => {
                    if let Some(at) = line.find("http://") {
                        break line[at..].split_whitespace().next().unwrap().to_owned();
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    let status = child.wait().unwrap();
                    return Err((status, read(&folder.path().join("log"))));
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let _ = child.kill();
                    panic!(
                        "the daemon says nothing after {:?}:\n{}",
                        started.elapsed(),
                        read(&folder.path().join("log"))
                    );
                }
            }
        };
        let api = Api::new(&url, KEY);
        Ok(Daemon { folder, url, api, setup: self, child })
    }
}

impl Daemon {
    /// A daemon with the default configuration and nothing in its store.
    pub fn start() -> Daemon {
        Setup::default().start()
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        read(&self.folder.path().join("log"))
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(9));
    }

    /// Starts it again in the same folder.
    pub fn again(mut self) -> Daemon {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.setup.clone().start()
    }

    /// SIGTERM; how it ended, and after how long.
    pub fn stop(&mut self) -> (ExitStatus, Duration) {
        let asked = Instant::now();
        self.signal(Signal::TERM);
        (self.wait(Duration::from_secs(30)), asked.elapsed())
    }

    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < patience, "the daemon has not ended within {patience:?}");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// The command-line client against it: exit code, standard output, standard error.
    pub fn client(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = self.command(arguments);
        let done = command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (done.status.code().unwrap_or(-1), text(done.stdout), text(done.stderr))
    }

    /// The command-line client against it, yet to be started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = headend();
        command.args(arguments).env("HEADEND_URL", &self.url).env("HEADEND_KEY", KEY);
        command.env("XDG_CONFIG_HOME", self.folder.path());
        command
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- the daemon's log\n{}\n---", lines[lines.len().saturating_sub(80)..].join("\n"));
        }
    }
}

fn read(path: &Path) -> String {
    let mut text = Vec::new();
    if let Ok(mut file) = std::fs::File::open(path) {
        let _ = file.read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}
