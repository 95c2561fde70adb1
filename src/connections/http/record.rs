//! Exchanges for the flight recorder: as HTTP/1.1 would have them on the wire, but for what nobody may read.
//!
//! Left out: credentials, cookies and the module's own headers. Masked: the values of whatever is called a key, token or the
//! like, in queries, headers, forms and JSON. What the recorder knows to be secret it hides itself. Of a body only the
//! beginning is kept; `x-whole-length` says how long it was.

use super::request::{Hop, Response};
use crate::connections::recorder::Aside;
use reqwest::Url;
use serde_json::Value;
use std::fmt::Write as _;

/// Of a body.
const KEPT: usize = 4096;
/// JSON that is longer is not looked into for what to mask, and therefore not kept.
const PARSED: usize = 64 * 1024;
const MASK: &str = "***";

pub(super) fn request(tape: Aside<'_>, hop: &Hop) {
    let Hop { method, url, headers, body, .. } = hop;
    let mut text = format!("{method} {} HTTP/1.1\r\nhost: {}\r\n", path(url), url.authority());
    let headers =
        headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())));
    let kind = lines(&mut text, headers);
    tape.sent(&whole(text, kind.as_deref(), body));
}

pub(super) fn response(tape: Aside<'_>, response: &Response) {
    let mut text = format!("HTTP/1.1 {}\r\n", response.status);
    let headers = response.headers.iter().map(|(name, value)| (name.as_str(), value.as_str().into()));
    let kind = lines(&mut text, headers);
    tape.received(&whole(text, kind.as_deref(), &response.body));
}

/// Why there was no response.
pub(super) fn failure(tape: Aside<'_>, error: &super::Error) {
    tape.received(format!("({error})\r\n").as_bytes());
}

/// Gives the content type.
fn lines<'a>(
    text: &mut String,
    headers: impl Iterator<Item = (&'a str, std::borrow::Cow<'a, str>)>,
) -> Option<String> {
    let mut kind = None;
    for (name, value) in headers {
        match name {
            "content-length" | "transfer-encoding" => continue,
            "content-type" => kind = Some(value.to_ascii_lowercase()),
            _ => {}
        }
        let value = if is_secret(name) { MASK } else { &value };
        // Writing to a string cannot fail.
        let _ = write!(text, "{name}: {value}\r\n");
    }
    kind
}

fn whole(mut text: String, kind: Option<&str>, body: &[u8]) -> Vec<u8> {
    let kind = kind.unwrap_or_default();
    let masked = match kind {
        _ if body.is_empty() => None,
        _ if kind.contains("json") && body.len() > PARSED => Some(Vec::new()),
        _ if kind.contains("json") => serde_json::from_slice(body).ok().map(|mut value| {
            mask(&mut value);
            value.to_string().into_bytes()
        }),
        _ if kind.contains("x-www-form-urlencoded") => {
            Some(pairs(&String::from_utf8_lossy(body)).into_bytes())
        }
        _ => None,
    };
    let shown = masked.as_deref().unwrap_or(body);
    let kept = shown.get(..KEPT).unwrap_or(shown);
    // Before the body: that a secret is cut off shows at the end of a message.
    if kept.len() < shown.len() || (shown.is_empty() && !body.is_empty()) {
        let _ = write!(text, "x-whole-length: {}\r\n", body.len());
    }
    let _ = write!(text, "content-length: {}\r\n\r\n", kept.len());
    [text.as_bytes(), kept].concat()
}

fn path(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{}", url.path(), pairs(query)),
        None => url.path().to_owned(),
    }
}

/// `a=b&token=***`.
fn pairs(text: &str) -> String {
    let pair = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}={MASK}"),
        _ => pair.to_owned(),
    };
    text.split('&').map(pair).collect::<Vec<_>>().join("&")
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if is_secret(name) && !(value.is_object() || value.is_array()) {
                    *value = MASK.into();
                } else {
                    mask(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        _ => {}
    }
}

/// Going by its name.
fn is_secret(name: &str) -> bool {
    const WORDS: [&str; 9] = ["key", "token", "secret", "passw", "pwd", "auth", "cookie", "session", "sig"];
    let name = name.to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word)) && name != "www-authenticate"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connections::recorder::{Event, Recorder};
    use reqwest::{Method, header::HeaderMap};

    fn recorded(recorder: &Recorder) -> Vec<String> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let data = recorder.records().into_iter().filter_map(|record| match record.event {
            Event::Sent(data) | Event::Received(data) => Some(text(data.bytes)),
            _ => None,
        });
        data.collect()
    }

    #[test]
    fn it_reads_like_http_and_holds_no_secret() {
        let recorder = Recorder::new(1 << 20).expect("a recorder");
        let mut headers = HeaderMap::new();
        headers.insert("x-api-key", "hunter2".parse().expect("value"));
        headers.insert("authorization", "Bearer hunter2".parse().expect("value"));
        headers.insert("content-type", "application/json".parse().expect("value"));
        let body = r#"{"user":"otto","password":"hunter2","deep":[{"accessToken":"hunter2"}]}"#;
        request(
            recorder.aside(0),
            &Hop {
                method: Method::POST,
                url: "http://host:81/login?a=b&sid_token=hunter2".parse().expect("url"),
                headers,
                body: body.into(),
                foreign: false,
            },
        );
        response(
            recorder.aside(0),
            &Response {
                status: 200,
                headers: vec![
                    ("set-cookie".into(), "sid=hunter2".into()),
                    ("content-type".into(), "text/plain".into()),
                ],
                body: "x".repeat(5000).into(),
            },
        );
        let recorded = recorded(&recorder);
        assert_eq!(
            recorded[0],
            "POST /login?a=b&sid_token=*** HTTP/1.1\r\nhost: host:81\r\nx-api-key: ***\r\nauthorization: ***\r\n\
             content-type: application/json\r\ncontent-length: 67\r\n\r\n\
             {\"user\":\"otto\",\"password\":\"***\",\"deep\":[{\"accessToken\":\"***\"}]}"
                .replace("67", &"{\"user\":\"otto\",\"password\":\"***\",\"deep\":[{\"accessToken\":\"***\"}]}".len().to_string())
        );
        let answer = recorded[1..].concat();
        assert!(answer.starts_with(
            "HTTP/1.1 200\r\nset-cookie: ***\r\ncontent-type: text/plain\r\nx-whole-length: 5000\r\n\
             content-length: 4096\r\n\r\nxxx"
        ));
        assert!(!recorded.concat().contains("hunter2"));
    }

    #[test]
    fn forms_are_masked_and_long_json_is_not_kept() {
        let form = whole(String::new(), Some("application/x-www-form-urlencoded"), b"user=otto&pwd=hunter2");
        assert!(String::from_utf8(form).expect("text").ends_with("user=otto&pwd=***"));
        let long = format!("{{\"token\":\"hunter2\",\"x\":\"{}\"}}", "y".repeat(PARSED));
        let long =
            String::from_utf8(whole(String::new(), Some("application/json"), long.as_bytes())).expect("text");
        assert!(long.contains("x-whole-length: ") && !long.contains("hunter2"), "{long}");
    }
}
