//! What to connect to: where it is, and what to say first.

use super::{Auth, Settings};
use crate::connections::{Endpoint, Failure, Reason, tls::Tls};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use std::{fmt, net::IpAddr, sync::Arc};
use tokio_tungstenite::tungstenite::{
    client::IntoClientRequest as _,
    handshake::client::Request,
    http::{
        HeaderName, HeaderValue,
        header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL, USER_AGENT},
    },
};
use url::{Host, Url};

/// Cheap to clone. Shown without its query, which may hold keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Service(Arc<Parts>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Parts {
    url: Url,
    endpoint: Endpoint,
    tls: Option<Arc<Tls>>,
    settings: Arc<Settings>,
}

impl Service {
    /// `uri`: `ws://…` or, with TLS, `wss://…`. The error is for the person who wrote it.
    pub fn new(
        uri: &str,
        source: Option<IpAddr>,
        tls: Arc<Tls>,
        settings: Arc<Settings>,
    ) -> Result<Self, String> {
        let mut url = Url::parse(uri.trim()).map_err(|error| error.to_string())?;
        let tls = match url.scheme() {
            "ws" => None,
            "wss" => Some(tls),
            other => return Err(format!("{other}: is not ws: or wss:, as a WebSocket's is")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "a URI is shown to people: put user name and password into connection.websocket.auth".into(),
            );
        }
        url.set_fragment(None);
        let host = match url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => return Err("it has no host".into()),
        };
        let port = url.port_or_known_default().unwrap_or(if tls.is_some() { 443 } else { 80 });
        let endpoint = Endpoint { source, ..Endpoint::new(host, port) };
        Ok(Self(Arc::new(Parts { url, endpoint, tls, settings })))
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    #[cfg(test)]
    pub(in crate::connections) fn endpoint_mut(&mut self) -> &mut Endpoint {
        &mut Arc::make_mut(&mut self.0).endpoint
    }

    pub fn tls(&self) -> Option<&Tls> {
        self.0.tls.as_deref()
    }

    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(in crate::connections) fn request(&self) -> Result<Request, Failure> {
        let unusable = |why: &dyn fmt::Display| {
            Failure::new(Reason::Protocol, format!("{self} cannot be asked for a WebSocket: {why}"))
        };
        let mut request = self.0.url.as_str().into_client_request().map_err(|error| unusable(&error))?;
        let mut set = |name: HeaderName, value: &str| -> Result<(), Failure> {
            let mut value = HeaderValue::from_str(value).map_err(|error| unusable(&error))?;
            value.set_sensitive(true);
            request.headers_mut().insert(name, value);
            Ok(())
        };
        let settings = self.settings();
        set(USER_AGENT, concat!("headend/", env!("CARGO_PKG_VERSION")))?;
        if !settings.subprotocols.is_empty() {
            set(SEC_WEBSOCKET_PROTOCOL, &settings.subprotocols.join(", "))?;
        }
        if let Some(auth) = &settings.auth {
            set(AUTHORIZATION, &auth.header())?;
        }
        for (name, value) in &settings.headers {
            let name = name.parse::<HeaderName>().map_err(|error| unusable(&error))?;
            set(name, value.expose())?;
        }
        Ok(request)
    }

    /// `text`, which came from the service, without what was said to it in confidence.
    pub(super) fn redacted(&self, text: &str) -> String {
        let settings = self.settings();
        let mut secrets =
            settings.headers.values().map(|value| value.expose().to_owned()).collect::<Vec<_>>();
        match &settings.auth {
            Some(auth @ Auth::Basic { password, .. }) => {
                secrets.extend([auth.header(), password.expose().into()])
            }
            Some(Auth::Bearer { token }) => secrets.push(token.expose().into()),
            None => {}
        }
        secrets.extend(self.0.url.query().map(str::to_owned));
        // The longest first, so that none is left behind in a part of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        let secrets = secrets.iter().filter(|secret| !secret.is_empty());
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
    }
}

impl Auth {
    fn header(&self) -> String {
        match self {
            Self::Basic { username, password } => {
                format!("Basic {}", BASE64_STANDARD.encode(format!("{username}:{}", password.expose())))
            }
            Self::Bearer { token } => format!("Bearer {}", token.expose()),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.0.url.clone();
        url.set_query(None);
        url.fmt(f)
    }
}
