//! Exchanges for the flight recorder: each request and response as HTTP/1.1 would have them on the wire, but for what nobody
//! may read.
//!
//! Masked: credentials, cookies, the module's own headers, and the values of whatever is called a key, token or the like, in
//! queries, headers, forms and JSON. What the recorder knows to be secret it hides itself. Bodies are shown decompressed,
//! and of a long one only the beginning: `x-headend-kept` says how much.

use crate::connections::recorder::Aside;
use reqwest::{
    Request, StatusCode, Url,
    header::{
        CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, LOCATION, PROXY_AUTHENTICATE, TRANSFER_ENCODING,
        WWW_AUTHENTICATE,
    },
};
use std::fmt::{Display, Write as _};

const MASK: &str = "***";
/// What may be said of credentials.
const SCHEMES: [&str; 3] = ["Basic", "Digest", "Bearer"];

pub(super) fn request(tape: Aside<'_>, request: &Request) {
    let url = request.url();
    let first = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", request.method(), path(url), url.authority());
    let body = request.body().and_then(|body| body.as_bytes()).unwrap_or_default();
    tape.sent(&message(first, request.headers(), body, true, tape.share()));
}

/// `ended`: that is all of its body.
pub(super) fn response(tape: Aside<'_>, status: StatusCode, headers: &HeaderMap, body: &[u8], ended: bool) {
    tape.received(&message(format!("HTTP/1.1 {}\r\n", status.as_u16()), headers, body, ended, tape.share()));
}

/// Why there was no response, or no more of it.
pub(super) fn failure(tape: Aside<'_>, error: &impl Display) {
    tape.received(format!("({error})\r\n").as_bytes());
}

fn message(mut text: String, headers: &HeaderMap, body: &[u8], ended: bool, most: usize) -> Vec<u8> {
    for (name, value) in headers {
        if [CONTENT_LENGTH, TRANSFER_ENCODING].contains(name) {
            continue;
        }
        let shown = String::from_utf8_lossy(value.as_bytes());
        let shown = match shown.split_once(' ') {
            _ if !value.is_sensitive() && !is_secret_header(name) && *name != LOCATION => shown,
            _ if *name == LOCATION => location(&shown).into(),
            Some((scheme, _)) if SCHEMES.contains(&scheme) => format!("{scheme} {MASK}").into(),
            _ => MASK.into(),
        };
        // Writing to a string cannot fail.
        let _ = write!(text, "{name}: {shown}\r\n");
    }
    let kept = body.get(..most).unwrap_or(body);
    // Before the body: that a secret is cut off shows at the end of a message.
    if kept.len() < body.len() || !ended {
        let (kept, more, whole) = (kept.len(), if ended { "" } else { "more than " }, body.len());
        let _ = write!(text, "x-headend-kept: {kept} bytes of {more}{whole}\r\n");
    }
    let kind = headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase()).unwrap_or_default();
    let kind = String::from_utf8_lossy(&kind);
    let shown = match () {
        () if kind.contains("json") => json(kept),
        () if kind.contains("x-www-form-urlencoded") => pairs(&String::from_utf8_lossy(kept)).into_bytes(),
        () => kept.to_vec(),
    };
    let _ = write!(text, "content-length: {}\r\n\r\n", shown.len());
    [text.as_bytes(), &shown].concat()
}

fn path(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{}", url.path(), pairs(query)),
        None => url.path().to_owned(),
    }
}

/// A URL, or a part of one. Neither queries nor fragments are sent back to where they came from, but both bring keys.
fn location(text: &str) -> String {
    let (front, fragment) = text.split_once('#').map_or((text, None), |(front, more)| (front, Some(more)));
    let (front, query) = front.split_once('?').map_or((front, None), |(front, more)| (front, Some(more)));
    let mut shown = match front.split_once("//").map(|(scheme, rest)| (scheme, rest.split_once('@'))) {
        Some((scheme, Some((user, host)))) if !user.contains('/') => format!("{scheme}//{MASK}@{host}"),
        _ => front.to_owned(),
    };
    for (mark, part) in [('?', query), ('#', fragment)] {
        let _ = part.map(|part| write!(shown, "{mark}{}", pairs(part)));
    }
    shown
}

/// `a=b&token=***`.
fn pairs(text: &str) -> String {
    let pair = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}={MASK}"),
        _ => pair.to_owned(),
    };
    text.split('&').map(pair).collect::<Vec<_>>().join("&")
}

/// `{"a": "b", "token": "***"}`. Good for the beginning of a text, too.
fn json(text: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(text.len());
    let mut rest = text;
    // The value to come is to be masked; so are all of a list, of which there is one within the other.
    let (mut secret, mut lists) = (false, Vec::new());
    while let Some(first) = rest.first() {
        let length = match first {
            b'"' => string(rest),
            b':' | b'{' | b'[' | b'}' | b']' | b',' | b' ' | b'\t' | b'\r' | b'\n' => 1,
            _ => rest.iter().position(|byte| b",]}\r\n".contains(byte)).unwrap_or(rest.len()),
        };
        let (token, behind) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        rest = behind;
        let is_name = *first == b'"' && behind.trim_ascii_start().starts_with(b":");
        match first {
            b':' | b' ' | b'\t' | b'\r' | b'\n' => shown.extend_from_slice(token),
            _ if is_name => {
                secret = serde_json::from_slice::<String>(token).is_ok_and(|name| is_secret(&name));
                shown.extend_from_slice(token);
            }
            b'{' | b'[' | b'}' | b']' | b',' => {
                match first {
                    b'[' | b'{' => lists.push(secret && *first == b'['),
                    b']' | b'}' => drop(lists.pop()),
                    _ => {}
                }
                secret = matches!(first, b'[' | b',') && lists.last() == Some(&true);
                shown.extend_from_slice(token);
            }
            _ if std::mem::take(&mut secret) && !is_flag(token) => shown.extend_from_slice(b"\"***\""),
            _ => shown.extend_from_slice(token),
        }
    }
    shown
}

/// `"auth_enabled": false` tells nothing.
fn is_flag(token: &[u8]) -> bool {
    [&b"true"[..], b"false", b"null"].contains(&token.trim_ascii())
}

/// How long the string is that `text` begins with, as far as it goes.
fn string(text: &[u8]) -> usize {
    let mut escaped = false;
    let end = text.iter().skip(1).position(|byte| match byte {
        _ if std::mem::take(&mut escaped) => false,
        b'\\' => {
            escaped = true;
            false
        }
        byte => *byte == b'"',
    });
    end.map_or(text.len(), |end| end + 2)
}

fn is_secret_header(name: &HeaderName) -> bool {
    is_secret(name.as_str()) && ![WWW_AUTHENTICATE, PROXY_AUTHENTICATE].contains(name)
}

/// Going by its name.
fn is_secret(name: &str) -> bool {
    const WORDS: [&str; 9] = ["key", "token", "secret", "passw", "pwd", "auth", "cookie", "session", "sig"];
    let name = name.to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests;
