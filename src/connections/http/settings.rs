//! The `http` section of a module's `connection` settings: `docs/connections.md` explains each key.

use crate::secrets::Secret;
use reqwest::{
    Method, StatusCode, Url,
    header::{HeaderName, HeaderValue},
};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What the paths of a *device's* driver are under; `http://` and the device's address unless set.
    pub base: Option<String>,
    /// A whole exchange: its turn, the connection, redirects, the last byte of the body.
    pub timeout_ms: u64,
    /// TCP and TLS; `connections.connect_timeout_ms` unless set.
    pub connect_timeout_ms: Option<u64>,
    /// Exchanges under way at the same time; further ones wait in order.
    pub concurrency: usize,
    /// A body, decompressed, that is longer fails its exchange.
    pub max_response_bytes: usize,
    /// Redirects followed in one exchange, within the origin and to `origins`.
    pub redirects: usize,
    /// Other origins that may be asked, and redirected to; without credentials. `*` for any.
    pub origins: Vec<String>,
    /// Keep the service's cookies, in memory, while the module runs.
    pub cookies: bool,
    pub proxy: Option<Proxy>,
    /// Sent with every request to the base's origin. May hold API keys.
    pub headers: BTreeMap<String, Secret>,
    pub auth: Option<Auth>,
    pub probe: Probe,
}

#[derive(Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Auth {
    /// Sent with every request, unasked.
    Basic { username: String, password: Secret },
    /// RFC 7616, when the service asks for it.
    Digest { username: String, password: Secret },
    /// Sent with every request, unasked.
    Bearer { token: Secret },
}

#[derive(Deserialize, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[serde(default, deny_unknown_fields)]
pub struct Proxy {
    /// `http://host:port`.
    pub uri: String,
    /// Take the daemon's own: `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`. Ignored otherwise.
    pub environment: bool,
    pub username: String,
    pub password: Secret,
}

/// How to find out, while there is no traffic, whether the service is there.
#[derive(Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(default, deny_unknown_fields)]
pub struct Probe {
    /// A path under the base to ask for; without one, connecting (and TLS) is enough.
    pub path: Option<String>,
    pub method: String,
    /// After this much time without an exchange. 0: only to come back.
    pub interval_ms: u64,
    /// Statuses that mean "online". Empty: any but 401, 403 and 407.
    pub expect: Vec<u16>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            base: None,
            timeout_ms: 10_000,
            connect_timeout_ms: None,
            concurrency: 4,
            max_response_bytes: 4 * 1024 * 1024,
            redirects: 5,
            origins: Vec::new(),
            cookies: true,
            proxy: None,
            headers: BTreeMap::new(),
            auth: None,
            probe: Probe::default(),
        }
    }
}

impl Default for Probe {
    fn default() -> Self {
        Self { path: None, method: "GET".into(), interval_ms: 30_000, expect: Vec::new() }
    }
}

impl Settings {
    /// What is wrong with these settings, for the person who wrote them.
    pub fn check(&self) -> Result<(), String> {
        for (name, value) in &self.headers {
            // The value is not shown: it may be a key.
            if name.parse::<HeaderName>().is_err() || value.expose().parse::<HeaderValue>().is_err() {
                return Err(format!("connection.http.headers.{name} is not a header: text, in one line"));
            }
        }
        for origin in &self.origins {
            let http = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
            if origin != "*" && !Url::parse(origin).is_ok_and(|url| http(&url)) {
                return Err(format!("connection.http.origins: {origin:?} is neither http(s)://host nor *"));
            }
        }
        if let Some(proxy) = &self.proxy {
            let url = Url::parse(&proxy.uri).ok().filter(|url| url.scheme() == "http" && url.has_host());
            match url {
                None if proxy.environment => {}
                None => {
                    return Err(
                        "connection.http.proxy: set uri to http://host:port, or environment to true".into()
                    );
                }
                Some(url) if !url.username().is_empty() || url.password().is_some() => {
                    let put = "put user name and password into username and password";
                    return Err(format!("connection.http.proxy.uri is shown to people: {put}"));
                }
                Some(_) => {}
            }
        }
        if Method::from_bytes(self.probe.method.as_bytes()).is_err() {
            return Err(format!("connection.http.probe.method: {:?} is not a method", self.probe.method));
        }
        match self.probe.expect.iter().find(|status| StatusCode::from_u16(**status).is_err()) {
            Some(status) => Err(format!("connection.http.probe.expect: {status} is not a status")),
            None => Ok(()),
        }
    }
}
