//! Clients of the control WebSocket: each keeps one call in flight per module it was given.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::figures::Latencies;

pub type Session = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens a control session.
pub async fn open(listen: &str, key: &str) -> anyhow::Result<Session> {
    let mut request = format!("ws://{listen}/api/engine/v2/systems/control").into_client_request()?;
    request.headers_mut().insert("X-API-Key", key.parse()?);
    Ok(tokio_tungstenite::connect_async(request).await?.0)
}

/// Calls `echo` on the modules `Echo_1` to `Echo_<modules>` of `system` for `span`, one call in flight each,
/// over `sessions` sessions.
pub async fn load(
    listen: &str,
    key: &str,
    system: &str,
    modules: usize,
    sessions: usize,
    span: Duration,
) -> anyhow::Result<Latencies> {
    let mut clients = Vec::new();
    for session in 0..sessions {
        let mine: Vec<usize> = (1..=modules).filter(|index| index % sessions == session).collect();
        let (stream, system) = (open(listen, key).await?, system.to_owned());
        clients.push(tokio::spawn(async move { calls(stream, &system, &mine, span).await }));
    }
    let mut all = Latencies::new(span);
    for client in clients {
        all.extend(client.await??);
    }
    Ok(all)
}

async fn calls(
    mut session: Session,
    system: &str,
    modules: &[usize],
    span: Duration,
) -> anyhow::Result<Vec<Duration>> {
    let started = Instant::now();
    let mut took = Vec::new();
    let mut sent: HashMap<u64, (usize, Instant)> = HashMap::with_capacity(modules.len());
    let mut last = 0;
    let mut ready = modules.to_vec();
    loop {
        if started.elapsed() < span {
            for module in ready.drain(..) {
                last += 1;
                let call = format!(
                    r#"{{"id":{last},"cmd":"exec","sys":"{system}","mod":"Echo","index":{module},"name":"echo","args":["hello"]}}"#
                );
                sent.insert(last, (module, Instant::now()));
                session.feed(Message::text(call)).await?;
            }
            session.flush().await?;
        } else if sent.is_empty() {
            return Ok(took);
        }
        let Some(message) = session.next().await else { anyhow::bail!("the daemon closed the session") };
        let mut message = Some(message?);
        // Whatever has arrived is taken before anything is sent: as a browser does.
        while let Some(text) = message.take() {
            if let Message::Text(text) = text {
                let (module, since) = answered(&text, &mut sent)?;
                took.push(since.elapsed());
                ready.push(module);
            }
            message = match futures_util::FutureExt::now_or_never(session.next()) {
                Some(Some(next)) => Some(next?),
                _ => None,
            };
        }
    }
}

fn answered(text: &str, sent: &mut HashMap<u64, (usize, Instant)>) -> anyhow::Result<(usize, Instant)> {
    #[derive(serde::Deserialize)]
    struct Answer<'a> {
        id: u64,
        r#type: &'a str,
        #[serde(borrow)]
        value: Option<&'a serde_json::value::RawValue>,
    }
    let answer: Answer<'_> = serde_json::from_str(text)?;
    let echoed = answer.value.is_some_and(|value| value.get() == "\"hello\"");
    anyhow::ensure!(answer.r#type == "success" && echoed, "a call was not answered with its echo: {text}");
    sent.remove(&answer.id).ok_or_else(|| anyhow::anyhow!("an answer to no call: {text}"))
}
