//! WebSocket: a message is a message to the model, and keeps its form.

use std::io;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use drivers_sdk_protocol::emulated;
use drivers_sdk_protocol::message::Form;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// Serves one connection, whatever its path; ends when either side closes it.
pub(super) async fn pass(outside: TcpStream, socket: &Path) -> io::Result<()> {
    let outside = tokio_tungstenite::accept_async(outside).await.map_err(io::Error::other)?;
    let (mut to_outside, mut from_outside) = outside.split();
    let (mut from_model, mut to_model) = UnixStream::connect(socket).await?.into_split();
    let ask = async {
        while let Some(message) = from_outside.next().await {
            let (form, bytes) = match message.map_err(io::Error::other)? {
                Message::Text(text) => (Form::Text, Bytes::from(text)),
                Message::Binary(bytes) => (Form::Bytes, bytes),
                Message::Close(_) => break,
                _ => continue,
            };
            let mut message = BytesMut::new();
            emulated::encode(&mut message, form, &bytes).map_err(io::Error::other)?;
            to_model.write_all(&message).await?;
        }
        Ok(())
    };
    let answer = async {
        let mut buffer = BytesMut::new();
        while from_model.read_buf(&mut buffer).await? > 0 {
            while let Some((form, bytes)) = emulated::decode(&mut buffer).map_err(io::Error::other)? {
                let message = match form {
                    Form::Text => Message::Text(Utf8Bytes::try_from(bytes).map_err(io::Error::other)?),
                    Form::Bytes => Message::Binary(bytes),
                };
                to_outside.send(message).await.map_err(io::Error::other)?;
            }
        }
        Ok(())
    };
    let result = tokio::select! {
        asked = ask => asked,
        answered = answer => answered,
    };
    // Says goodbye, if there is still anybody.
    let _ = to_outside.close().await;
    result
}
