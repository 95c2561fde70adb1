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
const HARMLESS: [HeaderName; 4] = [ACCEPT, ACCEPT_LANGUAGE, CONTENT_TYPE, USER_AGENT];

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
mod tests {
    use super::*;

    fn base(text: &str) -> Base {
        Base::read(text).expect("a base")
    }

    fn hop(method: &str, url: &str, headers: &[(&str, &str)]) -> Result<Hop, Error> {
        let request = Request {
            method: method.into(),
            url: url.into(),
            headers: headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            body: Bytes::from_static(b"body"),
            timeout: None,
        };
        let settings = Settings { origins: vec!["https://login.test".into()], ..Settings::default() };
        Hop::first(&base("http://host/api"), &settings, request)
    }

    #[test]
    fn paths_go_behind_the_base() {
        for (base, path, whole) in [
            ("http://host", "/status", "http://host/status"),
            ("http://host/", "", "http://host/"),
            ("http://host/api", "", "http://host/api"),
            ("http://host/api/", "status?x=1", "http://host/api/status?x=1"),
            ("https://host:8443/api", "//elsewhere/x", "https://host:8443/api/elsewhere/x"),
            ("http://host/api", "?to=http://other/", "http://host/api?to=http://other/"),
            ("http://host/api", "/a b/ä", "http://host/api/a%20b/%C3%A4"),
            ("http://host/api", "http://other:81/x", "http://other:81/x"),
        ] {
            assert_eq!(super::Base::read(base).expect("base").join(path).expect(path).as_str(), whole);
        }
    }

    #[test]
    fn a_base_is_checked_and_holds_no_password() {
        for (text, about) in [
            ("host", "not a URI"),
            ("ftp://host", "http://host"),
            ("http://user:hunter2@host", "connection.http.auth"),
            ("http://host/?key=1", "no ? or #"),
        ] {
            let why = Base::read(text).expect_err(text);
            assert!(why.contains(about) && !why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn other_origins_are_refused_unless_named() {
        for url in ["https://host/api", "http://host:81/", "http://login.test/", "file:///etc/passwd"] {
            let error = hop("GET", url, &[]).err().unwrap_or_else(|| panic!("{url} is another origin"));
            assert!(error.to_string().contains("connection.http.origins"), "{error}");
        }
        assert!(!hop("GET", "http://host:80/x", &[]).expect("its own").foreign);
        assert!(hop("GET", "https://login.test/token", &[]).expect("named").foreign);
    }

    #[test]
    fn what_cannot_be_sent_is_refused_without_its_value() {
        for (method, name, value) in [
            ("G T", "x", "y"),
            ("GET", "a b", "y"),
            ("GET", "x", "hunter2\n"),
            ("GET", "Content-Length", "3"),
        ] {
            let error = hop(method, "/", &[(name, value)]).err().expect("refused");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn redirects_stay_home_and_take_no_keys_abroad() {
        let settings = Settings { origins: vec!["https://login.test".into()], ..Settings::default() };
        let base = base("http://host/api");
        let to = |from: &Hop, status: u16, location: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, location.parse().expect("value"));
            let status = StatusCode::from_u16(status).expect("status");
            from.redirected(&base, &settings, status, &headers)
        };
        let get = Hop {
            body: Bytes::new(),
            ..hop("GET", "/a", &[("X-Api-Key", "k"), ("Authorization", "a"), ("Accept", "b")]).expect("hop")
        };
        let home = to(&get, 302, "/c?d").expect("followed");
        assert_eq!((home.url.as_str(), home.headers.len(), home.foreign), ("http://host/c?d", 3, false));
        let away = to(&get, 302, "https://login.test/").expect("followed");
        assert!(away.foreign);
        assert_eq!(away.headers.keys().collect::<Vec<_>>(), [&ACCEPT]);
        assert!(to(&get, 302, "https://other.test/").is_none());
        assert!(to(&get, 302, "https://host/api/a").is_none(), "another scheme is another origin");
        assert!(to(&get, 200, "/c").is_none());

        let post = hop("POST", "/a", &[("Content-Type", "text/plain")]).expect("hop");
        let seen = to(&post, 303, "/c").expect("followed");
        assert_eq!((seen.method, seen.body.len(), seen.headers.len()), (Method::GET, 0, 0));
        let again = to(&post, 308, "/c").expect("followed");
        assert_eq!((again.method, again.body.len(), again.headers.len()), (Method::POST, 4, 1));
        assert!(to(&post, 307, "https://login.test/").is_none(), "a body stays home");
        assert!(to(&post, 303, "https://login.test/").expect("followed").body.is_empty());
    }
}
