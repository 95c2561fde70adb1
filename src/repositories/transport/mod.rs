//! How git speaks to remotes. libgit2 knows the git protocol; what carries it over http, https, ssh and git:// is
//! here, on the daemon's own asynchronous clients, because libgit2's own need libraries that a fresh machine lacks.
//!
//! One scheme, `headend://<number>/`, is registered with libgit2. The number finds the [`Session`], which holds the
//! address, the credentials and the limits; so libgit2 never sees a credential, and the exact error survives its way
//! through C: the session keeps it.
//!
//! Folders are read by libgit2 itself.

mod duplex;
mod http;
mod ssh;

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Once, OnceLock};
use std::time::{Duration, Instant};

use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream, Transport};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::source::{Credentials, Peer, Remote};
use super::{Error, Options, Result};
use crate::ssh::KnownHosts;

const SCHEME: &str = "headend";

static SESSIONS: LazyLock<Mutex<HashMap<u64, Arc<Session>>>> = LazyLock::new(Mutex::default);

/// Prepares libgit2 for this process; must come before any other use of it. Idempotent.
pub(super) fn install() -> Result<()> {
    static ONCE: Once = Once::new();
    static FAILURE: OnceLock<Error> = OnceLock::new();
    ONCE.call_once(|| {
        crate::tls::install_provider();
        if let Err(error) = prepare() {
            let _ = FAILURE.set(Error::git("registering the transports", &error));
        }
    });
    FAILURE.get().map_or(Ok(()), |error| Err(error.clone()))
}

/// The one place with unsafe code in this crate: two calls that libgit2 does not synchronise itself.
///
/// Safety: both write to process-wide variables of libgit2 and must not run beside any other call into it.
/// [`install`] runs this once, under a `Once`, as the first thing `Repositories::open` does, and nothing else in this
/// crate touches libgit2 without a `Repositories`. The factory holds no borrowed data and may be called from any
/// thread.
///
/// Owner validation is turned off because it defends against running the hooks and commands of a repository that
/// somebody else planted above the current folder. Here no folder is searched for: the path is one that an
/// administrator typed; and nothing in a repository's configuration is run, libgit2 only reads objects. Left on, it
/// would refuse a mounted repository of another user, and the mirrors after the daemon's user changed.
#[allow(unsafe_code)]
fn prepare() -> Result<(), git2::Error> {
    // SAFETY: see above.
    unsafe {
        git2::opts::set_verify_owner_validation(false)?;
        git2::transport::register(SCHEME, |remote| {
            let url = remote.url()?;
            let session = find(url).ok_or_else(|| git2::Error::from_str("no such session"))?;
            let stateless = matches!(session.peer.remote, Remote::Http { .. });
            Transport::smart(remote, stateless, Carrier { session, http: Mutex::default() })
        })
    }
}

fn find(url: &str) -> Option<Arc<Session>> {
    let number = url.strip_prefix(SCHEME)?.strip_prefix("://")?.split('/').next()?.parse().ok()?;
    SESSIONS.lock().get(&number).cloned()
}

/// One conversation with a remote: what to talk to, how long it may take, and what went wrong.
pub(super) struct Session {
    peer: Peer,
    options: Options,
    known_hosts: KnownHosts,
    stop: CancellationToken,
    deadline: Instant,
    failure: Mutex<Option<Error>>,
    runtime: Handle,
}

/// A session that libgit2 can find, until this is dropped.
pub(super) struct Registered {
    number: u64,
    url: String,
}

impl Registered {
    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        SESSIONS.lock().remove(&self.number);
    }
}

impl Session {
    /// The time limit counts from now. Must be called inside the runtime.
    pub(super) fn new(
        peer: Peer,
        options: Options,
        known_hosts: KnownHosts,
        stop: CancellationToken,
    ) -> Arc<Session> {
        let deadline = Instant::now() + Duration::from_millis(options.fetch_ms);
        let (failure, runtime) = (Mutex::default(), Handle::current());
        Arc::new(Session { peer, options, known_hosts, stop, deadline, failure, runtime })
    }

    pub(super) fn remote(&self) -> &Remote {
        &self.peer.remote
    }

    fn credentials(&self) -> &Credentials {
        &self.peer.credentials
    }

