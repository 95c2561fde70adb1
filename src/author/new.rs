//! A new driver package that works: a driver, a model of its device, and tests. Then it is the author's.
//!
//! Cargo makes the package (it knows the rules for names, and adds the package to the workspace); what it shows comes from
//! `templates/`, one folder for each kind. They are Rust as it stands, in which three names are exchanged: `NewDriver` for
//! the type and the module name, `New driver` for people. Nothing that exists is overwritten.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fmt, fs, io};

use rust_embed::RustEmbed;

use super::{Error, Result, sdk};

/// How the device is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Lines of text over TCP.
    Tcp,
    /// Datagrams.
    Udp,
    /// A web service, in JSON.
    Http,
    /// Frames of bytes at a serial port, or a gateway to one.
    Serial,
    /// JSON messages over a WebSocket.
    Websocket,
    /// A command line over SSH.
    Ssh,
    /// No device: works with other modules.
    Logic,
}

/// A package that was made.
#[derive(Debug)]
pub struct Made {
    /// The folder of the workspace.
    pub repository: PathBuf,
    /// Whether the workspace was made too.
    pub is_new: bool,
    /// The files of the package, below `repository`.
    pub files: Vec<PathBuf>,
}

/// What there is, and what to do next.
impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repository = self.repository.display();
        let what = if self.is_new { "new driver repository" } else { "driver repository" };
        writeln!(f, "In the {what} {repository} there are now:")?;
        for file in &self.files {
            writeln!(f, "  {}", file.display())?;
        }
        write!(f, "It is a driver that works, with tests: cd {repository} && cargo test")
    }
}

#[derive(RustEmbed)]
#[folder = "src/author/templates"]
struct Templates;

const WORKSPACE: &str = "\
# A driver repository: each member is a driver. Headend builds them from what is committed, and supplies drivers-sdk itself;
# your own cargo finds it through .cargo/config.toml.
[workspace]
members = []
resolver = \"3\"

# Quick to build, and small: a panic names its place, and the rest of what a debugger wants is left out.
[profile.dev]
debug = \"line-tables-only\"
[profile.dev.package.\"*\"]
debug = false
";

const DEPENDENCIES: &str = "\
[dependencies]
drivers-sdk = \"0.1\"

[dev-dependencies]
drivers-sdk = { version = \"0.1\", features = [\"testing\"] }
";

/// Makes the package `name` in the driver repository `folder`, which is made too if the folder has none; without `folder`,
/// in the current one, which must then be a repository or empty.
pub fn new(name: &str, kind: Kind, folder: Option<&Path>) -> Result<Made> {
    let repository = folder.unwrap_or(Path::new("."));
    let is_new = !is_workspace(repository)?;
    if is_new && folder.is_none() && !is_empty(repository)? {
        let why = "the current folder is neither a driver repository nor empty. Say where the driver is to be: --in DIR";
        return Err(Error::place(repository, why));
    }
    let package = repository.join(name);
    if package.exists() {
        return Err(Error::place(&package, "there is something of that name already. Choose another name"));
    }
    let workspace = repository.join("Cargo.toml");
    if is_new {
        sdk::write(&workspace, WORKSPACE)?;
    }
    if let Err(error) = cargo_new(name, &package) {
        if is_new {
            let _ = fs::remove_file(&workspace);
            // Only if there is nothing else in it.
            let _ = fs::remove_dir(repository);
        }
        return Err(error);
    }
    let mut files = vec![Path::new(name).join("Cargo.toml")];
    let manifest = package.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).map_err(Error::disk(&manifest, "read"))?;
    sdk::write(&manifest, &text.replacen("[dependencies]\n", DEPENDENCIES, 1))?;
    for (file, text) in template(kind) {
        let path = Path::new(name).join("src").join(file);
        sdk::write(&repository.join(&path), &fill(&text, name))?;
        files.push(path);
    }
    sdk::ignore(repository, "/target")?;
    sdk::settle(repository)?;
    if !is_under_git(repository) {
        let made = git2::Repository::init(repository);
        made.map_err(|error| Error::place(repository, format!("git init: {}", error.message())))?;
    }
    Ok(Made { repository: repository.to_owned(), is_new, files })
}

/// Whether commits can have what is in the folder. A work tree around it that ignores it does not count.
fn is_under_git(folder: &Path) -> bool {
    let ignores =
        |outer: git2::Repository| outer.is_path_ignored(folder.canonicalize()?).map_err(io::Error::other);
    git2::Repository::discover(folder).is_ok_and(|outer| ignores(outer).is_ok_and(|ignored| !ignored))
}

/// Whether the folder is a workspace; refuses those that can become none.
fn is_workspace(folder: &Path) -> Result<bool> {
    let file = folder.join("Cargo.toml");
    let text = match fs::read_to_string(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        read => read.map_err(Error::disk(&file, "read"))?,
    };
    match text.parse::<toml::Table>() {
        Ok(table) if table.contains_key("workspace") => Ok(true),
        Ok(_) => Err(Error::place(
            &file,
            "this is one package, without a [workspace] that others could join. Give it one, or say another folder: --in DIR",
        )),
        Err(error) => Err(Error::place(&file, format!("this is no TOML: {}", error.message()))),
    }
}

/// Whether there is nothing in the folder, except what git keeps.
fn is_empty(folder: &Path) -> Result<bool> {
    let mut entries = fs::read_dir(folder).map_err(Error::disk(folder, "read"))?;
    Ok(entries.all(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with(".git"))))
}

