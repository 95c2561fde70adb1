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
    record,
    request::{Hop, Response},
};
use crate::connections::{Reason, recorder::Aside};
use bytes::{Bytes, BytesMut};
use reqwest::{
    StatusCode,
    header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue},
};
use tokio::time::Instant;

/// Of a response that nobody reads, so that its connection can be used again.
const DRAINED: usize = 64 * 1024;

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
            if let Some(tape) = tape {
                record::request(tape, &hop);
            }
            let mut response = self.ask(http, &hop).await?;
            let next = hop.redirected(self.base(), settings, response.status(), response.headers());
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
            if let Some(tape) = tape {
                record::response(tape, &response);
            }
            return Ok(response);
        }
    }

    /// Until the service takes the credentials, or does not.
    async fn ask(&self, http: &reqwest::Client, hop: &Hop) -> Result<reqwest::Response, Error> {
        let (credentials, news) = (self.credentials(), self.news());
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
        for (name, value) in &self.config().settings.headers {
            if let (Ok(name), Ok(mut value)) =
                (name.parse::<HeaderName>(), value.expose().parse::<HeaderValue>())
            {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        let uri = &hop.url[url::Position::BeforePath..url::Position::AfterQuery];
        self.credentials().apply(&mut headers, &Asked { method: hop.method.as_str(), uri, body: &hop.body });
        headers
    }

    async fn body(&self, hop: &Hop, response: &mut reqwest::Response) -> Result<Bytes, Error> {
        let limit = self.config().settings.max_response_bytes;
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
            self.news().send_replace(News::Failed(failure.clone()));
        }
        Error::Failed(failure)
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
