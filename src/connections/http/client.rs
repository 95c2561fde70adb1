//! One module's HTTP client: its pool, credentials, cookies and turns. An exchange is what a driver sees as one request:
//!
//! ```text
//! turn ─▶ request ─▶ response ─▶ body, at most `max_response_bytes`
//!          ▲ ▲          │
//!          │ └─ 401 ◀───┤   digest: with the answer to the challenge
//!          └── redirect ┘   within the origin, or to those that are named
//! ```
//!
//! - Credentials go to the base's origin and nowhere else.
//! - An exchange ends by its deadline, whatever it waits for.
//! - What each exchange says of the service is [`News`] for the link that watches it (`link`).

use super::{
    auth::Credentials,
    digest::Asked,
    error::{self, Error},
    pool,
    queue::Queue,
    record,
    request::{Base, Hop, LONGEST, Request, Response},
    settings::Settings,
};
use crate::connections::{Failure, Hub, Reason, options::ms, recorder::Recorder, target::Endpoint, tls::Tls};
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use reqwest::{
    StatusCode, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue},
};
use std::{
    fmt,
    hash::{Hash, Hasher},
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

/// Of a response that nobody reads, so that its connection can be used again.
const DRAINED: usize = 64 * 1024;

/// Cheap to clone. Two are equal if they are configured alike.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    config: Config,
    base: Base,
    /// Made when it is first needed.
    http: Mutex<Option<reqwest::Client>>,
    credentials: Credentials,
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
        Self(Arc::new(Inner {
            credentials: Credentials::new(config.settings.auth.clone()),
            queue: Queue::new(config.settings.concurrency),
            news: watch::Sender::new(News::None),
            http: Mutex::new(None),
            base,
            config,
        }))
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
        match *self.0.news.borrow() {
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

    pub(super) fn news(&self) -> &watch::Sender<News> {
        &self.0.news
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
        let Inner { config: Config { settings, .. }, base, queue, .. } = &*self.0;
        let after = request.timeout.unwrap_or_else(|| ms(settings.timeout_ms)).min(LONGEST);
        let deadline = Instant::now() + after;
        let hop = Hop::first(base, settings, request)?;
        let what = hop.shown();
        let http = self.http(hub).map_err(Error::Failed)?;
        let place = queue.enter(hop.body.len(), hub.options.queue_bytes).map_err(|waiting| Error::Full {
            origin: base.origin(),
            waiting: waiting.requests,
            bytes: waiting.bytes,
        })?;
        let Ok(turn) = timeout_at(deadline, place.turn()).await else {
            return Err(Error::Late { what, after, waiting: true });
        };
        let foreign = hop.foreign;
        let outcome = timeout_at(deadline, self.follow(&http, recorder, hop)).await;
        drop(turn);
        let outcome = outcome.unwrap_or_else(|_| {
            if !foreign {
                self.0.news.send_replace(News::Doubtful);
            }
            Err(Error::Late { what, after, waiting: false })
        });
        if let (Some(recorder), Err(error)) = (recorder, &outcome) {
            record::failure(recorder, error);
        }
        outcome
    }

    async fn follow(
        &self,
        http: &reqwest::Client,
        recorder: Option<&Recorder>,
        mut hop: Hop,
    ) -> Result<Response, Error> {
        let settings = &self.0.config.settings;
        let mut redirects = settings.redirects;
        loop {
            if let Some(recorder) = recorder {
                record::request(recorder, &hop);
            }
            let mut response = self.ask(http, &hop).await?;
            let next = hop.redirected(&self.0.base, settings, response.status(), response.headers());
            if let Some(next) = next.filter(|_| redirects > 0) {
                drain(&mut response).await;
                redirects -= 1;
                hop = next;
                continue;
            }
            let body = self.body(&hop, &mut response).await?;
            let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            let headers = response.headers().iter();
            let headers = headers.map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
            let response = Response { status: response.status().as_u16(), headers, body };
            if let Some(recorder) = recorder {
                record::response(recorder, &response);
            }
            return Ok(response);
        }
    }

    /// Until the service takes the credentials, or does not.
    async fn ask(&self, http: &reqwest::Client, hop: &Hop) -> Result<reqwest::Response, Error> {
        let Inner { credentials, news, .. } = &*self.0;
        // Who brings their own is not given others.
        let brought = hop.headers.contains_key(AUTHORIZATION);
        let mut round = 0;
        loop {
            let mut response = self.send(http, hop).await?;
            let refused = match response.status() {
                _ if hop.foreign => return Ok(response),
                StatusCode::UNAUTHORIZED if !brought => credentials.kind(),
                StatusCode::PROXY_AUTHENTICATION_REQUIRED => Some("the proxy's"),
                _ => None,
            };
            let Some(refused) = refused else {
                credentials.accepted(response.headers());
                news.send_replace(News::Answered(Instant::now()));
                return Ok(response);
            };
            if !credentials.challenged(response.headers(), round) {
                let failure = error::refused(&hop.shown(), response.status().as_u16(), refused);
                news.send_replace(News::Refused { url: hop.url.clone(), at: Instant::now(), failure });
                return Ok(response);
            }
            drain(&mut response).await;
            round += 1;
        }
    }

    /// A connection that had been idle may just be closed: what can be repeated is sent once more.
    async fn send(&self, http: &reqwest::Client, hop: &Hop) -> Result<reqwest::Response, Error> {
        let mut again = hop.repeatable();
        loop {
            let mut headers = if hop.foreign { HeaderMap::new() } else { self.own_headers(hop) };
            headers.extend(hop.headers.clone());
            let request = http.request(hop.method.clone(), hop.url.clone()).headers(headers);
            let request = if hop.body.is_empty() { request } else { request.body(hop.body.clone()) };
            let error = match request.send().await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            let ended = matches!(error::failure("", &error).reason, Reason::Closed | Reason::Reset);
            if !(std::mem::take(&mut again) && ended) {
                return Err(self.failed(hop, &error));
            }
        }
    }

    /// What only the base's origin is told.
    fn own_headers(&self, hop: &Hop) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.0.config.settings.headers {
            if let (Ok(name), Ok(mut value)) =
                (name.parse::<HeaderName>(), value.expose().parse::<HeaderValue>())
            {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        let uri = &hop.url[url::Position::BeforePath..url::Position::AfterQuery];
        self.0.credentials.apply(&mut headers, &Asked { method: hop.method.as_str(), uri, body: &hop.body });
        headers
    }

    async fn body(&self, hop: &Hop, response: &mut reqwest::Response) -> Result<Bytes, Error> {
        let limit = self.0.config.settings.max_response_bytes;
        let too_long = || Error::TooLong { what: hop.shown(), limit };
        if response.content_length().is_some_and(|length| length > limit as u64) {
            return Err(too_long());
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(hop, &error))? {
            if body.len() + chunk.len() > limit {
                return Err(too_long());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    fn failed(&self, hop: &Hop, error: &reqwest::Error) -> Error {
        let failure = error::failure(&hop.shown(), error);
        if !hop.foreign {
            self.0.news.send_replace(News::Failed(failure.clone()));
        }
        Error::Failed(failure)
    }

    fn http(&self, hub: &Arc<Hub>) -> Result<reqwest::Client, Failure> {
        let mut made = self.0.http.lock();
        if let Some(http) = &*made {
            return Ok(http.clone());
        }
        Ok(made.insert(pool::make(self, hub)?).clone())
    }
}

async fn drain(response: &mut reqwest::Response) {
    let mut left = DRAINED;
    while let Ok(Some(chunk)) = response.chunk().await {
        match left.checked_sub(chunk.len()) {
            Some(rest) => left = rest,
            None => return,
        }
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
