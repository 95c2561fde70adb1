//! Running cargo, and understanding what it says.
//!
//! The environment is an allow list: what cargo, rustc and the network need, and nothing else of the daemon's. A build
//! runs code of the repository (build scripts, macros) with the daemon's user; what the list leaves out, it cannot read
//! from its environment.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::super::Options;
use super::super::packages::Package;
use super::error::{Error, Kind};
use super::process::{self, End, Limits, Stream};
use super::slot::Slot;

/// Variables that a build is given if the daemon has them.
const ALLOWED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "RUSTUP_DIST_SERVER",
    "RUSTUP_UPDATE_ROOT",
    "RUSTUP_AUTO_INSTALL",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CC",
    "CXX",
    "AR",
];
/// Beginnings of more such variables: cargo's own configuration. (`CARGO_REGISTRY_TOKEN` is for publishing.)
const ALLOWED_BEGINNINGS: &[&str] = &["CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTRIES_", "CARGO_SOURCE_"];

/// What one run of cargo came to.
pub(super) struct Outcome {
    /// Why programs are missing.
    pub(super) failure: Option<Error>,
    /// The end of what the compiler said.
    pub(super) output: String,
}

/// What a run of cargo tells while it goes on.
pub(super) enum News<'a> {
    /// The compiler said a line.
    Line(&'a str),
    /// A program is ready.
    Built {
        /// Absolute path of its package's Cargo.toml.
        manifest: PathBuf,
        /// Its name.
        binary: String,
        executable: PathBuf,
        /// What the compiler has said so far.
        output: &'a str,
    },
}

