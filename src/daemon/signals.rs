//! SIGTERM and SIGINT: the first asks the daemon to stop, the second ends it at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Watches from now on; the token is cancelled by the first signal. Must be called on a tokio runtime.
pub(super) fn watch() -> std::io::Result<CancellationToken> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        let name = tokio::select! { _ = term.recv() => "SIGTERM", _ = int.recv() => "SIGINT" };
        tracing::info!("{name}: stopping; a second signal ends the daemon at once");
        stop.cancel();
        let name = tokio::select! { _ = term.recv() => "SIGTERM", _ = int.recv() => "SIGINT" };
        tracing::warn!("{name} again: ending at once");
        std::process::exit(1);
    });
    Ok(token)
}
