//! The credentials of one service: what goes into `Authorization`, and what a 401 teaches.

use super::{
    digest::{Asked, Challenge},
    settings::Auth,
};
use crate::secrets::Secret;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use parking_lot::Mutex;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};

/// Answers to one request before its 401 counts: a nonce may run out while the answer is under way.
const ROUNDS: usize = 3;
const AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("authentication-info");

pub(super) struct Credentials {
    auth: Option<Auth>,
    /// Digest: what the service asked last.
    challenge: Mutex<Option<Challenge>>,
}

impl Credentials {
    pub(super) fn new(auth: Option<Auth>) -> Self {
        Self { auth, challenge: Mutex::new(None) }
    }

    /// For errors: what was tried.
    pub(super) fn kind(&self) -> Option<&'static str> {
        self.auth.as_ref().map(|auth| match auth {
            Auth::Basic { .. } => "basic authentication",
            Auth::Digest { .. } => "digest authentication",
            Auth::Bearer { .. } => "bearer token",
        })
    }

    /// Puts them into a request, as far as is known how.
    pub(super) fn apply(&self, headers: &mut HeaderMap, asked: &Asked<'_>) {
        let text = match &self.auth {
            None => return,
            Some(Auth::Basic { username, password }) => basic(username, password),
            Some(Auth::Bearer { token }) => format!("Bearer {}", token.expose()),
            Some(Auth::Digest { username, password }) => match &mut *self.challenge.lock() {
                Some(challenge) => challenge.answer(username, password, asked),
                None => return,
            },
        };
        // What cannot be in a header is not sent; the service then refuses, which is told.
        if let Ok(mut value) = HeaderValue::from_bytes(text.as_bytes()) {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
    }

    /// The service said 401 to the request that was sent in this round, from 0: true if it is worth asking again.
    pub(super) fn challenged(&self, headers: &HeaderMap, round: usize) -> bool {
        if !matches!(self.auth, Some(Auth::Digest { .. })) {
            return false;
        }
        let values = headers.get_all(WWW_AUTHENTICATE);
        let texts = values.iter().filter_map(|value| std::str::from_utf8(value.as_bytes()).ok());
        let Some(challenge) = Challenge::strongest(texts) else { return false };
        let again = round == 0 || (challenge.stale && round < ROUNDS);
        *self.challenge.lock() = Some(challenge);
        again
    }

    /// The service took them, and may say how it wants them next time.
    pub(super) fn accepted(&self, headers: &HeaderMap) {
        let info = headers.get(AUTHENTICATION_INFO).and_then(|value| value.to_str().ok());
        if let (Some(info), Some(challenge)) = (info, &mut *self.challenge.lock()) {
            challenge.renew(info);
        }
    }
}

/// RFC 7617.
fn basic(username: &str, password: &Secret) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{username}:{}", password.expose())))
}
