//! The control WebSocket.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use super::{Api, PATIENCE};

/// A session.
pub struct Socket {
    pub stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next: i64,
}

impl Socket {
    pub async fn open(api: &Api) -> Socket {
        let url = format!("{}/api/engine/v2/systems/control", api.url.replacen("http", "ws", 1));
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("X-API-Key", api.key.parse().unwrap());
        Socket { stream: connect_async(request).await.unwrap().0, next: 0 }
    }

    /// Sends a command; returns its id.
    pub async fn command(
        &mut self,
        command: &str,
        system: &str,
        slot: (&str, i64),
        name: &str,
        args: Value,
    ) -> i64 {
        self.next += 1;
        let mut frame = json!({
            "id": self.next, "cmd": command, "sys": system, "mod": slot.0, "index": slot.1, "name": name,
        });
        if !args.is_null() {
            frame["args"] = args;
        }
        self.text(&frame.to_string()).await;
        self.next
    }

    pub async fn text(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    /// The next text frame, whenever it comes.
    pub async fn next_text(&mut self) -> String {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => return text.to_string(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("the session ended: {other:?}"),
            }
        }
    }

    /// The next message for which `wanted` holds; others are passed over.
    pub async fn find(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = String::new();
        let found = async {
            loop {
                let text = self.next_text().await;
                last = text.chars().take(200).collect();
                let message = serde_json::from_str(&text).unwrap_or(Value::String(text));
                if wanted(&message) {
                    return message;
                }
            }
        };
        let found = timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("the message did not come; the last one was {last}"))
    }

    /// The reply to command `id`.
    pub async fn reply(&mut self, id: i64) -> Value {
        self.find(|message| {
            message["id"] == json!(id) && message["type"] != "notify" && message["type"] != "debug"
        })
        .await
    }

    /// Waits until the socket ends, for at most `patience`; whether it did.
    pub async fn ends(&mut self, patience: Duration) -> bool {
        let ended = async {
            while let Some(Ok(frame)) = self.stream.next().await {
                if matches!(frame, Message::Close(_)) {
                    return;
                }
            }
        };
        timeout(patience, ended).await.is_ok()
    }
}
