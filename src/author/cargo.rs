//! Driver packages in a work tree, and their programs: asked of cargo, built by cargo, in the author's own environment.
//!
//! What cargo says while it builds goes to the terminal as it is. Programs are those of the `dev` profile: an author builds
//! often and runs little.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use drivers_sdk_protocol::Manifest;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;

use super::{Error, Result, sdk};

/// A driver package.
#[derive(Clone, Debug)]
pub struct Package {
    /// As its Cargo.toml says.
    pub name: String,
    /// Where its Cargo.toml is.
    pub folder: PathBuf,
    /// The folder of the workspace that it belongs to.
    pub workspace: PathBuf,
    /// Its program: the one of its own name, if there are several.
    binary: String,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Found>,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Found {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `dev`, `build`; none for a usual one.
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// What cargo tells of a build.
#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    executable: Option<PathBuf>,
    target: Option<Target>,
}

/// The driver that is meant: a package's folder, or its name in the workspace of the current folder.
pub fn package(which: &str) -> Result<Package> {
    let path = Path::new(which);
    if path.join("Cargo.toml").is_file() {
        let mut all = packages(path)?;
        return match (all.pop(), all.is_empty()) {
            (Some(only), true) => Ok(only),
            (last, _) => {
                let names: Vec<_> = all.iter().chain(&last).map(|package| package.name.as_str()).collect();
                Err(Error::place(
                    path,
                    format!("there are several drivers: {}. Say which: its folder", names.join(", ")),
                ))
            }
        };
    }
    let named = |package: &Package| package.name == which;
    match packages(Path::new(".")).map(|all| all.into_iter().find(named)) {
        Ok(Some(package)) => Ok(package),
        _ => Err(Error::place(
            path,
            "there is no such package: neither a folder with a Cargo.toml, nor the name of a driver in the current workspace",
        )),
    }
}

/// The drivers in a folder: the package that it is, or those of the workspace that it is; sorted by name.
pub fn packages(folder: &Path) -> Result<Vec<Package>> {
    let manifest = folder.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(Error::place(
            folder,
            "there is no Cargo.toml. Say the folder of a driver, or of a driver repository",
        ));
    }
    let manifest = manifest.canonicalize().map_err(Error::disk(&manifest, "read"))?;
    let mut command = cargo(folder);
    command.args(["metadata", "--no-deps", "--format-version=1", "--manifest-path"]).arg(&manifest);
    let output = command.stderr(Stdio::inherit()).output().map_err(Error::NoCargo)?;
    let unreadable = || Error::Cargo { what: format!("reading {}", manifest.display()) };
    if !output.status.success() {
        return Err(unreadable());
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout).map_err(|_| unreadable())?;
    let mut found = metadata.packages;
    // A package stands for itself, though cargo tells of all its siblings.
    if let Some(this) = found.iter().position(|package| package.manifest_path == manifest) {
        found = vec![found.swap_remove(this)];
    }
    let read = |found: Found| {
        let is_sdk = |on: &Dependency| on.name == "drivers-sdk" && on.kind.is_none();
        let programs = found.targets.iter().filter(|target| target.kind.iter().any(|kind| kind == "bin"));
        let names: Vec<_> = programs.map(|program| &program.name).collect();
        let binary = names.iter().find(|name| ***name == found.name).or(names.first())?.to_string();
        found.dependencies.iter().any(is_sdk).then(|| Package {
            folder: found.manifest_path.parent().map(Path::to_owned).unwrap_or_default(),
            workspace: metadata.workspace_root.clone(),
            name: found.name.clone(),
            binary,
        })
    };
    let mut drivers: Vec<Package> = found.into_iter().filter_map(read).collect();
    drivers.sort_by(|a, b| a.name.cmp(&b.name));
    if drivers.is_empty() {
        let why =
            "there is no driver: a package with a dependency on drivers-sdk and a program (src/main.rs)";
        return Err(Error::place(folder, why));
    }
    Ok(drivers)
}

impl Package {
    /// Builds it; the program's path.
    pub fn build(&self) -> Result<PathBuf> {
        let output = self.cargo_build()?.stderr(Stdio::inherit()).output().map_err(Error::NoCargo)?;
        self.program(&output).ok_or_else(|| Error::Cargo { what: format!("building {}", self.name) })
    }

    /// Builds it, and asks the program what it declares.
    pub fn manifest(&self) -> Result<(PathBuf, Manifest)> {
        let program = self.build()?;
        let manifest = declared(&program)?;
        Ok((program, manifest))
    }

    /// As [`manifest`](Self::manifest), and what goes wrong is not said on the terminal but given: cargo's words. Dropped,
    /// it takes cargo and its compilers with it.
    pub(super) async fn build_silently(&self, colored: bool) -> Result<Result<(PathBuf, Manifest), String>> {
        let mut command = self.cargo_build()?;
        command.args(["--quiet", if colored { "--color=always" } else { "--color=never" }]);
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[expect(clippy::disallowed_methods, reason = "cargo has no parent-death signal: it is ended below")]
        let child = tokio::process::Command::from(command).spawn().map_err(Error::NoCargo)?;
        let group = Group(child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)));
        let output = child.wait_with_output().await.map_err(Error::NoCargo)?;
        group.ended();
        let Some(program) = self.program(&output) else {
            return Ok(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
        };
        let manifest = declared(&program).map_err(|error| error.to_string());
        Ok(manifest.map(|manifest| (program, manifest)))
    }

    fn cargo_build(&self) -> Result<Command> {
        sdk::refresh(&self.workspace)?;
        let mut command = cargo(&self.folder);
        command.args(["build", "--message-format=json-render-diagnostics", "--package", &self.name]);
        command.args(["--bin", &self.binary]);
        Ok(command)
    }

    /// The program that cargo tells of, if it has built it.
    fn program(&self, output: &Output) -> Option<PathBuf> {
        let messages = output.stdout.split(|byte| *byte == b'\n').filter(|_| output.status.success());
        let mut messages = messages.filter_map(|line| serde_json::from_slice::<Message>(line).ok());
        let manifest = self.folder.join("Cargo.toml");
        messages.find_map(|message| {
            let ours = message.reason == "compiler-artifact"
                && message.manifest_path.as_ref() == Some(&manifest)
                && message.target.is_some_and(|target| target.name == self.binary);
            message.executable.filter(|_| ours)
        })
    }
}

/// The processes of a build; killed when it is dropped before they are done.
struct Group(Option<Pid>);

impl Group {
    fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// What a program says that it is.
fn declared(program: &Path) -> Result<Manifest> {
    let output = Command::new(program).arg("--manifest").stdin(Stdio::null()).output();
    let output = output.map_err(Error::disk(program, "run"))?;
    match serde_json::from_slice(&output.stdout) {
        Ok(manifest) if output.status.success() => Ok(manifest),
        _ => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(Error::place(program, format!("`--manifest` gives no manifest ({}): {said}", output.status)))
        }
    }
}

/// Cargo, where it finds the configuration of a repository.
pub(super) fn cargo(folder: &Path) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(folder).stdin(Stdio::null());
    command
}
