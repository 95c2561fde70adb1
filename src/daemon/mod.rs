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

use std::{
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::net::TcpListener;

use crate::{
    api,
    config::Config,
    connections::{self, Connections},
    repositories::{self, Repositories},
    runtime::{self, Runtime},
    secrets::{self, Secret, Vault, key::Key},
    store,
};

use lock::Lock;

/// After the first signal the process ends within this time, whatever hangs.
const STOP: Duration = Duration::from_secs(10);
/// Open requests may go on for this long before the drivers that answer them are told to stop.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

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
    #[error("cannot keep the admin key: {0}")]
    Key(#[from] api::keys::Error),
    #[error("cannot start the runtime: {0}")]
    Runtime(#[from] runtime::Error),
    #[error("cannot make the folder {} anew: {cause}", dir.display())]
    RunDir { dir: PathBuf, cause: std::io::Error },
    #[error("the control API failed: {0}")]
    Api(std::io::Error),
    #[error("the daemon did not stop within {} s and was ended", STOP.as_secs())]
    Stuck,
}

impl Error {
    /// The exit code of the process.
    pub fn code(&self) -> u8 {
        match self {
            Error::First(first::Error::Site(_)) | Error::Key(api::keys::Error::Preset) => 2,
            Error::Lock(lock::Error::InUse { .. }) => 3,
            _ => 1,
        }
    }
}

/// Runs the daemon until a signal stops it. `preset` is the admin key for the first start.
pub fn run(config: Config, preset: Option<Secret>) -> Result<(), Error> {
    log::start(&config.log);
    // Before anything is stored: whoever mends it starts from an empty store again, and gets the site.
    let preset = preset.map(|text| api::keys::preset(text.expose())).transpose()?;
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

/// Makes another admin key and shows it, while no daemon runs: for whoever has lost theirs.
pub fn make_key(config: &Config) -> Result<(), Error> {
    let _lock = Lock::take(&config.data.dir)?;
    let threads = tokio::runtime::Builder::new_current_thread().build().map_err(Error::Threads)?;
    let store = open_store(&config.data.dir)?;
    let key = threads.block_on(api::keys::another(&*store))?;
    tell(&format!("admin API key (shown only now): {}\n", key.expose()));
    Ok(())
}

fn open_store(data: &Path) -> Result<store::Handle, store::Error> {
    store::sqlite::open(data.join("headend.db"))
}

async fn serve(config: Config, preset: Option<Key>) -> Result<(), Error> {
    crate::tls::install_provider();
    let stop = signals::watch().map_err(Error::Threads)?;
    let data = config.data.dir;
    // Before anything runs: a port that is taken must not cost the drivers a start.
    let address = config.server.listen;
    let listener = TcpListener::bind(address).await.map_err(|cause| Error::Listen { address, cause })?;
    let address = listener.local_addr().unwrap_or(address);

    let vault = Arc::new(Vault::open(&data)?);
    let store = open_store(&data)?;
    first::apply(&config.site, &store, &vault, api::now()).await?;
    let key = api::keys::bootstrap(&*store, preset).await?;

    // One file for all: whoever meets a host first pins its key.
    let known_hosts = std::path::absolute(data.join("known_hosts")).ok();
    let builds = repositories::Options { known_hosts: known_hosts.clone(), ..config.builds };
    let repositories = Repositories::open(data.join("repositories"), builds)?;
    let connections = Connections::new(connections::Options { known_hosts, ..config.connections });
    let options = runtime::Options {
        run_dir: run_dir(&data)?,
        trampoline: Some("/proc/self/exe".into()),
        ..config.drivers
    };
    let runtime =
        Runtime::start(store.clone(), vault.clone(), repositories.clone(), connections.clone(), options)?;
    announce(address, &data, key.as_ref());

    let state =
        api::State::new(store, vault, runtime.clone(), repositories.clone(), config.api, stop.clone());
    state.show_connections(connections);
    let mut serving = tokio::spawn(api::serve(listener, api::router(state.clone()), state));
    // The API ends by itself only if it fails.
    let ended = tokio::select! {
        () = stop.cancelled() => None,
        ended = &mut serving => Some(ended),
    };
    let ending = async {
        let open = ended.is_none() && tokio::time::timeout(LAST_REQUESTS, &mut serving).await.is_err();
        tokio::join!(runtime.shutdown(), repositories.shutdown());
        if open {
            let _ = serving.await;
        }
    };
    tokio::time::timeout(STOP, ending).await.map_err(|_| Error::Stuck)?;
    tracing::info!("stopped");
    match ended.and_then(Result::ok) {
        Some(Err(cause)) => Err(Error::Api(cause)),
        _ => Ok(()),
    }
}

/// An empty folder for sockets; a daemon that was killed may have left some.
fn run_dir(data: &Path) -> Result<PathBuf, Error> {
    let dir = data.join("run");
    let made = || {
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        std::fs::create_dir(&dir)
    };
    made().map_err(|cause| Error::RunDir { dir: dir.clone(), cause })?;
    Ok(dir)
}

/// Tells people, on standard output, where it is; and the admin key, this once.
fn announce(address: SocketAddr, data: &Path, key: Option<&Key>) {
    tracing::info!(%address, data = %data.display(), "serving");
    let mut text = format!(
        "Headend {} listens at http://{address}\ndata directory: {}\n",
        env!("CARGO_PKG_VERSION"),
        data.canonicalize().unwrap_or_else(|_| data.into()).display()
    );
    if let Some(key) = key {
        text.push_str(&format!("admin API key (shown only now): {}\n", key.expose()));
    }
    tell(&text);
}

/// Writes to standard output; nobody need be listening.
fn tell(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
