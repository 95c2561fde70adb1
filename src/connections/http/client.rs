//! One module's HTTP client: its pool, credentials, cookies and turns.
//!
//! - An exchange ends by its deadline, whatever it waits for. What it consists of is in `steps`.
//! - What each exchange says of the service is [`News`] for the link that watches it (`link`).

use super::{
    auth::Credentials,
    error::Error,
    pool,
    queue::Queue,
    record,
    request::{Base, Hop, LONGEST, Request, Response},
    settings::Settings,
};
use crate::connections::{Failure, Hub, options::ms, recorder::Recorder, target::Endpoint, tls::Tls};
use parking_lot::Mutex;
use reqwest::{Url, cookie::Jar};
use std::{
    fmt,
    hash::{Hash, Hasher},
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, OnceLock},
};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

/// Cheap to clone. Two are equal if they are configured alike.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    config: Config,
    base: Base,
    /// Most devices are never asked for anything by HTTP.
    used: OnceLock<Box<Used>>,
}

/// What a client needs once it is used.
struct Used {
    http: Mutex<Option<reqwest::Client>>,
    credentials: Credentials,
    /// The cookies of the base's origin, which the jar by itself would not tell from those of its other ports.
    cookies: Option<Jar>,
    queue: Queue,
    news: watch::Sender<News>,
}

/// Where a module's requests go, and how.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// `http://host:port/path`.
    pub base: String,
    /// Connect to this Unix socket, whatever the base says: an emulator.
    pub socket: Option<PathBuf>,
    /// The address of this machine to connect from.
    pub source: Option<IpAddr>,
    pub settings: Arc<Settings>,
    pub tls: Arc<Tls>,
}

/// What the last exchange said about the service.
#[derive(Clone, Debug)]
pub(super) enum News {
    None,
    Answered(Instant),
    /// It did not answer in time, which may be the fault of what it was asked.
    Doubtful,
    Failed(Failure),
    /// It does not take the credentials for this.
    Refused {
        url: Url,
        at: Instant,
        failure: Failure,
    },
}

// === impl Client ===

impl Client {
    /// Connects to nothing yet. The error is for whoever configured it.
    pub fn new(config: Config) -> Result<Self, String> {
        let base = Base::read(&config.base)?;
        config.settings.check()?;
        Ok(Self::with(base, config))
    }

    fn with(base: Base, config: Config) -> Self {
        Self(Arc::new(Inner { config, base, used: OnceLock::new() }))
    }

    fn used(&self) -> &Used {
        let settings = &self.0.config.settings;
        self.0.used.get_or_init(|| {
            Box::new(Used {
                http: Mutex::new(None),
                credentials: Credentials::new(settings.auth.clone()),
                cookies: settings.cookies.then(Jar::default),
                queue: Queue::new(settings.concurrency),
                news: watch::Sender::new(News::None),
            })
        })
    }

    /// The same of an emulator, which listens on a Unix socket and speaks no TLS.
    pub fn emulated(&self, socket: PathBuf) -> Self {
        let mut base = self.0.base.clone();
        // Between http and https this does not fail.
        let _ = base.0.set_scheme("http");
        let config = Config { base: base.0.to_string(), socket: Some(socket), ..self.0.config.clone() };
        Self::with(base, config)
    }

    /// Where TLS is spoken: how.
    pub fn tls(&self) -> Option<&Tls> {
        (self.0.base.0.scheme() == "https").then_some(&*self.0.config.tls)
    }

    /// Whether the last exchange found it well; none if there was none.
    pub(in crate::connections) fn answers(&self) -> Option<bool> {
        match *self.news().borrow() {
            News::None => None,
            News::Answered(_) => Some(true),
            News::Doubtful | News::Failed(_) | News::Refused { .. } => Some(false),
        }
    }

    pub(super) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(super) fn base(&self) -> &Base {
        &self.0.base
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.used().credentials
    }

    pub(super) fn cookies(&self) -> Option<&Jar> {
        self.used().cookies.as_ref()
    }

    pub(super) fn news(&self) -> &watch::Sender<News> {
        &self.used().news
    }

    /// Where connecting reaches the service.
    pub(super) fn endpoint(&self) -> Endpoint {
        let url = &self.0.base.0;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = url.port_or_known_default().unwrap_or_default();
        Endpoint { source: self.0.config.source, ..Endpoint::new(host, port) }
    }

    /// Answers within the request's time-out, or the settings'.
    pub(in crate::connections) async fn exchange(
        &self,
        hub: &Arc<Hub>,
        recorder: Option<&Recorder>,
        request: Request,
    ) -> Result<Response, Error> {
        let Inner { config: Config { settings, .. }, base, .. } = &*self.0;
        let after = request.timeout.unwrap_or_else(|| ms(settings.timeout_ms)).min(LONGEST);
        let deadline = Instant::now() + after;
        let tape = recorder.map(|recorder| recorder.aside(request.command));
        let hop = Hop::first(base, settings, request)?;
        let what = hop.shown();
        let http = self.http(hub).map_err(Error::Failed)?;
        let place = self.used().queue.enter(hop.body.len(), hub.options.queue_bytes).map_err(|waiting| {
            Error::Full { origin: base.origin(), waiting: waiting.requests, bytes: waiting.bytes }
        })?;
        let Ok(turn) = timeout_at(deadline, place.turn()).await else {
            return Err(Error::Late { what, after, waiting: true });
        };
        let foreign = hop.foreign;
        let outcome = timeout_at(deadline, self.follow(&http, tape, hop)).await;
        drop(turn);
        let outcome = outcome.unwrap_or_else(|_| {
            if !foreign {
                self.news().send_replace(News::Doubtful);
            }
            Err(Error::Late { what, after, waiting: false })
        });
        if let (Some(tape), Err(error)) = (tape, &outcome) {
            record::failure(tape, error);
        }
        outcome
    }

    fn http(&self, hub: &Arc<Hub>) -> Result<reqwest::Client, Failure> {
        let mut made = self.used().http.lock();
        if let Some(http) = &*made {
            return Ok(http.clone());
        }
        Ok(made.insert(pool::make(self, hub)?).clone())
    }
}

impl PartialEq for Client {
    fn eq(&self, other: &Self) -> bool {
        self.0.config == other.0.config
    }
}

impl Eq for Client {}

impl Hash for Client {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.config.hash(state);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.0.config).finish()
    }
}

/// The base.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.base.0.as_str())
    }
}
