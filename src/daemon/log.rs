//! The daemon's log, on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{Format, Log};

/// Starts the log. The directives were checked when the configuration was read.
pub(super) fn start(options: &Log) {
    let filter = EnvFilter::try_new(&options.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match options.format {
        Format::Human => log.with_ansi(std::io::stderr().is_terminal()).try_init(),
        Format::Json => log.json().flatten_event(true).try_init(),
    };
    if let Err(cause) = started {
        eprintln!("headend: the log does not start: {cause}");
    }
}
