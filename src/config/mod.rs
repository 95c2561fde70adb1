//! What the daemon is told: a TOML file, over it the environment, over that the command line.
//!
//! A section of the file is the options of one component, and belongs to it. Whatever is wrong is refused before
//! anything starts, with the place it was read from and what was expected; nothing is ignored.

mod file;
mod overrides;
mod ranges;
#[cfg(test)]
mod tests;

pub use file::Located;
pub use overrides::Overrides;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{api, connections, repositories, runtime};

/// Everything that `config.example.toml` shows, with its defaults.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    pub data: Data,
    pub log: Log,
    pub site: Site,
    pub connections: connections::Options,
    pub builds: repositories::Options,
    pub drivers: runtime::Options,
    pub api: api::Options,
}

/// The control API's socket, and the process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address and port of the control API. Port 0 takes a free one.
    #[serde(deserialize_with = "file::address")]
    pub listen: SocketAddr,
    /// Threads that run the daemon's tasks; 0 is one for each core.
    pub worker_threads: usize,
}

/// Where the daemon keeps what must last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// Made at first start, readable by its owner only.
    pub dir: PathBuf,
}

/// What the daemon says about itself, on standard error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// A level, or `tracing` directives such as `info,headend::connections=debug`.
    #[serde(deserialize_with = "file::directives")]
    pub level: String,
    pub format: Format,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people, with colours on a terminal.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// What an empty store is filled with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Site {
    /// A site file (see [`crate::site`]), applied at first start while the store is empty. Empty: none.
    pub file: PathBuf,
}

/// Why a configuration was refused, with the place it was read from.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the configuration {path}: {cause}")]
    Unreadable { path: String, cause: std::io::Error },
    #[error("{0}")]
    Refused(Located),
}

impl Default for Server {
    fn default() -> Self {
        Server { listen: SocketAddr::from(([127, 0, 0, 1], 8090)), worker_threads: 0 }
    }
}

impl Default for Data {
    fn default() -> Self {
        Data { dir: PathBuf::from("/var/lib/headend") }
    }
}

impl Default for Log {
    fn default() -> Self {
        Log { level: "info".into(), format: Format::default() }
    }
}

impl Config {
    /// Reads `file` if one is given, lays the overrides over it, and checks the result. Relative paths in the file
    /// are relative to the file's folder, others to the working directory.
    pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Config, Error> {
        let text = match file {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|cause| Error::Unreadable { path: path.display().to_string(), cause })?,
            None => String::new(),
        };
        let name = file.map(|path| path.display().to_string()).unwrap_or_default();
        let document = file::Document { name: &name, text: &text };

        let mut config = document.parse()?;
        if let Some(folder) = file.and_then(Path::parent) {
            config.resolve(folder);
        }
        let config = overrides.apply(config)?;
        ranges::check(&config, &document, overrides)?;
        Ok(config)
    }

    fn resolve(&mut self, folder: &Path) {
        for path in [&mut self.data.dir, &mut self.site.file] {
            if !path.as_os_str().is_empty() {
                *path = folder.join(&*path);
            }
        }
    }
}
