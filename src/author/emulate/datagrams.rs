//! UDP: every address that datagrams come from has a connection to the model, for as long as it is not silent for long.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use drivers_sdk_protocol::emulated;
use drivers_sdk_protocol::message::Form;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UdpSocket, UnixStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// A peer that said nothing for this long is a new one when it speaks again.
const SILENCE: Duration = Duration::from_secs(300);
/// Datagrams that wait for the model; more are lost, as they would be in a device.
const WAITING: usize = 64;
/// The longest datagram.
const LONGEST: usize = 65_535;

/// Ends only if the port fails.
pub(super) async fn serve(port: UdpSocket, socket: &Path) -> io::Error {
    let port = Arc::new(port);
    let mut peers: HashMap<SocketAddr, mpsc::Sender<Vec<u8>>> = HashMap::new();
    let mut buffer = vec![0; LONGEST];
    loop {
        let (length, peer) = match port.recv_from(&mut buffer).await {
            Ok(received) => received,
            // What a peer that is gone answers to an earlier datagram.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
            Err(error) => return error,
        };
        let datagram = buffer.get(..length).unwrap_or_default().to_owned();
        peers.retain(|_, peer| !peer.is_closed());
        let sender = peers.entry(peer).or_insert_with(|| {
            let (sender, inbox) = mpsc::channel(WAITING);
            let (port, socket) = (port.clone(), socket.to_owned());
            tokio::spawn(async move {
                if let Err(error) = converse(&port, peer, inbox, &socket).await {
                    eprintln!("the exchange with {peer} broke: {error}");
                }
            });
            sender
        });
        let _ = sender.try_send(datagram);
    }
}

/// Ends when either side has nothing more to say.
async fn converse(
    port: &UdpSocket,
    peer: SocketAddr,
    mut inbox: mpsc::Receiver<Vec<u8>>,
    socket: &Path,
) -> io::Result<()> {
    let (from_model, mut to_model) = UnixStream::connect(socket).await?.into_split();
    let ask = async {
        while let Ok(Some(datagram)) = timeout(SILENCE, inbox.recv()).await {
            let mut message = BytesMut::new();
            emulated::encode(&mut message, Form::Bytes, &datagram).map_err(io::Error::other)?;
            to_model.write_all(&message).await?;
        }
        Ok(())
    };
    tokio::select! {
        asked = ask => asked,
        answered = answer(port, peer, from_model) => answered,
    }
}

async fn answer(port: &UdpSocket, peer: SocketAddr, mut from_model: OwnedReadHalf) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    while from_model.read_buf(&mut buffer).await? > 0 {
        while let Some((_, datagram)) = emulated::decode(&mut buffer).map_err(io::Error::other)? {
            port.send_to(&datagram, peer).await?;
        }
    }
    Ok(())
}
