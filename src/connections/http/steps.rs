//! What an exchange, which a driver sees as one request, consists of:
//!
//! ```text
//! request ─▶ response ─▶ body, at most `max_response_bytes`
//!  ▲ ▲          │
//!  │ └─ 401 ◀───┤   digest: with the answer to the challenge
//!  └── redirect ┘   within the origin, or to those that are named
//! ```
//!
//! Credentials go to the base's origin and nowhere else.

use super::{
    client::{Client, News},
    digest::Asked,
    error::{self, Error},
    pool, record,
    request::{HARMLESS, Hop, Response},
    response::Incoming,
};
use crate::connections::{Reason, recorder::Aside};
use reqwest::{
    StatusCode,
    cookie::CookieStore as _,
    header::{
        ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE,
        USER_AGENT,
    },
};
use tokio::time::Instant;

impl Client {
    pub(super) async fn follow(
        &self,
        http: &reqwest::Client,
        tape: Option<Aside<'_>>,
        mut hop: Hop,
    ) -> Result<Response, Error> {
        let settings = &self.config().settings;
        let mut redirects = settings.redirects;
        loop {
            let mut response = self.ask(http, tape, &hop).await?;
            let next = hop.redirected(self.base(), settings, response.status(), response.headers());
            if let Some(next) = next.filter(|_| redirects > 0) {
                response.drain().await;
                redirects -= 1;
                hop = next;
                continue;
            }
            let limit = settings.max_response_bytes;
            return match response.read(limit).await {
                Ok(true) => Ok(response.whole()),
                Ok(false) => Err(Error::TooLong { what: hop.shown(), limit }),
                Err(error) => Err(self.failed(&hop, &error)),
            };
        }
    }

    /// Until the service takes the credentials, or does not.
    async fn ask<'a>(
        &self,
        http: &reqwest::Client,
        tape: Option<Aside<'a>>,
        hop: &Hop,
    ) -> Result<Incoming<'a>, Error> {
        let (credentials, news) = (self.credentials(), self.news());
        // Who brings their own is not given others.
        let brought = hop.headers.contains_key(AUTHORIZATION);
        let mut round = 0;
        loop {
            let response = self.send(http, tape, hop).await?;
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
            response.drain().await;
            round += 1;
        }
    }

    /// A connection that had been idle may just be closed: what can be repeated is sent once more.
    async fn send<'a>(
        &self,
        http: &reqwest::Client,
        tape: Option<Aside<'a>>,
        hop: &Hop,
    ) -> Result<Incoming<'a>, Error> {
        let mut again = hop.repeatable();
        loop {
            let request = http.request(hop.method.clone(), hop.url.clone()).headers(self.headers(hop));
            let request = if hop.body.is_empty() { request } else { request.body(hop.body.clone()) };
            let request = request.build().map_err(|error| self.failed(hop, &error))?;
            if let Some(tape) = tape {
                record::request(tape, &request);
            }
            let error = match http.execute(request).await {
                Ok(response) => {
                    self.keep_cookies(hop, response.headers());
                    return Ok(Incoming::new(response, tape));
                }
                Err(error) => error,
            };
            let failure = error::failure(&hop.shown(), &error);
            let ended = matches!(failure.reason, Reason::Closed | Reason::Reset);
            if !(std::mem::take(&mut again) && ended) {
                return Err(self.failed(hop, &error));
            }
            if let Some(tape) = tape {
                record::failure(tape, &failure);
            }
        }
    }

    /// Everything but the framing, so that what is recorded is what is sent. The driver's own come before ours.
    fn headers(&self, hop: &Hop) -> HeaderMap {
        let mut headers = HeaderMap::from_iter([
            (USER_AGENT, HeaderValue::from_static(pool::USER_AGENT)),
            (ACCEPT, HeaderValue::from_static("*/*")),
            (ACCEPT_ENCODING, HeaderValue::from_static("gzip")),
        ]);
        if !hop.foreign {
            self.own_headers(hop, &mut headers);
        }
        headers.extend(hop.headers.clone());
        headers
    }

    /// What only the base's origin is told.
    fn own_headers(&self, hop: &Hop, headers: &mut HeaderMap) {
        for (name, value) in &self.config().settings.headers {
            if let (Ok(name), Ok(mut value)) =
                (name.parse::<HeaderName>(), value.expose().parse::<HeaderValue>())
            {
                value.set_sensitive(!HARMLESS.contains(&name));
                headers.insert(name, value);
            }
        }
        if let Some(cookies) = self.cookies().and_then(|jar| jar.cookies(&hop.url)) {
            headers.insert(COOKIE, cookies);
        }
        let uri = &hop.url[url::Position::BeforePath..url::Position::AfterQuery];
        self.credentials().apply(headers, &Asked { method: hop.method.as_str(), uri, body: &hop.body });
    }

    fn keep_cookies(&self, hop: &Hop, headers: &HeaderMap) {
        if let Some(jar) = self.cookies().filter(|_| !hop.foreign) {
            jar.set_cookies(&mut headers.get_all(SET_COOKIE).iter(), &hop.url);
        }
    }

    fn failed(&self, hop: &Hop, error: &reqwest::Error) -> Error {
        let failure = error::failure(&hop.shown(), error);
        if !hop.foreign {
            self.news().send_replace(News::Failed(failure.clone()));
        }
        Error::Failed(failure)
    }
}
