//! What a driver asks for, checked, and where it may go.

use super::{
    error::{self, Error},
    settings::Settings,
};
use bytes::Bytes;
use reqwest::{
    Method, StatusCode, Url,
    header::{
        ACCEPT, ACCEPT_LANGUAGE, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName,
        HeaderValue, LOCATION, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
    },
};
use std::time::Duration;

/// An HTTP request, as a driver makes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// A path under the base, or an absolute URL.
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// Instead of the settings' `timeout_ms`; at most [`LONGEST`].
    pub timeout: Option<Duration>,
    /// As in [`Payload`](crate::connections::Payload).
    pub command: u32,
}

/// What came back, of whatever status. `headers` in order, what is not text in them replaced by U+FFFD.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

/// No exchange may take longer.
pub const LONGEST: Duration = Duration::from_secs(600);

/// The framing of messages is not the driver's to say.
const OURS: [HeaderName; 7] =
    [CONNECTION, CONTENT_LENGTH, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
/// What another origin is told: nothing that might be a key.
pub(super) const HARMLESS: [HeaderName; 4] = [ACCEPT, ACCEPT_LANGUAGE, CONTENT_TYPE, USER_AGENT];

/// One request of an exchange: the first, or what a redirect made of it.
#[derive(Clone)]
pub(super) struct Hop {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Not to the base's origin: without credentials.
    pub(super) foreign: bool,
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Base(pub(super) Url);

impl Base {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let url = Url::parse(text.trim()).map_err(|error| format!("{text:?} is not a URI ({error})"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(format!(
                "{text:?} is not a URI of a service: http://host or https://host, and perhaps a path"
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "a URI is shown to people: put user name and password into connection.http.auth".into()
            );
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("{text:?}: paths are put behind it, so it has no ? or #"));
        }
        Ok(Self(url))
    }

    /// Scheme, host and port.
    pub(super) fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// A path is put behind the base's own.
    pub(super) fn join(&self, text: &str) -> Result<Url, Error> {
        let wrong =
            |error: url::ParseError| Error::Request(format!("{text:?} is not a path or URL: {error}"));
        if text.contains("://")
            && text.split(['/', '?', '#']).next().is_some_and(|scheme| scheme.ends_with(':'))
        {
            return Url::parse(text).map_err(wrong);
        }
        let (base, path) = (self.0.as_str().trim_end_matches('/'), text.trim_start_matches('/'));
        let between =
            if path.is_empty() && self.0.path() != "/" || path.starts_with(['?', '#']) { "" } else { "/" };
        Url::parse(&format!("{base}{between}{path}")).map_err(wrong)
    }

    pub(super) fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.0.origin()
    }

    /// Whether the settings let a request go there.
    fn allows(&self, settings: &Settings, url: &Url) -> bool {
        self.is_own(url)
            || matches!(url.scheme(), "http" | "https")
                && settings.origins.iter().any(|allowed| {
                    allowed == "*"
                        || Url::parse(allowed).is_ok_and(|allowed| allowed.origin() == url.origin())
                })
    }
}

impl Hop {
    pub(super) fn first(base: &Base, settings: &Settings, request: Request) -> Result<Self, Error> {
        let wrong = |what: String| Error::Request(what);
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| wrong(format!("{:?} is not an HTTP method", request.method)))?;
        let url = base.join(&request.url)?;
        if !base.allows(settings, &url) {
            return Err(wrong(format!(
                "{} is not at {}: name it in connection.http.origins if this module may ask there",
                url.origin().ascii_serialization(),
                base.origin()
            )));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            // The value may be secret.
            let name: HeaderName =
                name.parse().map_err(|_| wrong(format!("{name:?} is not the name of an HTTP header")))?;
            if OURS.contains(&name) {
                return Err(wrong(format!("the header {name} is not a driver's to set")));
            }
            let value = HeaderValue::from_str(value).map_err(|_| {
                wrong(format!("the value of the header {name} has characters that none may have"))
            })?;
            headers.append(name, value);
        }
        let foreign = !base.is_own(&url);
        Ok(Self { method, url, headers, body: request.body, foreign })
    }

    /// Where a response redirects to, if that may be followed: RFC 9110, 15.4. A body never goes to another origin.
    pub(super) fn redirected(
        &self,
        base: &Base,
        settings: &Settings,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Option<Self> {
        let method = match status {
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND if self.method == Method::POST => Method::GET,
            StatusCode::SEE_OTHER if self.method != Method::HEAD => Method::GET,
            StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT => self.method.clone(),
            _ => return None,
        };
        let location = std::str::from_utf8(headers.get(LOCATION)?.as_bytes()).ok()?;
        let mut next = Self { url: self.url.join(location).ok()?, method, ..self.clone() };
        if !base.allows(settings, &next.url) {
            return None;
        }
        if next.method != self.method {
            next.body = Bytes::new();
            next.headers.remove(CONTENT_TYPE);
        }
        if next.url.origin() != self.url.origin() {
            if !next.body.is_empty() {
                return None;
            }
            let kept = next.headers.iter().filter(|(name, _)| HARMLESS.contains(name));
            next.headers = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
        }
        next.foreign = !base.is_own(&next.url);
        Some(next)
    }

    /// As it may be shown.
    pub(super) fn shown(&self) -> String {
        error::shown(self.method.as_str(), &self.url)
    }

    /// Whether doing it twice is as good as once: RFC 9110, 9.2.2.
    pub(super) fn repeatable(&self) -> bool {
        self.method.is_idempotent()
    }
}

#[cfg(test)]
mod tests;
