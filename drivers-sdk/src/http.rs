//! HTTP requests, which the daemon makes: to the module's service, or to its device's web server.

use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use drivers_sdk_protocol::Kind;
use drivers_sdk_protocol::message::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::bare;
use crate::error::{Error, Result};
use crate::module::Core;

/// Makes requests: [`Cx::http`](crate::Cx::http).
///
/// The daemon knows the service's address, credentials, cookies and certificates, keeps its connections and waits for a
/// turn: a driver gives paths. A path is put behind the module's base URI; an absolute URL must be of the same origin, or
/// one that the module's settings name.
pub struct Http<'a> {
    core: &'a Rc<Core>,
}

/// A request that is being put together, and made by [`send`](Self::send).
#[must_use = "a request is made by `send`"]
pub struct Request<'a> {
    core: &'a Rc<Core>,
    head: HttpRequest,
    body: Result<Vec<u8>>,
}

/// What came back, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// 200, 404, ….
    pub status: u16,
    /// Name, in lower case, and value of each header, in order.
    pub headers: Vec<(String, String)>,
    /// The body, decompressed.
    pub body: Bytes,
    /// Method and path, for errors.
    what: String,
}

impl std::fmt::Debug for Http<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Http")
    }
}

impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not its query, headers or body: they may hold secrets.
        f.debug_tuple("Request").field(&what(&self.head)).finish()
    }
}

impl<'a> Http<'a> {
    pub(crate) fn new(core: &'a Rc<Core>) -> Http<'a> {
        Http { core }
    }

    /// Asks for something.
    pub fn get(&self, url: impl Into<String>) -> Request<'a> {
        self.request("GET", url)
    }

    /// Hands something over.
    pub fn post(&self, url: impl Into<String>) -> Request<'a> {
        self.request("POST", url)
    }

    /// Puts something in its place.
    pub fn put(&self, url: impl Into<String>) -> Request<'a> {
        self.request("PUT", url)
    }

    /// Changes a part of something.
    pub fn patch(&self, url: impl Into<String>) -> Request<'a> {
        self.request("PATCH", url)
    }

    /// Removes something.
    pub fn delete(&self, url: impl Into<String>) -> Request<'a> {
        self.request("DELETE", url)
    }

    /// Any method.
    pub fn request(&self, method: impl Into<String>, url: impl Into<String>) -> Request<'a> {
        let call = self.core.tasks.call();
        let head = HttpRequest { method: method.into(), url: url.into(), call, ..HttpRequest::default() };
        Request { core: self.core, head, body: Ok(Vec::new()) }
    }
}

impl<'a> Request<'a> {
    /// Adds a parameter to the URL's query; what has a meaning in a URL is escaped.
    pub fn query(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        let (url, fragment) = match self.head.url.split_once('#') {
            Some((url, fragment)) => (url, format!("#{fragment}")),
            None => (self.head.url.as_str(), String::new()),
        };
        let between = if url.contains('?') { '&' } else { '?' };
        self.head.url = format!("{url}{between}{}={}{fragment}", escape(name), escape(&value.to_string()));
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.head.headers.push((name.into(), value.into()));
        self
    }

    /// The body: anything that serializes, as JSON.
    pub fn json(self, body: &(impl Serialize + ?Sized)) -> Self {
        let body = serde_json::to_vec(body).map_err(Error::from);
        Self { body, ..self.typed("application/json") }
    }

    /// The body: the fields of a form.
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let fields: Vec<String> =
            fields.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
        let body = Ok(fields.join("&").into_bytes());
        Self { body, ..self.typed("application/x-www-form-urlencoded") }
    }

    /// The body: text or bytes. What they are is for a header to say.
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: Ok(body.into()), ..self }
    }

    /// How long the whole exchange may take; the module's setting, unless said otherwise.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.head.timeout_ms = Some(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// Makes the request. An error of code `offline`, `timeout`, `device` (the response is too long) or `bad_request`
    /// if there is no response; a response is none, whatever its status:
    /// see [`error_for_status`](Response::error_for_status).
    pub async fn send(self) -> Result<Response> {
        let what = what(&self.head);
        let (head, body) = self.core.exchange(Kind::Http, &self.head, &self.body?).await?;
        let HttpResponse { status, headers } = head;
        Ok(Response { status, headers, body, what })
    }

    fn typed(self, content: &str) -> Self {
        let set = self.head.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if set { self } else { self.header("content-type", content) }
    }
}

impl<'a> IntoFuture for Request<'a> {
    type Output = Result<Response>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Response>> + 'a>>;

    /// As [`send`](Self::send).
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl Response {
    /// Whether its status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Itself, unless its status is 400 or more: then a `device` error that says so, with the beginning of the body.
    pub fn error_for_status(self) -> Result<Response> {
        if self.status < 400 {
            return Ok(self);
        }
        let body = String::from_utf8_lossy(&self.body);
        let said: String = body.trim().chars().take(200).collect();
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        Err(Error::device(format!("{} was answered with status {}{said}", self.what, self.status)))
    }

    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }

    /// The body as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Reads the body as JSON. A status of 400 or more is an error, as is a body of another shape.
    pub fn json<T: DeserializeOwned>(self) -> Result<T> {
        let response = self.error_for_status()?;
        serde_json::from_slice(&response.body)
            .map_err(|error| Error::device(format!("the answer to {}: {}", response.what, bare(&error))))
    }
}

/// Without the query, which may hold secrets.
fn what(head: &HttpRequest) -> String {
    format!("{} {}", head.method, head.url.split(['?', '#']).next().unwrap_or_default())
}

/// RFC 3986, 2.3: all but unreserved characters.
fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}
