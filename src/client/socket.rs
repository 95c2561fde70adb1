//! The control WebSocket: commands in, replies and news out.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest as _, http::HeaderValue},
};

use super::{Error, Result, find::Place, http::Client};

const PATH: &str = "/api/engine/v2/systems/control";
const CONNECT: Duration = Duration::from_secs(10);
/// A `ping` goes out after this much silence, and must be answered within as much.
const SILENCE: Duration = Duration::from_secs(15);

/// An open control WebSocket.
pub(super) struct Socket<'c> {
    http: &'c Client,
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next: i64,
    pinged: bool,
}

impl<'c> Socket<'c> {
    pub(super) async fn open(http: &'c Client) -> Result<Self> {
        let url = format!("ws{}{PATH}?fixed_device=true", http.access.url.trim_start_matches("http"));
        let mut request = url
            .into_client_request()
            .map_err(|cause| Error::Usage(format!("{}: {cause}", http.access.url)))?;
        if let Some(key) = &http.access.key {
            let value = HeaderValue::from_str(key.expose())
                .map_err(|_| Error::Usage("the key has characters that no key has".into()))?;
            request.headers_mut().insert("X-API-Key", value);
        }
        let opened = timeout(CONNECT, connect_async(request)).await.map_err(|_| Error::Unreachable {
            url: http.access.url.clone(),
            why: "it does not answer".into(),
        })?;
        let (stream, _) = opened.map_err(|cause| match cause {
            tungstenite::Error::Http(answer) => {
                let body = answer.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
                let status = reqwest::StatusCode::from_u16(answer.status().as_u16()).unwrap_or_default();
                http.refusal(status, &body)
            }
            cause => http.unreachable(&cause),
        })?;
        Ok(Socket { http, stream, next: 0, pinged: false })
    }

    /// Sends a command about `name` of a module; returns its id, which replies and news carry.
    pub(super) async fn send(&mut self, command: &str, place: &Place, name: &str) -> Result<i64> {
        self.next += 1;
        // A module by itself is found by its id, in no system.
        let (slot, index) = place.slot.rsplit_once('_').unwrap_or((&place.slot, "1"));
        let (system, module, index) = match &place.system {
            Some((system, _)) if command != "debug" => (system.as_str(), slot, index.parse().unwrap_or(1)),
            Some((system, _)) => (system.as_str(), place.id(), 1),
            None => ("", place.id(), 1),
        };
        let frame = json!({
            "id": self.next, "cmd": command, "sys": system, "mod": module, "index": index, "name": name,
        });
        let sent = self.stream.send(Message::text(frame.to_string())).await;
        sent.map_err(|cause| self.http.unreachable(&cause))?;
        Ok(self.next)
    }

    /// The next message. An error message, or the end, is an error.
    pub(super) async fn next(&mut self) -> Result<Value> {
        let lost = |why: &str| Error::Unreachable { url: self.http.access.url.clone(), why: why.into() };
        loop {
            let frame = match timeout(SILENCE, self.stream.next()).await {
                Ok(frame) => frame,
                Err(_) if self.pinged => return Err(lost("the connection has gone silent")),
                Err(_) => {
                    self.pinged = true;
                    let sent = self.stream.send(Message::text("ping")).await;
                    sent.map_err(|cause| self.http.unreachable(&cause))?;
                    continue;
                }
            };
            self.pinged = false;
            let text = match frame {
                None | Some(Ok(Message::Close(_))) => return Err(lost("it closed the connection")),
                Some(Err(cause)) => return Err(self.http.unreachable(&cause)),
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(_)) => continue,
            };
            if text.as_str() == "pong" {
                continue;
            }
            let message: Value = serde_json::from_str(&text).unwrap_or_default();
            if message.get("type").and_then(Value::as_str) == Some("error") {
                return Err(self.failure(&message));
            }
            return Ok(message);
        }
    }

    fn failure(&self, message: &Value) -> Error {
        let said = message.get("msg").and_then(Value::as_str).unwrap_or("the daemon refused").to_owned();
        match message.get("error_code").and_then(Value::as_i64) {
            Some(2) => Error::Refused(said),
            Some(5 | 6) => Error::NotFound(said),
            _ => Error::Failed(said),
        }
    }
}
