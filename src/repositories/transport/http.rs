//! git over http and https: the smart protocol, stateless. The advertisement is a GET; every round of the negotiation
//! is a POST whose body libgit2 writes and whose answer it reads.
//!
//! The GET follows redirects, and the POSTs then go where it ended. Credentials are sent to the origin of the
//! configured address only, and https is never left for http.

use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, WWW_AUTHENTICATE};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, redirect};

use super::super::{Error, Result};
use super::Session;

const REDIRECTS: usize = 5;
const ADVERTISEMENT: &str = "application/x-git-upload-pack-advertisement";
const REQUEST: &str = "application/x-git-upload-pack-request";
const RESULT: &str = "application/x-git-upload-pack-result";

/// Where the repository is, once the redirects are known. Shared by the exchanges of one session.
pub(super) struct Place {
    client: Client,
    configured: Url,
    base: Mutex<Url>,
}

impl Place {
    pub(super) fn new(session: &Session, base: &Url) -> io::Result<Arc<Place>> {
        let secure = base.scheme() == "https";
        let policy = redirect::Policy::custom(move |attempt| {
            if attempt.previous().len() > REDIRECTS {
                attempt.error("too many redirects")
            } else if secure && attempt.url().scheme() != "https" {
                attempt.error("it redirects from https to http, which would give the exchange away")
            } else {
                attempt.follow()
            }
        });
        let client = Client::builder()
            // Some servers answer only what calls itself git.
            .user_agent(concat!("git/2 (headend ", env!("CARGO_PKG_VERSION"), ")"))
            .redirect(policy)
            .connect_timeout(std::time::Duration::from_millis(session.options.connect_ms))
            .build();
        let client = client.map_err(|error| {
            session.keep(session.unreachable(reason(&error)));
            io::Error::other("no http client")
        })?;
        Ok(Arc::new(Place { client, configured: base.clone(), base: Mutex::new(base.clone()) }))
    }

    fn endpoint(&self, path: &str) -> Url {
        let mut url = self.base.lock().clone();
        let folder = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{folder}/{path}"));
        url
    }

    fn signed(&self, session: &Session, request: RequestBuilder, url: &Url) -> RequestBuilder {
        let credentials = session.credentials();
        if url.origin() != self.configured.origin() {
            return request;
        }
        match (&credentials.username, &credentials.password) {
            (None, None) => request,
            // A token alone: the forges take any name with it.
            (None, Some(token)) => request.basic_auth("git", Some(token.expose())),
            (Some(name), password) => {
                request.basic_auth(name, Some(password.as_ref().map_or("", |secret| secret.expose())))
            }
        }
    }

    async fn advertisement(&self, session: &Session) -> Result<Response> {
        let mut url = self.endpoint("info/refs");
        url.query_pairs_mut().append_pair("service", "git-upload-pack");
        let request = self.signed(session, self.client.get(url.clone()), &url);
        let response = request.header(ACCEPT, "*/*").send().await;
        let response = checked(session, response.map_err(|error| session.unreachable(reason(&error)))?)?;
        expect_type(session, response.headers(), ADVERTISEMENT)?;
        let mut landed = response.url().clone();
        if landed != url {
            let Some(folder) = landed.path().strip_suffix("/info/refs").map(str::to_owned) else {
                let why = format!("it redirects to {}, which is no git address", shown(&landed));
                return Err(session.unreadable(&why));
            };
            landed.set_path(&folder);
            landed.set_query(None);
            *self.base.lock() = landed;
        }
        Ok(response)
    }

    async fn negotiation(&self, session: &Session, body: Vec<u8>) -> Result<Response> {
        let url = self.endpoint("git-upload-pack");
        let request = self.signed(session, self.client.post(url.clone()), &url);
        let request = request.header(CONTENT_TYPE, REQUEST).header(ACCEPT, RESULT).body(body);
        let response = request.send().await.map_err(|error| session.unreachable(reason(&error)))?;
        let response = checked(session, response)?;
        expect_type(session, response.headers(), RESULT)?;
        Ok(response)
    }
}

fn checked(session: &Session, response: Response) -> Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let credentials = session.credentials();
    let had_some = credentials.username.is_some() || credentials.password.is_some();
    Err(match status {
        StatusCode::UNAUTHORIZED if had_some => {
            session.refused("http status 401. Correct the repository's user name, password or token")
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if !had_some => session.refused(format!(
            "http status {}, and the repository has no credentials. Give it a user name and a password or token",
            status.as_u16()
        )),
        StatusCode::FORBIDDEN => {
            session.refused("http status 403: this user may not read it. Use credentials that may")
        }
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            session.refused("the proxy wants credentials (http status 407). Put them into HTTPS_PROXY")
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => session.unreadable(&format!(
            "http status {}. Check the address, and that these credentials may see it",
            status.as_u16()
        )),
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            session.unreachable(format!("it answered with http status {}", status.as_u16()))
        }
        status => session.unreadable(&format!("it answered with http status {}", status.as_u16())),
    })
}

fn expect_type(session: &Session, headers: &HeaderMap, wanted: &str) -> Result<()> {
    let found = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("nothing");
    let found = found.split(';').next().unwrap_or(found).trim();
    if found == wanted {
        return Ok(());
    }
    let hint = if headers.contains_key(WWW_AUTHENTICATE) { "; it may want credentials" } else { "" };
    Err(session.unreadable(&format!("it answers with {found:?} where git has {wanted:?}{hint}")))
}

/// An address for people: no user information, no query.
fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

/// The innermost cause, which says most; addresses in it would hold the query.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let text =
        if std::ptr::addr_eq(cause, error) { "the request failed".to_owned() } else { cause.to_string() };
    if error.is_connect() { format!("no connection: {text}") } else { text }
}

/// One request and its answer.
pub(super) struct Exchange {
    session: Arc<Session>,
    place: Arc<Place>,
    listing: bool,
    request: Vec<u8>,
    response: Option<Response>,
    chunk: Bytes,
}

impl Exchange {
    pub(super) fn new(session: Arc<Session>, place: Arc<Place>, listing: bool) -> Exchange {
        Exchange { session, place, listing, request: Vec::new(), response: None, chunk: Bytes::new() }
    }
}

impl Write for Exchange {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.response.is_some() {
            return Err(io::Error::other("the request has been sent"));
        }
        self.request.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Exchange {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (session, place) = (&self.session, &self.place);
        let response = match &mut self.response {
            Some(response) => response,
            empty => {
                let request = std::mem::take(&mut self.request);
                let response = session.exchange(async {
                    if self.listing {
                        place.advertisement(session).await
                    } else {
                        place.negotiation(session, request).await
                    }
                })?;
                empty.insert(response)
            }
        };
        while self.chunk.is_empty() {
            let next = session.exchange(async {
                let next: Result<Option<Bytes>, Error> = response.chunk().await.map_err(|error| {
                    session.unreachable(format!("the answer broke off: {}", reason(&error)))
                });
                next
            })?;
            match next {
                Some(bytes) => self.chunk = bytes,
                None => return Ok(0),
            }
        }
        let count = self.chunk.len().min(buffer.len());
        self.chunk.copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}