    /// Makes the session known to libgit2. A folder is checked here, and given as it is.
    pub(super) fn register(self: &Arc<Self>) -> Result<Registered> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let url = match &self.peer.remote {
            Remote::Folder(path) => {
                let path = self.folder(path)?;
                path.to_str().map(str::to_owned).ok_or_else(|| self.unreadable("its path is not UTF-8"))?
            }
            _ => format!("{SCHEME}://{number}/"),
        };
        SESSIONS.lock().insert(number, self.clone());
        Ok(Registered { number, url })
    }

    fn folder(&self, path: &Path) -> Result<PathBuf> {
        let absolute = path.canonicalize().map_err(|error| Error::Unreachable {
            remote: self.peer.remote.to_string(),
            why: error.to_string(),
        })?;
        if let Err(error) = git2::Repository::open(&absolute) {
            if error.code() != git2::ErrorCode::NotFound {
                return Err(self.unreadable(error.message()));
            }
            let inside = git2::Repository::discover(&absolute).ok().and_then(|found| {
                let top = found.workdir()?.canonicalize().ok()?;
                let below = absolute.strip_prefix(&top).ok()?;
                Some(format!(
                    "it is a folder inside one; use the address {} and the root path {:?}",
                    top.display(),
                    below.display().to_string()
                ))
            });
            let why = inside.unwrap_or_else(|| "there is no git repository in that folder".to_owned());
            return Err(self.unreadable(&why));
        }
        Ok(absolute)
    }

    fn unreadable(&self, why: &str) -> Error {
        Error::NotARepository { remote: self.peer.remote.to_string(), why: why.to_owned() }
    }

    fn unreachable(&self, why: impl Into<String>) -> Error {
        Error::Unreachable { remote: self.peer.remote.to_string(), why: why.into() }
    }

    fn refused(&self, why: impl Into<String>) -> Error {
        Error::Credentials { remote: self.peer.remote.to_string(), why: why.into() }
    }

    /// Whether a transfer that has brought so many bytes may go on; if not, the reason is kept.
    pub(super) fn may_go_on(&self, received: u64) -> bool {
        let error = if self.stop.is_cancelled() {
            Error::Stopped
        } else if Instant::now() >= self.deadline {
            self.timeout("the transfer", self.options.fetch_ms)
        } else if received > self.options.fetch_bytes {
            let limit = self.options.fetch_bytes >> 20;
            self.unreadable(&format!("it is larger than the limit of {limit} MiB"))
        } else {
            return true;
        };
        self.keep(error);
        false
    }

    fn timeout(&self, what: &'static str, ms: u64) -> Error {
        Error::Timeout { remote: self.peer.remote.to_string(), what, ms }
    }

    /// The first failure is the cause; what follows is its echo.
    fn keep(&self, error: Error) {
        self.failure.lock().get_or_insert(error);
    }

    /// What went wrong, when libgit2 reports an error.
    pub(super) fn explain(&self, error: &git2::Error) -> Error {
        if let Some(kept) = self.failure.lock().clone() {
            return kept;
        }
        let message = error.message();
        match (error.class(), error.code()) {
            (git2::ErrorClass::Os, _) if message.contains("No space left") => Error::Git {
                what: format!("fetching {}", self.peer.remote),
                why: "the disk is full; make room and try again".to_owned(),
            },
            (git2::ErrorClass::Repository, git2::ErrorCode::NotFound) => self.unreadable(message),
            // What the remote itself answered, in git's own words.
            (git2::ErrorClass::Net, _) if message.contains("remote error") => self.unreadable(message),
            (git2::ErrorClass::Net, git2::ErrorCode::Eof) => self.unreachable("it closed the connection"),
            _ => Error::Git { what: format!("fetching {}", self.peer.remote), why: message.to_owned() },
        }
    }

    /// Waits for something from a blocking thread: not for longer than `silence`, nor past the deadline or the end of
    /// the daemon. The failure is kept, and libgit2 gets its text.
    fn wait<T>(
        &self,
        what: &'static str,
        silence_ms: u64,
        work: impl Future<Output = Result<T>>,
    ) -> io::Result<T> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let silence = Duration::from_millis(silence_ms);
        let (limit, ms) = if left < silence { (left, self.options.fetch_ms) } else { (silence, silence_ms) };
        let result = self.runtime.block_on(async {
            tokio::select! {
                () = self.stop.cancelled() => Err(Error::Stopped),
                done = tokio::time::timeout(limit, work) => {
                    done.unwrap_or_else(|_| Err(self.timeout(what, ms)))
                }
            }
        });
        result.map_err(|error| {
            let text = error.to_string();
            self.keep(error);
            io::Error::other(text)
        })
    }

    /// Waits for bytes or for room to write them.
    fn exchange<T>(&self, work: impl Future<Output = Result<T>>) -> io::Result<T> {
        self.wait("an answer", self.options.silence_ms, work)
    }

    /// Waits for a connection.
    fn connect<T>(&self, work: impl Future<Output = Result<T>>) -> io::Result<T> {
        self.wait("connecting", self.options.connect_ms, work)
    }
}

/// What libgit2 asks for streams.
struct Carrier {
    session: Arc<Session>,
    http: Mutex<Option<Arc<http::Place>>>,
}

impl SmartSubtransport for Carrier {
    fn action(&self, _: &str, action: Service) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        let session = self.session.clone();
        let listing = match action {
            Service::UploadPackLs => true,
            Service::UploadPack => false,
            _ => return Err(git2::Error::from_str("a mirror is never pushed")),
        };
        let stream: io::Result<Box<dyn SmartSubtransportStream>> = match &session.peer.remote {
            Remote::Folder(_) => Err(io::Error::other("a folder needs no transport")),
            Remote::Http { base } => {
                let place = {
                    let mut place = self.http.lock();
                    match &*place {
                        Some(place) => Ok(place.clone()),
                        None => http::Place::new(&session, base).map(|new| place.insert(new).clone()),
                    }
                };
                place.map(|place| Box::new(http::Exchange::new(session.clone(), place, listing)) as Box<_>)
            }
            Remote::Git { host, port, path } => {
                duplex::open(session.clone(), host, *port, path).map(|stream| Box::new(stream) as Box<_>)
            }
            Remote::Ssh { host, port, path } => {
                ssh::open(session.clone(), host, *port, path).map(|stream| Box::new(stream) as Box<_>)
            }
        };
        stream.map_err(|error| git2::Error::from_str(&error.to_string()))
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}
