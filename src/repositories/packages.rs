//! The drivers in a commit: packages with a dependency on drivers-sdk and a program to run, found by reading the Cargo
//! manifests of the commit's tree. No checkout, no cargo.

use std::collections::BTreeMap;

use git2::{ObjectType, TreeWalkMode, TreeWalkResult};
use serde::Serialize;
use toml::{Table, Value};

use super::history::{Reader, folder_of};
use super::{Error, Result};

/// The crate that makes a package a driver.
const SDK: &str = "drivers-sdk";
/// A Cargo.toml larger than this is not read.
const LARGEST_MANIFEST: usize = 1 << 20;

/// A driver in a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Package {
    /// Path of its Cargo.toml in the repository: `pjlink/Cargo.toml`.
    pub file_name: String,
    /// Name of the package.
    pub name: String,
    /// From its Cargo.toml; may be empty.
    pub description: String,
    /// Name of the program.
    #[serde(skip)]
    pub(super) binary: String,
    /// Path of the Cargo.toml of its workspace, if the repository has one for it.
    #[serde(skip)]
    pub(super) workspace: Option<String>,
    /// The version of drivers-sdk it asks for; None if it names a place for it.
    #[serde(skip)]
    pub(super) sdk: Option<String>,
}

/// The drivers in a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Packages {
    /// Full hash of the commit.
    pub commit: String,
    /// Sorted by file name.
    pub drivers: Vec<Package>,
    /// Manifests that could not be read, with the reason.
    pub warnings: Vec<String>,
}