/// Lets cargo make the package: what it says about a bad name is better than anything here.
fn cargo_new(name: &str, package: &Path) -> Result<()> {
    let mut command = Command::new("cargo");
    command
        .args(["new", "--quiet", "--bin", "--vcs=none"])
        .arg(format!("--name={name}"))
        .arg("--")
        .arg(package);
    let output = command.stdin(Stdio::null()).output().map_err(Error::NoCargo)?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return Ok(());
    }
    // The hints after it are about calling cargo by hand.
    let said = said.lines().next().unwrap_or_default().trim_start_matches("error: ");
    Err(Error::place(package, format!("cargo made no package: {said}")))
}

/// The files of a kind, sorted by name, `main.rs` first.
fn template(kind: Kind) -> Vec<(String, String)> {
    let folder = format!("{kind:?}/").to_lowercase();
    let mut files: Vec<_> = Templates::iter()
        .filter_map(|path| {
            let name = path.strip_prefix(&folder)?.to_owned();
            Some((name, String::from_utf8_lossy(&Templates::get(&path)?.data).into_owned()))
        })
        .collect();
    files.sort_by_key(|(name, _)| (name != "main.rs", name.clone()));
    files
}

/// Puts a package's name into a template.
fn fill(text: &str, name: &str) -> String {
    let words: Vec<String> =
        name.split(['-', '_']).filter(|word| !word.is_empty()).map(capitalized).collect();
    let spoken = words.join(" ").to_lowercase();
    text.replace("NewDriver", &type_name(&words.concat())).replace("New driver", &capitalized(&spoken))
}

/// A name that means something else in a driver gets another end.
fn type_name(name: &str) -> String {
    const TAKEN: &[&str] = &[
        "Box",
        "Cell",
        "Cx",
        "Device",
        "DeviceStream",
        "DeviceWriter",
        "Duration",
        "Emulator",
        "Err",
        "Error",
        "Frame",
        "FromFrame",
        "HttpServer",
        "Level",
        "Matcher",
        "None",
        "Ok",
        "Option",
        "Options",
        "RefCell",
        "Relay",
        "Result",
        "Schedule",
        "Secret",
        "Self",
        "Settings",
        "Some",
        "State",
        "Status",
        "String",
        "Value",
        "Vec",
    ];
    if TAKEN.contains(&name) { format!("{name}Driver") } else { name.to_owned() }
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
