//! The site file: what an empty store is filled with, in one commit, at first start.
//!
//! Five sections, each a table of resources under names of the file's own, by which the others refer to them. A
//! resource takes the fields that the control API lets a client write, under the same names, but references go by
//! name, and what follows from something else is left out:
//!
//! ```toml
//! [repositories.examples]
//! uri = ".."                              # a URI, or a git work tree relative to this file
//! root_path = "examples"                  # drivers are looked for in this folder only
//! # branch: of a local work tree, the branch it has checked out; else "master"
//!
//! [drivers.projector]
//! repository = "examples"
//! file_name = "drivers/pjlink/Cargo.toml" # in the repository
//! module_name = "Display"
//! role = "device"                         # ssh, device, service, websocket or logic
//! # commit = "HEAD"                       # the newest of the branch, or a hash
//! settings = { poll_seconds = 30 }
//!
//! [zones.campus]
//! tags = ["org"]
//!
//! [zones.level-1]
//! parent = "campus"
//! settings = { quiet_hours = true }
//!
//! [systems.boardroom]
//! name = "Boardroom"                      # default: the name in the file
//! zones = ["campus", "level-1"]           # broadest first: a later zone's settings override an earlier one's
//! modules = ["boardroom-projector", "boardroom-room"]     # the order gives Display_1, Display_2
//! settings = { source = "hdmi" }
//!
//! [modules.boardroom-projector]
//! driver = "projector"
//! ip = "10.0.0.7"
//! port = 4352
//! # running = true
//! settings = { name = "Front" }
//! settings_admin = { password = "JBMIAProjectorLink" }
//!
//! [modules.boardroom-room]                # a logic module belongs to the one system that lists it
//! driver = "room"
//! ```
//!
//! Drivers, zones, systems and modules take `settings` in the clear, and `settings_support`, `settings_admin` and
//! `settings_never_display`, which are sealed at rest and shown to nobody below that level.
//!
//! Any mistake is refused with the file, the line and what was expected; nothing is stored then.

mod entry;
mod local;
mod read;
#[cfg(test)]
mod tests;

use crate::model;

/// Everything a site file describes, with ids given and references resolved. Settings are still in the clear.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Site {
    pub repositories: Vec<model::Repository>,
    pub drivers: Vec<model::Driver>,
    pub zones: Vec<model::Zone>,
    pub systems: Vec<model::System>,
    pub modules: Vec<model::Module>,
    pub settings: Vec<model::Settings>,
}

/// Why a site file was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the site file {path}: {cause}")]
    Unreadable { path: String, cause: std::io::Error },
    #[error("{0}")]
    Refused(crate::config::Located),
}

impl Site {
    /// Reads a site file; `now` (Unix seconds) stamps what it describes.
    pub fn read(path: &std::path::Path, now: i64) -> Result<Site, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| Error::Unreadable { path: path.display().to_string(), cause })?;
        read::read(path, &text, now).map_err(Error::Refused)
    }

    /// How many resources of each kind, for people.
    pub fn summary(&self) -> String {
        format!(
            "{} repositories, {} drivers, {} zones, {} systems, {} modules",
            self.repositories.len(),
            self.drivers.len(),
            self.zones.len(),
            self.systems.len(),
            self.modules.len()
        )
    }
}
