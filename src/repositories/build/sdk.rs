//! The daemon's own copy of drivers-sdk. It is part of the binary, so that every driver is built against the SDK that
//! this daemon was tested with; and is unpacked into a folder named by its contents, where cargo is pointed to.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use rust_embed::RustEmbed;

use super::super::{Error, Result};

#[derive(RustEmbed)]
#[folder = "drivers-sdk/src"]
struct Main;

#[derive(RustEmbed)]
#[folder = "drivers-sdk/macros/src"]
struct Macros;

#[derive(RustEmbed)]
#[folder = "drivers-sdk/protocol/src"]
struct Protocol;

const MANIFEST: &str = include_str!("../../../drivers-sdk/Cargo.toml");

/// All files, by their path in the folder.
fn files() -> BTreeMap<String, Cow<'static, [u8]>> {
    let mut files = BTreeMap::new();
    for (path, text) in [
        ("Cargo.toml", MANIFEST),
        ("macros/Cargo.toml", include_str!("../../../drivers-sdk/macros/Cargo.toml")),
        ("protocol/Cargo.toml", include_str!("../../../drivers-sdk/protocol/Cargo.toml")),
    ] {
        files.insert(path.to_owned(), Cow::Borrowed(text.as_bytes()));
    }
    let mut add = |prefix: &str, name: &str, file: Option<rust_embed::EmbeddedFile>| {
        if let Some(file) = file {
            files.insert(format!("{prefix}/{name}"), file.data);
        }
    };
    Main::iter().for_each(|name| add("src", &name, Main::get(&name)));
    Macros::iter().for_each(|name| add("macros/src", &name, Macros::get(&name)));
    Protocol::iter().for_each(|name| add("protocol/src", &name, Protocol::get(&name)));
    files
}

/// The version of the SDK that this daemon carries.
pub(crate) fn version() -> Option<semver::Version> {
    let manifest = MANIFEST.parse::<toml::Table>().ok()?;
    semver::Version::parse(manifest.get("package")?.get("version")?.as_str()?).ok()
}

/// The folder of the SDK below `root`, unpacked if it is not there or not whole.
pub(super) fn unpack(root: &Path) -> Result<PathBuf> {
    let files = files();
    let mut hash = Context::new(&SHA256);
    for (path, contents) in &files {
        hash.update(format!("{path}\0{}\0", contents.len()).as_bytes());
        hash.update(contents);
    }
    let digest = hash.finish();
    let name: String = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let parent = root.join("sdk");
    let place = parent.join(name);
    let unpacked = put(&place, &files).and_then(|changed| {
        // Whatever else is here belongs to another version of the daemon, or was left by a crash.
        for entry in fs::read_dir(&parent)?.filter_map(io::Result::ok).filter(|_| changed) {
            if entry.path() != place {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(changed)
    });
    if unpacked.map_err(|error| Error::disk(&place, "unpacked", &error))? {
        tracing::info!(folder = %place.display(), files = files.len(), "unpacked drivers-sdk");
    }
    Ok(place)
}

/// Makes `place` the folder of the SDK; whatever else was there is gone. One that is whole is not touched, so that cargo
/// has nothing to compile again.
pub(crate) fn unpack_to(place: &Path) -> Result<()> {
    put(place, &files()).map(drop).map_err(|error| Error::disk(place, "unpacked", &error))
}

/// Whether anything had to be written.
fn put(place: &Path, files: &BTreeMap<String, Cow<'static, [u8]>>) -> io::Result<bool> {
    if files.iter().all(|(path, contents)| fs::read(place.join(path)).is_ok_and(|found| found == **contents))
    {
        return Ok(false);
    }
    let parent = place.parent().unwrap_or(place);
    fs::create_dir_all(parent)?;
    let fresh = tempfile::Builder::new().prefix(".new-").tempdir_in(parent)?;
    for (path, contents) in files {
        let path = fresh.path().join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = File::create(path)?;
        file.write_all(contents)?;
        file.sync_all()?;
    }
    match fs::remove_dir_all(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => fs::rename(fresh.path(), place)?,
    }
    let _ = fresh.keep();
    File::open(parent)?.sync_all()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_every_source_file() {
        let carried = files();
        let mut folders =
            vec![PathBuf::from("src"), PathBuf::from("macros/src"), PathBuf::from("protocol/src")];
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("drivers-sdk");
        let mut seen = 3;
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(top.join(&folder)).unwrap() {
                let entry = entry.unwrap();
                let path = folder.join(entry.file_name());
                if entry.file_type().unwrap().is_dir() {
                    folders.push(path);
                } else {
                    let carried = carried.get(path.to_str().unwrap()).unwrap_or_else(|| panic!("{path:?}"));
                    assert_eq!(fs::read(entry.path()).unwrap(), **carried, "{path:?}");
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, carried.len());
        assert!(version().is_some());
    }

    #[test]
    fn unpacks_once_and_mends_what_was_damaged() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("sdk/0123456789abcdef/src")).unwrap();
        let place = unpack(root.path()).unwrap();
        assert!(!root.path().join("sdk/0123456789abcdef").exists());
        let manifest = place.join("Cargo.toml");
        let before = fs::metadata(&manifest).unwrap().modified().unwrap();
        assert_eq!(unpack(root.path()).unwrap(), place);
        assert_eq!(fs::metadata(&manifest).unwrap().modified().unwrap(), before, "it was written again");
        fs::write(&manifest, "").unwrap();
        assert_eq!(unpack(root.path()).unwrap(), place);
        assert_eq!(fs::read_to_string(&manifest).unwrap(), MANIFEST);
    }
}