/// Builds packages that share a workspace.
pub(super) fn build(
    slot: &Slot,
    sdk: &Path,
    packages: &[&Package],
    options: &Options,
    stop: &CancellationToken,
    mut tell: impl FnMut(News<'_>),
) -> Outcome {
    let mut outcome = Outcome { failure: None, output: String::new() };
    let command = match command(slot, sdk, packages, options) {
        Ok(command) => command,
        Err(error) => {
            outcome.failure = Some(error);
            return outcome;
        }
    };
    let limits = Limits { time: Duration::from_millis(options.build_ms), memory: options.build_memory_bytes };
    let mut messages = Lines::default();
    let mut tail = Tail::new(options.output_bytes);
    let mut said = Lines::default();
    let end = process::run(command, &limits, stop, |stream, bytes| match stream {
        Stream::Output => messages.add(bytes, |line| {
            if let Some((manifest, binary, executable)) = executable(line) {
                tell(News::Built { manifest, binary, executable, output: &tail.text() });
            }
        }),
        Stream::Error => {
            tail.add(bytes);
            said.add(bytes, |line| {
                let line = String::from_utf8_lossy(line);
                let line = line.trim();
                if !line.is_empty() {
                    tell(News::Line(line));
                }
            });
        }
    });
    outcome.output = tail.text();
    outcome.failure = failure(end, &outcome.output, options);
    if let Some(error) = &mut outcome.failure {
        error.output.clone_from(&outcome.output);
    }
    outcome
}

fn command(slot: &Slot, sdk: &Path, packages: &[&Package], options: &Options) -> Result<Command, Error> {
    let source = slot.source();
    let Some(first) = packages.first() else {
        return Err(Error::new(Kind::NotADriver, "there is nothing to build"));
    };
    let manifest = source.join(&first.file_name);
    // Where cargo looks for its configuration: the top of the workspace, or the package.
    let top = first.workspace.as_ref().map_or(manifest.clone(), |path| source.join(path));
    let folder = top.parent().unwrap_or(&source);
    let mut command = Command::new(&options.cargo);
    command.current_dir(folder).env_clear().envs(environment(std::env::vars_os(), folder, &source, options));
    command.env("CARGO_TARGET_DIR", slot.target()).env("CARGO_TERM_COLOR", "never");
    // Without progress bars, every line of the output is news.
    command.env("CARGO_TERM_PROGRESS_WHEN", "never");
    command.args(["build", "--release", "--message-format=json-render-diagnostics", "--manifest-path"]);
    if packages.len() > 1 {
        command.arg(&top).arg("--keep-going");
        for package in packages {
            command.arg("--package").arg(&package.name);
        }
    } else {
        command.arg(&manifest);
    }
    for package in packages {
        command.arg("--bin").arg(&package.binary);
    }
    if options.build_jobs > 0 {
        command.arg("--jobs").arg(options.build_jobs.to_string());
    }
    for setting in settings(sdk) {
        command.arg("--config").arg(setting);
    }
    let lock = slot.lock.try_clone().map_err(|error| Error::new(Kind::Disk, error.to_string()))?;
    let mapping = FdMapping { parent_fd: lock.into(), child_fd: 3 };
    command.fd_mappings(vec![mapping]).map_err(|error| Error::new(Kind::Disk, error.to_string()))?;
    Ok(command)
}

/// Settings of cargo that win over those of the repository.
fn settings(sdk: &Path) -> [String; 4] {
    let sdk = toml::Value::String(sdk.to_string_lossy().into_owned());
    [
        format!("patch.crates-io.drivers-sdk.path={sdk}"),
        // A panic ends one module, not the process.
        "profile.release.panic=\"unwind\"".to_owned(),
        // Names of functions stay for backtraces; the rest would double the time and the size.
        "profile.release.debug=false".to_owned(),
        "profile.release.strip=\"debuginfo\"".to_owned(),
    ]
}

fn environment(
    all: impl Iterator<Item = (OsString, OsString)>,
    folder: &Path,
    source: &Path,
    options: &Options,
) -> BTreeMap<OsString, OsString> {
    let allowed = |name: &OsStr| {
        name.to_str().is_some_and(|name| {
            ALLOWED.contains(&name)
                || ALLOWED_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
                || options.build_environment.iter().any(|extra| extra == name)
        })
    };
    let mut environment: BTreeMap<_, _> = all.filter(|(name, _)| allowed(name)).collect();
    // A toolchain that the repository names wins over the one that the daemon was started with.
    let names_one = folder
        .ancestors()
        .take_while(|folder| folder.starts_with(source))
        .any(|folder| folder.join("rust-toolchain.toml").exists() || folder.join("rust-toolchain").exists());
    if names_one {
        environment.remove(OsStr::new("RUSTUP_TOOLCHAIN"));
    }
    // Services are often started without the folder that rustup puts cargo into.
    let home = environment
        .get(OsStr::new("CARGO_HOME"))
        .map(PathBuf::from)
        .or_else(|| environment.get(OsStr::new("HOME")).map(|home| Path::new(home).join(".cargo")));
    if let Some(home) = home {
        let path = environment
            .get(OsStr::new("PATH"))
            .cloned()
            .unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
        let folders = std::env::split_paths(&path).chain([home.join("bin")]);
        if let Ok(path) = std::env::join_paths(folders) {
            environment.insert("PATH".into(), path);
        }
    }
    environment
}

/// The executable that a message of cargo's announces.
fn executable(line: &[u8]) -> Option<(PathBuf, String, PathBuf)> {
    #[derive(Deserialize)]
    struct Message {
        reason: String,
        manifest_path: Option<PathBuf>,
        executable: Option<PathBuf>,
        target: Option<Target>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    let message: Message = serde_json::from_slice(line).ok()?;
    if message.reason != "compiler-artifact" {
        return None;
    }
    Some((message.manifest_path?, message.target?.name, message.executable?))
}

/// What a bad end means.
fn failure(end: std::io::Result<End>, output: &str, options: &Options) -> Option<Error> {
    let status = match end {
        Ok(End::Exited(status)) if status.success() => return None,
        Ok(End::Exited(status)) => status,
        Ok(End::Stopped) => {
            return Some(Error::new(
                Kind::Stopped,
                "the daemon is stopping; the build starts again when it is wanted",
            ));
        }
        Ok(End::TimedOut) => {
            let seconds = options.build_ms / 1000;
            return Some(Error::new(
                Kind::Timeout,
                format!(
                    "the build took longer than {seconds} s and was ended. Try again, or raise builds.build_ms"
                ),
            ));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Some(Error::new(
                Kind::CargoMissing,
                format!(
                    "there is no {:?} on the PATH of the daemon, and drivers are built with it. Install Rust (https://rustup.rs) for \
                     the daemon's user, or set builds.cargo to its path",
                    options.cargo
                ),
            ));
        }
        Err(error) => return Some(Error::new(Kind::Disk, format!("cargo could not be run: {error}"))),
    };
    let has = |texts: &[&str]| texts.iter().any(|text| output.contains(text));
    if has(&["No space left on device", "Disk quota exceeded"]) {
        return Some(Error::new(
            Kind::Disk,
            "the disk became full during the build. Make room and try again",
        ));
    }
    if has(&[
        "memory allocation of",
        "out of memory",
        "Cannot allocate memory",
        "failed to map segment",
        "signal: 9, SIGKILL",
    ]) {
        let limit = match options.build_memory_bytes {
            0 => String::new(),
            bytes => format!(" (builds.build_memory_bytes is {} MiB)", bytes >> 20),
        };
        return Some(Error::new(
            Kind::Memory,
            format!("the build ran out of memory{limit}. Raise it, or set builds.build_jobs to 1"),
        ));
    }
    if has(&["no override and no default toolchain set", "rustup could not choose a version of cargo"]) {
        let text = "rustup has no toolchain for the daemon's user. Install one: rustup default stable";
        return Some(Error::new(Kind::CargoMissing, text));
    }
    let first = first_error(output).unwrap_or_else(|| format!("cargo ended with {status}"));
    Some(Error::new(Kind::Compile, format!("it does not compile: {first}")))
}

/// The first error in the compiler's output, and where.
fn first_error(output: &str) -> Option<String> {
    let mut lines = output.lines().map(str::trim);
    let error = lines.by_ref().find(|line| line.starts_with("error"))?;
    let place = lines.take(3).find_map(|line| line.strip_prefix("--> "));
    Some(place.map_or_else(|| error.to_owned(), |place| format!("{error} ({place})")))
}

/// Bytes, cut into lines.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// A line longer than this is no message of interest.
    const LONGEST: usize = 1 << 20;

    fn add(&mut self, bytes: &[u8], mut line: impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.rest.len() + piece.len() <= Self::LONGEST {
                self.rest.extend_from_slice(piece);
            }
            if piece.ends_with(b"\n") {
                line(&self.rest);
                self.rest.clear();
            }
        }
    }
}

/// The end of a text.
struct Tail {
    bytes: Vec<u8>,
    limit: usize,
    cut: bool,
}

impl Tail {
    fn new(limit: usize) -> Tail {
        Tail { bytes: Vec::new(), limit, cut: false }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        // Cut seldom: only when twice as much as is wanted has come together.
        if self.bytes.len() > self.limit.saturating_mul(2) {
            self.trim();
        }
    }

    fn trim(&mut self) {
        let over = self.bytes.len().saturating_sub(self.limit);
        if over > 0 {
            self.bytes.drain(..over);
            self.cut = true;
        }
    }

    fn text(&mut self) -> String {
        self.trim();
        let text = String::from_utf8_lossy(&self.bytes);
        if self.cut { format!("[the beginning is left out]\n{text}") } else { text.into_owned() }
    }
}
