//! The connections of one module: what reqwest is told about names, TLS, proxies and time-outs.

use super::{
    client::{Client, Config},
    error,
};
use crate::connections::{Failure, Hub, Reason, dial::tcp, options::ms, target::Endpoint, tls};
use rustls::{ClientConfig, RootCertStore};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::Instant;

/// Connections are not kept longer than this without a request: many a device has few of them.
const POOL_IDLE: Duration = Duration::from_secs(15);

/// What proxies and services are told of us.
pub(super) const USER_AGENT: &str = concat!("headend/", env!("CARGO_PKG_VERSION"));

/// Nothing is connected yet.
pub(super) fn make(client: &Client, hub: &Arc<Hub>) -> Result<reqwest::Client, Failure> {
    let Config { socket, source, settings, .. } = client.config();
    let options = &hub.options;
    let seconds = |value: u64| Some(Duration::from_secs(value.div_ceil(1000))).filter(|time| !time.is_zero());
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .tls_backend_preconfigured(tls_config(client)?)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(ms(settings.connect_timeout_ms.unwrap_or(options.connect_timeout_ms)))
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(settings.concurrency)
        .tcp_keepalive(seconds(options.keepalive_idle_ms))
        .tcp_keepalive_interval(seconds(options.keepalive_interval_ms))
        .tcp_keepalive_retries(options.keepalive_count)
        .tcp_user_timeout(seconds(options.user_timeout_ms))
        .local_address(*source)
        .dns_resolver(Names { hub: hub.clone(), port: client.endpoint().port });
    if let Some(path) = socket {
        builder = builder.unix_socket(path.clone());
    }
    let unusable = |error: reqwest::Error| error::unusable(&client.to_string(), &error);
    match &settings.proxy {
        Some(proxy) if proxy.environment => {}
        None => builder = builder.no_proxy(),
        Some(proxy) => {
            let mut used = reqwest::Proxy::all(&proxy.uri).map_err(unusable)?;
            if !proxy.username.is_empty() {
                used = used.basic_auth(&proxy.username, proxy.password.expose());
            }
            builder = builder.no_proxy().proxy(used);
        }
    }
    builder.build().map_err(unusable)
}

/// Who never speaks TLS needs no certificate authorities, which a machine may be without.
fn tls_config(client: &Client) -> Result<ClientConfig, Failure> {
    let Config { settings, tls, .. } = client.config();
    if client.tls().is_some() || !settings.origins.is_empty() {
        return Ok((*tls::client_config(tls)?).clone());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| Failure::new(Reason::Tls, error.to_string()))?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// Names are what they are for every other kind of connection.
struct Names {
    hub: Arc<Hub>,
    port: u16,
}

impl reqwest::dns::Resolve for Names {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let (hub, port) = (self.hub.clone(), self.port);
        Box::pin(async move {
            let endpoint = Endpoint::new(name.as_str(), port);
            let deadline = Instant::now() + ms(hub.options.dns_timeout_ms);
            let found = tcp::resolve(&hub, &endpoint, deadline).await?;
            Ok(Box::new(found.into_iter()) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}
