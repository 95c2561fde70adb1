//! The daemon: its parts put together, from the lock on the data directory to the last link closed.
//!
//! ```text
//! lock ─► store, vault ─► first start (site, admin key) ─► repositories, connections ─► runtime ─► api
//!                                                    SIGTERM, SIGINT: api ─► runtime ─► store ─► lock
//! ```

mod first;
mod lock;
mod log;
mod signals;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio::net::TcpListener;

use crate::{
    config::Config,
    connections::Connections,
    repositories::{self, Repositories},
    secrets::{self, Secret, Vault},
    store,
};

use lock::Lock;

/// After the first signal the process ends within this time, whatever hangs.
const STOP: Duration = Duration::from_secs(10);

/// Why the daemon did not start, or did not stop as it should.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Lock(#[from] lock::Error),
    #[error("cannot start the daemon's threads: {0}")]
    Threads(std::io::Error),
    #[error(
        "cannot listen at {address}: {cause}. If another program has the port, --listen ADDR takes another one"
    )]
    Listen { address: SocketAddr, cause: std::io::Error },
    #[error("cannot open the store: {0}")]
    Store(#[from] store::Error),
    #[error(transparent)]
    Vault(#[from] secrets::Error),
    #[error(transparent)]
    First(#[from] first::Error),
    #[error("cannot open the repositories: {0}")]
    Repositories(#[from] repositories::Error),
    #[error("the daemon did not stop within {} s and was ended", STOP.as_secs())]
    Stuck,
}

impl Error {
    /// The exit code of the process.
    pub fn code(&self) -> u8 {
        match self {
            Error::First(first::Error::Site(_)) => 2,
            Error::Lock(lock::Error::InUse { .. }) => 3,
            _ => 1,
        }
    }
}

/// Runs the daemon until a signal stops it. `preset` is the admin key for the first start.
pub fn run(config: Config, preset: Option<Secret>) -> Result<(), Error> {
    log::start(&config.log);
    let _lock = Lock::take(&config.data.dir)?;
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    if config.server.worker_threads > 0 {
        threads.worker_threads(config.server.worker_threads);
    }
    let threads = threads.enable_all().build().map_err(Error::Threads)?;
    let done = threads.block_on(serve(config, preset));
    // What still runs on a blocking thread must not hold the process.
    threads.shutdown_background();
    done
}

async fn serve(config: Config, preset: Option<Secret>) -> Result<(), Error> {
    crate::tls::install_provider();
    let stop = signals::watch().map_err(Error::Threads)?;
    let data = config.data.dir;
    // Before anything runs: a port that is taken must not cost the drivers a start.
    let address = config.server.listen;
    let listener = TcpListener::bind(address).await.map_err(|cause| Error::Listen { address, cause })?;
    let store = store::sqlite::open(data.join("headend.db"))?;
    let vault = Arc::new(Vault::open(&data)?);
    if vault.is_new() && *store.head().borrow() > 0 {
        tracing::warn!(
            data = %data.display(),
            "the vault's key was missing and a new one was made: settings and passwords that were sealed with the old \
             one cannot be read. Stop, and restore vault.key from a backup, or enter them again"
        );
    }
    first::apply(&config.site, &store, &vault, 0).await?;
    stop.cancelled().await;
    Ok(())
}
