//! A response while it comes. Whatever becomes of it, what came of it is recorded.

use super::{record, request::Response};
use crate::connections::recorder::Aside;
use bytes::BytesMut;
use reqwest::{
    StatusCode,
    header::{HeaderMap, HeaderValue},
};

/// Of a response that nobody reads, so that its connection can be used again.
const DRAINED: usize = 64 * 1024;

pub(super) struct Incoming<'a> {
    response: reqwest::Response,
    body: BytesMut,
    ended: bool,
    tape: Option<Aside<'a>>,
}

impl<'a> Incoming<'a> {
    pub(super) fn new(response: reqwest::Response, tape: Option<Aside<'a>>) -> Self {
        Self { response, body: BytesMut::new(), ended: false, tape }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// False if the body is longer than `limit`, of which it was not read much more.
    pub(super) async fn read(&mut self, limit: usize) -> reqwest::Result<bool> {
        if self.response.content_length().is_some_and(|length| length > limit as u64) {
            return Ok(false);
        }
        while let Some(chunk) = self.response.chunk().await? {
            self.body.extend_from_slice(&chunk);
            if self.body.len() > limit {
                return Ok(false);
            }
        }
        self.ended = true;
        Ok(true)
    }

    /// Nobody wants its body.
    pub(super) async fn drain(mut self) {
        // If that does not succeed, it is the connection that cannot be used again.
        let _ = self.read(DRAINED).await;
    }

    pub(super) fn whole(mut self) -> Response {
        self.record();
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = self.headers().iter();
        let headers = headers.map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        Response { status: self.status().as_u16(), headers, body: std::mem::take(&mut self.body).freeze() }
    }

    fn record(&mut self) {
        if let Some(tape) = self.tape.take() {
            record::response(tape, self.status(), self.headers(), &self.body, self.ended);
        }
    }
}

impl Drop for Incoming<'_> {
    fn drop(&mut self) {
        self.record();
    }
}
