//! A recording served on a port, for any program: `headend emulate FILE.recording`.
//!
//! What is answered is [`replay`](drivers_sdk_protocol::replay)'s; here are its connections. All of them are to one device.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use drivers_sdk_protocol::message::Form;
use drivers_sdk_protocol::replay::{Commands, Player, Said, Transport};
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _, TryStreamExt as _};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::codec::{BytesCodec, Framed};

use super::scratch::End;
use super::{Error, Result};

/// Bytes read at once; no datagram is longer.
const READ: usize = 64 * 1024;

type Device = Arc<Mutex<Player>>;

/// Whether this is what is meant, and no package.
pub fn is_recording(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "recording") || path.is_file()
}

/// Serves a recording until SIGINT, SIGTERM or SIGHUP, on a free port of loopback if none is said; says where on standard output.
pub fn replay(recording: &Path, listen: Option<SocketAddr>) -> Result<()> {
    let text = std::fs::read_to_string(recording).map_err(Error::disk(recording, "read"))?;
    let player = Player::read(&text).map_err(|error| Error::place(recording, error.to_string()))?;
    let address = listen.unwrap_or_else(|| ([127, 0, 0, 1], 0).into());
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build();
    threads.map_err(Error::disk(recording, "played"))?.block_on(async {
        let mut end = End::listen().map_err(Error::disk(recording, "played"))?;
        tokio::select! {
            failed = serve(recording, player, address) => failed,
            () = end.told() => Ok(()),
        }
    })
}

/// Ends only if it fails.
async fn serve(recording: &Path, player: Player, address: SocketAddr) -> Result<()> {
    let taken = |why: io::Error| Error::Listen { address, why };
    let say = |scheme: &str, address: SocketAddr| {
        println!("{}: {scheme}://{address} (Ctrl-C ends it)", recording.display());
    };
    let transport = player.transport();
    let device: Device = Arc::new(Mutex::new(player));
    if transport == Transport::Datagrams {
        let port = UdpSocket::bind(address).await.map_err(taken)?;
        say("udp", port.local_addr().map_err(taken)?);
        return datagrams(Arc::new(port), &device).await.map_err(taken);
    }
    let port = TcpListener::bind(address).await.map_err(taken)?;
    let has_messages = transport == Transport::Messages;
    say(if has_messages { "ws" } else { "tcp" }, port.local_addr().map_err(taken)?);
    loop {
        let (stream, peer) = port.accept().await.map_err(taken)?;
        let device = device.clone();
        tokio::spawn(async move {
            let session = async {
                stream.set_nodelay(true)?;
                if has_messages { messages(stream, &device).await } else { bytes(stream, &device).await }
            };
            if let Err(error) = session.await {
                eprintln!("the connection from {peer} broke: {error}");
            }
        });
    }
}

async fn bytes(stream: TcpStream, device: &Device) -> io::Result<()> {
    let (to, from) = Framed::with_capacity(stream, BytesCodec::new(), READ).split();
    session(from.map_ok(BytesMut::freeze), to.with(async |said: Said| Ok(Bytes::from(said.bytes))), device)
        .await
}

/// A WebSocket, whatever its path.
async fn messages(stream: TcpStream, device: &Device) -> io::Result<()> {
    let (to, from) = tokio_tungstenite::accept_async(stream).await.map_err(io::Error::other)?.split();
    let from = from.map_err(io::Error::other).try_filter_map(async |message| {
        Ok(match message {
            Message::Text(text) => Some(Bytes::from(text)),
            Message::Binary(bytes) => Some(bytes),
            _ => None,
        })
    });
    let to = to.sink_map_err(io::Error::other).with(async |said: Said| {
        Ok(match said.form {
            Form::Text => Message::text(String::from_utf8_lossy(&said.bytes).into_owned()),
            Form::Bytes => Message::binary(said.bytes),
        })
    });
    session(from, to, device).await
}

/// One connection, until the other side ends it.
async fn session(
    from: impl Stream<Item = io::Result<Bytes>>,
    to: impl Sink<Said, Error = io::Error>,
    device: &Device,
) -> io::Result<()> {
    let (mut from, mut to) = (pin!(from), pin!(to));
    let mut commands = device.lock().commands();
    let mut to_say: VecDeque<Said> = device.lock().connect().into();
    loop {
        let pause = to_say.front().map(|said| said.after);
        let pause = async {
            match pause {
                Some(pause) => sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        let arrived = tokio::select! {
            biased;
            arrived = from.next() => arrived,
            () = pause => {
                if let Some(said) = to_say.pop_front() {
                    to.send(said).await?;
                }
                continue;
            }
        };
        let Some(arrived) = arrived.transpose()? else { return Ok(()) };
        // What it still has to say comes before the answer.
        for said in to_say.drain(..) {
            to.send(said).await?;
        }
        to_say = answers(device, &mut commands, &arrived).into();
    }
}

/// Every address that datagrams come from is a connection.
async fn datagrams(port: Arc<UdpSocket>, device: &Device) -> io::Result<()> {
    let mut peers: HashMap<SocketAddr, Commands> = HashMap::new();
    let mut buffer = vec![0; READ];
    loop {
        let (read, peer) = port.recv_from(&mut buffer).await?;
        let mut to_say = Vec::new();
        let commands = peers.entry(peer).or_insert_with(|| {
            to_say = device.lock().connect();
            device.lock().commands()
        });
        to_say.extend(answers(device, commands, buffer.get(..read).unwrap_or_default()));
        let port = port.clone();
        tokio::spawn(async move {
            for said in to_say {
                sleep(said.after).await;
                let _ = port.send_to(&said.bytes, peer).await;
            }
        });
    }
}

/// Says nothing to what was not recorded, as a device does that does not understand.
fn answers(device: &Device, commands: &mut Commands, arrived: &[u8]) -> Vec<Said> {
    let mut answers = Vec::new();
    for command in commands.arrived(arrived) {
        match device.lock().answer(&command) {
            Some(said) => answers.extend(said),
            None => eprintln!("the recording has nothing like {}", command.escape_ascii()),
        }
    }
    answers
}
