//! A service as a link: it is up while the last exchange, or a probe, succeeded.
//!
//! Dialling is probing. What is then up carries no bytes; it ends when an exchange or a probe fails. The probe is made when
//! there was no exchange for `probe.interval_ms`, and at once when one was not answered in time: slow is not gone.
//!
//! A service that refused the credentials is asked the same again, but seldom: many lock users out after a few wrong tries.

use super::{
    client::{Client, News},
    error::{self, Error},
    request::Request,
};
use crate::connections::{
    Failure, Hub, Reason,
    dial::{self, failure},
    options::ms,
    payload::Payload,
    wire::{Arrival, Transport, Wire},
};
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::ReadBuf,
    net::UnixStream,
    sync::watch,
    time::{Instant, sleep_until, timeout_at},
};

/// What an exchange said this short a while ago is as good as a probe.
const FRESH: Duration = Duration::from_secs(1);

/// Ends when the service does.
struct Vigil(Pin<Box<dyn Future<Output = Failure> + Send>>);

/// Succeeds at once if an exchange does meanwhile, or just did.
pub(in crate::connections) async fn dial(hub: &Arc<Hub>, client: &Client) -> Result<Wire, Failure> {
    let mut news = client.news().subscribe();
    let peer = tokio::select! {
        biased;
        () = answered(&mut news) => None,
        outcome = probe(hub, client) => outcome?,
    };
    news.mark_unchanged();
    Ok(Wire::transport(Vigil(Box::pin(vigil(hub.clone(), client.clone(), news))), peer))
}

async fn answered(news: &mut watch::Receiver<News>) {
    let fresh = |news: &News| matches!(news, News::Answered(at) if at.elapsed() < FRESH);
    if news.wait_for(fresh).await.is_err() {
        std::future::pending().await
    }
}

async fn vigil(hub: Arc<Hub>, client: Client, mut news: watch::Receiver<News>) -> Failure {
    let interval = ms(client.config().settings.probe.interval_ms);
    let mut due = Instant::now() + interval;
    loop {
        let probing =
            async { if interval.is_zero() { std::future::pending().await } else { sleep_until(due).await } };
        let probed = tokio::select! {
            changed = news.changed() => match (changed, news.borrow_and_update().clone()) {
                (Ok(()), News::Failed(failure) | News::Refused { failure, .. }) => return failure,
                (Ok(()), News::Doubtful) => true,
                _ => false,
            },
            () = probing => true,
        };
        if probed && let Err(failure) = probe(&hub, &client).await {
            return failure;
        }
        due = Instant::now() + interval;
    }
}

/// The address that answered, where that is known.
async fn probe(hub: &Arc<Hub>, client: &Client) -> Result<Option<SocketAddr>, Failure> {
    let config = client.config();
    let probe = &config.settings.probe;
    let last = client.news().borrow().clone();
    let (method, url) = match (last, &probe.path) {
        (News::Refused { at, failure, .. }, _) if at.elapsed() < FRESH => return Err(failure),
        (News::Refused { url, at, .. }, _) => {
            sleep_until(at + ms(hub.options.refused_pause_ms)).await;
            ("HEAD", url.as_str().to_owned())
        }
        (_, Some(path)) => (probe.method.as_str(), path.clone()),
        // That the proxy can be reached says nothing.
        (_, None) if config.settings.proxy.is_some() => ("HEAD", String::new()),
        _ => return reach(hub, client).await,
    };
    let request = Request { method: method.into(), url: url.clone(), ..Request::default() };
    let what = format!("{method} {client}");
    let failure = |reason, sentence| Err(Failure::new(reason, sentence));
    match client.exchange(hub, None, request).await {
        Ok(response) => match (response.status, probe.expect.as_slice()) {
            (status @ (401 | 403 | 407), []) => {
                Err(error::refused(&what, status, "asked to see whether it is there"))
            }
            (status, expected) if !expected.is_empty() && !expected.contains(&status) => {
                Err(error::unexpected(&what, status, expected))
            }
            _ => Ok(None),
        },
        Err(Error::Failed(failure)) => Err(failure),
        Err(error @ Error::Late { waiting: false, .. }) => {
            failure(Reason::Timeout, format!("{error}. {}", Reason::Timeout.sentence()))
        }
        Err(error @ Error::Request(_)) => failure(Reason::Protocol, error.to_string()),
        // It answers, or others are being answered.
        Err(_) => Ok(None),
    }
}

/// Connects, and no more.
async fn reach(hub: &Arc<Hub>, client: &Client) -> Result<Option<SocketAddr>, Failure> {
    let deadline = Instant::now() + ms(hub.options.connect_timeout_ms);
    if let Some(path) = &client.config().socket {
        return match timeout_at(deadline, UnixStream::connect(path)).await {
            Ok(Ok(_)) => Ok(None),
            Ok(Err(error)) => Err(failure::refusal(&client.to_string(), &error)),
            Err(_) => Err(failure::late(&client.to_string(), &hub.options)),
        };
    }
    let endpoint = client.endpoint();
    let tls = client.tls().map(|tls| dial::tls::Prepared::new(&endpoint, tls)).transpose()?;
    let (stream, peer) = dial::tcp::stream(hub, &endpoint, deadline).await?;
    if let Some(tls) = tls {
        tls.handshake(stream, &hub.options, deadline).await?;
    }
    Ok(Some(peer))
}

impl Transport for Vigil {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Option<Arrival>>> {
        self.0.as_mut().poll(cx).map(|failure| Err(io::Error::other(failure)))
    }

    /// Bytes are refused before they get here.
    fn poll_send(&mut self, _: &mut Context<'_>, _: &Payload) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
