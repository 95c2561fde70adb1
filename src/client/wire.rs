//! `headend wire`: what went over a module's wire, shown, followed until interrupted, or saved to a file.

use std::{
    fs::File,
    io::{IsTerminal as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    Error, Result, Wire,
    find::{self, Place, Target},
    http::{Client, Route},
    table::{print, print_json},
};

/// Where what comes goes.
enum Out {
    Screen,
    File(File, PathBuf),
}

pub(super) async fn run(http: &Client, words: &[String], wire: &Wire, json: bool) -> Result<()> {
    let format = format(wire, json)?;
    let binary = format == "pcapng" && wire.save.is_none();
    if binary && std::io::stdout().is_terminal() {
        let message = "pcapng is not for the terminal: give a file with --save FILE.pcapng, or pipe it: | wireshark -k -i -";
        return Err(Error::Usage(message.into()));
    }
    let (Target::Module(place), _) = find::target(http, words, true).await? else {
        return Err(Error::Usage("wire shows what went over one module's wire: name a module".into()));
    };
    let mut query = vec![("format", format.to_owned()), ("follow", wire.follow.to_string())];
    query.extend(wire.last.map(|last| ("limit", last.to_string())));
    query.extend(wire.direction.clone().map(|direction| ("direction", direction)));
    let route = Route::new(&["modules", place.id(), "wire"]);
    // The file is not touched before the daemon has answered.
    let mut answer = http.stream(&route, &query, wire.follow).await?;
    let mut out = Out::new(wire.save.as_deref())?;
    let lost = |cause: reqwest::Error| http.unreachable(&cause);
    if matches!(out, Out::Screen) && !wire.follow {
        let body = answer.bytes().await.map_err(lost)?;
        return show(&place, format, &body);
    }
    while let Some(piece) = answer.chunk().await.map_err(lost)? {
        out.write(&piece)?;
    }
    match out {
        _ if wire.follow => {
            let why =
                "it has ended the recording: it stops, the module is gone, or the key is no longer good";
            Err(Error::Unreachable { url: http.access.url.clone(), why: why.into() })
        }
        Out::File(file, path) => {
            let bytes = file.metadata().map_or(0, |file| file.len());
            eprintln!("{} bytes saved to {}", bytes, path.display());
            Ok(())
        }
        Out::Screen => Ok(()),
    }
}

/// As it was asked for, or as the file's name says.
fn format(wire: &Wire, json: bool) -> Result<&str> {
    if let Some(format) = &wire.format {
        return Ok(format);
    }
    let Some(path) = &wire.save else { return Ok(if json { "json" } else { "text" }) };
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("pcapng") => Ok("pcapng"),
        Some("recording") => Ok("recording"),
        _ => Err(Error::Usage(format!(
            "{}: what kind of file? Let its name end in .pcapng (for Wireshark) or .recording (to be read back), or add --format",
            path.display()
        ))),
    }
}

fn show(place: &Place, format: &str, body: &[u8]) -> Result<()> {
    match format {
        "json" => {
            let records: Vec<Value> = serde_json::from_slice(body)
                .map_err(|_| Error::Failed("the daemon gave no list of records".into()))?;
            records.iter().for_each(print_json);
        }
        "text" | "hex" if body.is_empty() => {
            print(&format!("Nothing has gone over the wire of {} yet.\n", place.title()));
        }
        _ => Out::Screen.write(body)?,
    }
    Ok(())
}

impl Out {
    /// A file is for its owner only: secrets are hidden in it, but what a device says may be private all the same.
    fn new(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(Out::Screen) };
        let opened = File::options().write(true).create(true).truncate(true).mode(0o600).open(path);
        let file =
            opened.map_err(|cause| Error::Usage(format!("cannot write {}: {cause}", path.display())))?;
        Ok(Out::File(file, path.to_owned()))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Out::Screen => {
                let mut out = std::io::stdout().lock();
                if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
                    std::process::exit(0);
                }
                Ok(())
            }
            Out::File(file, path) => file
                .write_all(bytes)
                .map_err(|cause| Error::Failed(format!("cannot write {}: {cause}", path.display()))),
        }
    }
}