/// Reads a commit. `root`: only packages in this folder.
pub(super) fn find(reader: &Reader, revision: &str, root: Option<&str>) -> Result<Packages> {
    let (commit, tree) = reader.tree(revision)?;
    let root = root.map(|root| root.trim_matches('/')).filter(|root| !root.is_empty() && *root != ".");
    let mut found = Packages { commit: commit.clone(), ..Packages::default() };
    let mut files = Files::default();
    let walked = tree.walk(TreeWalkMode::PreOrder, |folder, entry| {
        let Ok(name) = entry.name() else { return TreeWalkResult::Skip };
        match entry.kind() {
            Some(ObjectType::Tree) if name.starts_with('.') => TreeWalkResult::Skip,
            Some(ObjectType::Blob) => {
                let path = format!("{folder}{name}");
                if name == "Cargo.toml" {
                    files.manifests.insert(path, entry.id());
                } else if name == ".cargo-checksum.json" || name.ends_with(".rs") {
                    files.others.insert(path);
                }
                TreeWalkResult::Ok
            }
            _ => TreeWalkResult::Ok,
        }
    });
    walked.map_err(|error| Error::git(format!("reading commit {commit} of {}", reader.remote), &error))?;
    let manifests = std::mem::take(&mut files.manifests);
    let mut parsed: BTreeMap<String, Table> = BTreeMap::new();
    for (path, id) in manifests {
        let below = root.is_none_or(|root| path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/')));
        // A crate that `cargo vendor` put there is nobody's driver.
        if files.others.contains(&format!("{}.cargo-checksum.json", prefix(&path))) {
            continue;
        }
        let text = reader.repository.find_blob(id).map(|blob| blob.content().to_vec());
        match text.map_err(|error| error.message().to_owned()).and_then(|text| parse(&text)) {
            Ok(table) => {
                parsed.insert(path, table);
            }
            Err(why) if below => found.warnings.push(format!("{path}: {why}")),
            Err(_) => {}
        }
    }
    for path in parsed.keys() {
        let below = root.is_none_or(|root| path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/')));
        if !below {
            continue;
        }
        match package(path, &parsed, &files) {
            Ok(Some(package)) => found.drivers.push(package),
            Ok(None) => {}
            Err(why) => found.warnings.push(format!("{path}: {why}")),
        }
    }
    Ok(found)
}

/// The driver at that path of a commit.
pub(super) fn find_one(reader: &Reader, commit: &str, file_name: &str) -> Result<Package> {
    let found = find(reader, commit, None)?;
    if let Some(package) = found.drivers.iter().find(|package| package.file_name == file_name) {
        return Ok(package.clone());
    }
    let (_, tree) = reader.tree(commit)?;
    let why = match reader.file(&tree, file_name) {
        None => "there is no such file".to_owned(),
        Some(_) => {
            let told = found
                .warnings
                .iter()
                .find_map(|warning| warning.strip_prefix(file_name).and_then(|rest| rest.strip_prefix(": ")));
            told.map_or_else(
                || format!("a driver is a package with a dependency on {SDK} and a program (src/main.rs)"),
                str::to_owned,
            )
        }
    };
    Err(Error::NotADriver {
        remote: reader.remote.clone(),
        commit: found.commit,
        file_name: file_name.to_owned(),
        why,
    })
}

#[derive(Default)]
struct Files {
    manifests: BTreeMap<String, git2::Oid>,
    others: std::collections::BTreeSet<String>,
}

/// Everything of a path up to and with its last slash.
fn prefix(path: &str) -> &str {
    path.rfind('/').map_or("", |slash| path.get(..=slash).unwrap_or(""))
}

fn parse(text: &[u8]) -> Result<Table, String> {
    if text.len() > LARGEST_MANIFEST {
        return Err(format!("it has {} bytes, which no manifest needs", text.len()));
    }
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())?;
    text.parse::<Table>().map_err(|error| error.message().to_owned())
}

/// The driver that a manifest describes; None if it is something else.
fn package(path: &str, all: &BTreeMap<String, Table>, files: &Files) -> Result<Option<Package>, String> {
    let Some(manifest) = all.get(path) else { return Ok(None) };
    let Some(package) = manifest.get("package").or_else(|| manifest.get("project")) else { return Ok(None) };
    let package = package.as_table().ok_or("[package] is not a table")?;
    let name = package.get("name").and_then(Value::as_str).ok_or("[package] has no name")?;
    let workspace = workspace(path, package, all);
    let shared = workspace.as_ref().and_then(|path| all.get(path)?.get("workspace")?.as_table());
    let Some(sdk) = dependency(manifest, shared) else { return Ok(None) };
    let Some(binary) = binary(path, name, manifest, package, files)? else { return Ok(None) };
    let description = match package.get("description") {
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(Value::Table(_)) => {
            let shared = shared.and_then(|shared| shared.get("package")?.get("description")?.as_str());
            shared.unwrap_or_default().trim().to_owned()
        }
        _ => String::new(),
    };
    Ok(Some(Package {
        file_name: path.to_owned(),
        name: name.to_owned(),
        description,
        binary,
        workspace,
        sdk,
    }))
}

/// The manifest of the workspace a package belongs to: itself, the one it names, or the nearest above it.
fn workspace(path: &str, package: &Table, all: &BTreeMap<String, Table>) -> Option<String> {
    let is_root = |path: &String| all.get(path).is_some_and(|manifest| manifest.contains_key("workspace"));
    if is_root(&path.to_owned()) {
        return Some(path.to_owned());
    }
    if let Some(named) = package.get("workspace").and_then(Value::as_str) {
        let mut parts: Vec<&str> = folder_of(path).split('/').filter(|part| !part.is_empty()).collect();
        for part in named.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop()?;
                }
                part => parts.push(part),
            }
        }
        parts.push("Cargo.toml");
        return Some(parts.join("/"));
    }
    let mut folder = folder_of(path);
    while !folder.is_empty() {
        folder = folder.rfind('/').map_or("", |slash| folder.get(..slash).unwrap_or(""));
        let candidate =
            if folder.is_empty() { "Cargo.toml".to_owned() } else { format!("{folder}/Cargo.toml") };
        if is_root(&candidate) {
            let below = path.get(folder.len()..).unwrap_or(path).trim_start_matches('/');
            return (!excluded(&candidate, below, all)).then_some(candidate);
        }
    }
    None
}

