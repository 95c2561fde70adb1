//! Where cargo finds `drivers-sdk`, which is not on crates.io.
//!
//! A driver asks for `drivers-sdk = "0.1"` and says no more; whoever builds it says where that is. For the author's own cargo
//! the repository's `.cargo/config.toml` does, and names `.headend/drivers-sdk`: a copy of the SDK that this program carries,
//! which git ignores. A repository that names another place is left as it is. (The daemon's builds give the daemon's own
//! copy, whatever stands there.)

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::{Error, Result};
use crate::repositories::build::sdk;

/// In a repository.
const COPY: &str = ".headend/drivers-sdk";
const CONFIG: &str = ".cargo/config.toml";

const PATCH: &str = r#"# Where cargo finds drivers-sdk on your machine: a copy that `headend driver sdk` writes, again after an upgrade of Headend.
# Headend itself gives its own copy when it builds, whatever stands here.
[patch.crates-io.drivers-sdk]
path = ".headend/drivers-sdk"
"#;

/// Sees to it that cargo finds the SDK in this repository; the folder where it is.
pub fn settle(repository: &Path) -> Result<PathBuf> {
    let config = repository.join(CONFIG);
    let text = read(&config)?;
    let place = match place(&config, &text)? {
        Some(place) => repository.join(place),
        None => {
            write(&config, &append(&text, PATCH))?;
            ignore(repository, "/.headend")?;
            repository.join(COPY)
        }
    };
    refresh(repository)?;
    Ok(place)
}

/// Brings the repository's copy of the SDK, if it uses one, to that of this program.
pub(super) fn refresh(repository: &Path) -> Result<()> {
    let config = repository.join(CONFIG);
    if place(&config, &read(&config)?)?.is_some_and(|place| place == Path::new(COPY)) {
        let copy = repository.join(COPY);
        sdk::unpack_to(&copy).map_err(|error| Error::place(&copy, error.to_string()))?;
    }
    Ok(())
}

/// Adds a line to the repository's `.gitignore`, unless it is there.
pub(super) fn ignore(repository: &Path, line: &str) -> Result<()> {
    let file = repository.join(".gitignore");
    let text = read(&file)?;
    let same = |found: &str| found.trim().trim_matches('/') == line.trim_matches('/');
    if text.lines().any(same) { Ok(()) } else { write(&file, &append(&text, &format!("{line}\n"))) }
}

/// The place that a configuration of cargo's gives for the SDK.
fn place(config: &Path, text: &str) -> Result<Option<PathBuf>> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        Error::place(config, format!("this is no TOML: {}", error.message()))
    })?;
    let patch = table.get("patch").and_then(|patch| patch.get("crates-io")?.get("drivers-sdk"));
    Ok(patch.map(|patch| patch.get("path").and_then(toml::Value::as_str).unwrap_or_default().into()))
}

fn append(text: &str, more: &str) -> String {
    match text {
        "" => more.to_owned(),
        text if text.ends_with('\n') => format!("{text}{}{more}", if more.contains('[') { "\n" } else { "" }),
        text => append(&format!("{text}\n"), more),
    }
}

/// A file's text; nothing if there is none.
fn read(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::disk(path, "read")(error)),
        read => Ok(read.unwrap_or_default()),
    }
}

pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(Error::disk(folder, "made"))?;
    fs::File::create(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(Error::disk(path, "written"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_without_a_place_gets_a_copy_which_is_mended_and_ignored_by_git() {
        let folder = tempfile::tempdir().unwrap();
        let repository = folder.path();
        write(&repository.join(".gitignore"), "/target").unwrap();
        write(&repository.join(CONFIG), "[build]\njobs = 2\n").unwrap();
        let place = settle(repository).unwrap();
        assert_eq!(place, repository.join(COPY));
        let sdk = fs::read(place.join("src/lib.rs")).unwrap();
        assert_eq!(read(&repository.join(".gitignore")).unwrap(), "/target\n/.headend\n");
        let config = read(&repository.join(CONFIG)).unwrap();
        assert!(config.starts_with("[build]\njobs = 2\n\n# Where cargo finds"), "{config}");

        // An older one.
        fs::write(place.join("src/lib.rs"), "").unwrap();
        refresh(repository).unwrap();
        assert_eq!(fs::read(place.join("src/lib.rs")).unwrap(), sdk);
        settle(repository).unwrap();
        assert_eq!(read(&repository.join(CONFIG)).unwrap(), config);
        assert_eq!(read(&repository.join(".gitignore")).unwrap(), "/target\n/.headend\n");
    }

    #[test]
    fn a_place_of_the_authors_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let config = "[patch.crates-io]\ndrivers-sdk = { path = \"../headend/drivers-sdk\" }\n";
        write(&folder.path().join(CONFIG), config).unwrap();
        assert_eq!(settle(folder.path()).unwrap(), folder.path().join("../headend/drivers-sdk"));
        assert_eq!(read(&folder.path().join(CONFIG)).unwrap(), config);
        assert!(!folder.path().join(".headend").exists());
    }

    #[test]
    fn a_configuration_that_cannot_be_read_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join(CONFIG), "[patch").unwrap();
        let error = settle(folder.path()).unwrap_err().to_string();
        assert!(error.contains(".cargo/config.toml: this is no TOML"), "{error}");
        assert_eq!(read(&folder.path().join(CONFIG)).unwrap(), "[patch");
    }
}
