//! A page for each driver, in Markdown, from what the driver declares: for those who use it, and have not its source.
//!
//! The same declaration gives the same page.

mod page;
#[cfg(test)]
mod tests;
mod types;

use std::fs;
use std::path::{Path, PathBuf};

pub use page::page;

use super::{Package, Result, sdk};

/// Writes the pages of these drivers, `NAME.md` each; a page that says the same already is left alone.
pub fn write(packages: &[Package], folder: &Path) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for package in packages {
        let (_, manifest) = package.manifest()?;
        let (file, text) = (folder.join(format!("{}.md", package.name)), page(&package.name, &manifest));
        if fs::read_to_string(&file).ok().as_ref() != Some(&text) {
            sdk::write(&file, &text)?;
        }
        written.push(file);
    }
    Ok(written)
}