/// Whether a workspace's `exclude` names this path (relative to the workspace).
fn excluded(root: &str, path: &str, all: &BTreeMap<String, Table>) -> bool {
    let list = all.get(root).and_then(|manifest| manifest.get("workspace")?.get("exclude")?.as_array());
    list.into_iter().flatten().filter_map(Value::as_str).any(|folder| {
        let folder = folder.trim_start_matches("./").trim_end_matches('/');
        path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    })
}

/// The dependency on drivers-sdk: plain, renamed, for a platform, or by the workspace. Inside: the version it asks for.
fn dependency(manifest: &Table, shared: Option<&Table>) -> Option<Option<String>> {
    let version = |dependency: &Value| match dependency {
        Value::String(version) => Some(version.clone()),
        // With a path or an address, the version is not the daemon's to give.
        Value::Table(table) if table.contains_key("path") || table.contains_key("git") => None,
        Value::Table(table) => table.get("version").and_then(Value::as_str).map(str::to_owned),
        _ => None,
    };
    let is_sdk = |name: &str, dependency: &Value| {
        dependency.get("package").and_then(Value::as_str).unwrap_or(name) == SDK
    };
    let inside = |table: &Table| {
        let all = table.get("dependencies")?.as_table()?;
        all.iter().find_map(|(name, dependency)| {
            let by_workspace = dependency.get("workspace").and_then(Value::as_bool) == Some(true);
            let shared = shared.and_then(|shared| shared.get("dependencies")?.get(name));
            match shared {
                Some(shared) if by_workspace => is_sdk(name, shared).then(|| version(shared)),
                _ => is_sdk(name, dependency).then(|| version(dependency)),
            }
        })
    };
    let targets = manifest.get("target").and_then(Value::as_table);
    inside(manifest).or_else(|| targets?.values().filter_map(Value::as_table).find_map(inside))
}

/// The program of a package, by cargo's rules; None if it has none.
fn binary(
    path: &str,
    name: &str,
    manifest: &Table,
    package: &Table,
    files: &Files,
) -> Result<Option<String>, String> {
    let mut names = std::collections::BTreeSet::new();
    for target in manifest.get("bin").and_then(Value::as_array).into_iter().flatten() {
        if let Some(name) = target.get("name").and_then(Value::as_str) {
            names.insert(name.to_owned());
        }
    }
    let folder = prefix(path);
    if package.get("autobins").and_then(Value::as_bool) != Some(false) {
        if files.others.contains(&format!("{folder}src/main.rs")) {
            // A [[bin]] of another name may have taken src/main.rs over.
            let taken = manifest.get("bin").and_then(Value::as_array).into_iter().flatten();
            let mut paths = taken.filter_map(|target| target.get("path").and_then(Value::as_str));
            if !paths.any(|path| path.trim_start_matches("./") == "src/main.rs") {
                names.insert(name.to_owned());
            }
        }
        let bins = format!("{folder}src/bin/");
        for file in files.others.range(bins.clone()..).take_while(|file| file.starts_with(&bins)) {
            let rest = file.strip_prefix(&bins).unwrap_or_default();
            let stem = rest.strip_suffix("/main.rs").or_else(|| rest.strip_suffix(".rs")).unwrap_or_default();
            if !stem.is_empty() && !stem.contains('/') {
                names.insert(stem.to_owned());
            }
        }
    }
    if let Some(chosen) = package.get("default-run").and_then(Value::as_str) {
        return Ok(Some(chosen.to_owned()));
    }
    if names.len() > 1 && !names.contains(name) {
        let names: Vec<_> = names.into_iter().collect();
        return Err(format!("it has several programs ({}); name one in default-run", names.join(", ")));
    }
    Ok(names.get(name).cloned().or_else(|| names.into_iter().next()))
}
