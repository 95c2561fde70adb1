//! HTTP for models of services: as much of HTTP/1.1 (RFC 9112) as the daemon speaks to them.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::DeviceStream;
use crate::args::bare;
use crate::error::{Error, Result};

/// The head of a request, and its body, may have so many bytes each.
const LIMIT: usize = 1024 * 1024;

/// A service's end of a connection.
#[derive(Debug)]
pub struct HttpServer {
    stream: DeviceStream,
    buffer: Vec<u8>,
    /// The request before wants no body.
    head_only: bool,
}

/// A request as a service sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpRequest {
    /// `GET`, `POST`, ….
    pub method: String,
    /// Without the query; not decoded.
    pub path: String,
    /// Names and values, decoded.
    pub query: Vec<(String, String)>,
    /// Names, in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// As it came.
    pub body: Vec<u8>,
}

impl HttpServer {
    /// Of a connection that a session has been given.
    pub fn new(stream: DeviceStream) -> HttpServer {
        HttpServer { stream, buffer: Vec::new(), head_only: false }
    }

    /// The next request; `None` when the peer closed the connection.
    pub async fn next(&mut self) -> Result<Option<HttpRequest>> {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if !self.more().await? {
                return Ok(None);
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let mut request = HttpRequest::read(&String::from_utf8_lossy(&head))?;
        let length = request.header("content-length").map_or(Ok(0), str::parse)?;
        while self.buffer.len() < length {
            if !self.more().await? {
                return Ok(None);
            }
        }
        request.body = self.buffer.drain(..length).collect();
        self.head_only = request.method == "HEAD";
        Ok(Some(request))
    }

    async fn more(&mut self) -> Result<bool> {
        if self.buffer.len() > LIMIT {
            return Err(Error::device(format!("a request is longer than {LIMIT} bytes")));
        }
        let frame = self.stream.next().await?;
        Ok(frame.is_some_and(|frame| {
            self.buffer.extend_from_slice(&frame);
            true
        }))
    }

    /// Answers the request before, in JSON.
    pub async fn answer(&self, status: u16, body: &(impl Serialize + ?Sized)) -> Result {
        self.answer_with(status, &[("content-type", "application/json")], serde_json::to_vec(body)?).await
    }

    /// Answers the request before with any headers, and text or bytes. What says how long the body is comes by itself.
    pub async fn answer_with(
        &self,
        status: u16,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Result {
        let body = body.into();
        let mut answer = format!("HTTP/1.1 {status} -\r\n");
        for (name, value) in headers {
            if name.contains(['\r', '\n', ':']) || value.contains(['\r', '\n']) {
                return Err(Error::driver(format!("{name:?}: {value:?} is no header")));
            }
            answer += &format!("{name}: {value}\r\n");
        }
        // RFC 9110, 6.4.1: these have no body.
        let none = matches!(status, 100..200 | 204 | 304);
        if !none {
            answer += &format!("content-length: {}\r\n", body.len());
        }
        let mut answer = (answer + "\r\n").into_bytes();
        if !none && !self.head_only {
            answer.extend(body);
        }
        self.stream.send(answer).await
    }
}

impl HttpRequest {
    fn read(head: &str) -> Result<HttpRequest> {
        let mut lines = head.lines();
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Err(Error::device(format!("this is no HTTP request: {head:?}")));
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        });
        let headers = lines.filter_map(|line| line.split_once(':'));
        Ok(HttpRequest {
            method: method.into(),
            path: path.into(),
            query: pairs.collect(),
            headers: headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().into())).collect(),
            body: Vec::new(),
        })
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

    /// Reads the body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| Error::bad_request(bare(&error)))
    }
}

/// `%20` and `+` are spaces.
fn decoded(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [bytes.next(), bytes.next()].map(|digit| digit.map_or('x', char::from));
                let digits: String = digits.into_iter().collect();
                u8::from_str_radix(&digits, 16).unwrap_or(b'?')
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&out).into_owned()
}
