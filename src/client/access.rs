//! Which daemon, and with which key: flags, over the environment, over `~/.config/headend/client.toml`.

use std::{os::unix::fs::MetadataExt as _, path::Path};

use serde::Deserialize;

use super::{Error, Result};
use crate::{config::Located, secrets::Secret};

/// Where a daemon listens if nothing else is said.
const URL: &str = "http://127.0.0.1:8090";

/// The daemon to talk to.
#[derive(Clone, Debug)]
pub struct Access {
    /// Without a slash at its end.
    pub(super) url: String,
    pub(super) key: Option<Secret>,
}

/// What the flags and the environment gave.
#[derive(Clone, Debug, Default)]
pub struct Given {
    pub url: Option<String>,
    pub key: Option<Secret>,
}

/// `client.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    url: Option<String>,
    key: Option<Secret>,
}

impl Access {
    /// Fills in from `file` what was not given. There need not be such a file; one with a key must be its owner's only.
    pub fn new(given: Given, file: Option<&Path>) -> Result<Access> {
        let file = match file {
            Some(path) => read(path)?,
            None => File::default(),
        };
        let url = given.url.or(file.url).unwrap_or_else(|| URL.into());
        let parsed = url::Url::parse(&url).ok();
        if !parsed.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
            return Err(Error::Usage(format!(
                "`{url}` is not the URL of a daemon: expected something like {URL}"
            )));
        }
        Ok(Access { url: url.trim_end_matches('/').into(), key: given.key.or(file.key) })
    }
}

fn read(path: &Path) -> Result<File> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(File::default()),
        Err(cause) => return Err(Error::Usage(format!("cannot read {}: {cause}", path.display()))),
    };
    let name = path.display().to_string();
    let file: File = toml::from_str(&text)
        .map_err(|error| Error::Usage(Located::toml(&name, &text, &error).to_string()))?;
    let mode = path.metadata().map_or(0, |metadata| metadata.mode());
    if file.key.is_some() && mode & 0o077 != 0 {
        let message = format!("{name} holds a key that others can read: run `chmod 600 {name}`");
        return Err(Error::Usage(message));
    }
    Ok(file)
}
