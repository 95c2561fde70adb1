//! `headend record`: a module's session, what the recorder still has of it and then what comes, saved until interrupted.

use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};

use super::{Error, Result, Wire, http::Client, wire};

pub(super) async fn run(http: &Client, words: &[String], save: &Path) -> Result<()> {
    let format = Some("recording".to_owned());
    let what = Wire { follow: true, format, save: Some(save.to_owned()), ..Wire::default() };
    let unheard = |cause| Error::Failed(format!("cannot listen for signals: {cause}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unheard)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(unheard)?;
    eprintln!("recording to {}; Ctrl-C ends it", save.display());
    tokio::select! {
        done = wire::run(http, words, &what, false) => return done,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    if let Ok(saved) = std::fs::read(save) {
        // The first line is the head, and a last one that is not whole counts for nothing.
        let lines = saved.iter().filter(|byte| **byte == b'\n').count();
        eprintln!("{} records saved to {}", lines.saturating_sub(1), save.display());
    }
    Ok(())
}
