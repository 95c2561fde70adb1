//! The peers, and how to reach them: each echoes what it gets.

use axum::serve::ListenerExt as _;
use futures_util::StreamExt as _;
use headend::{
    connections::{Address, Endpoint, Target, Tls, http, ssh, udp, websocket},
    model::serial::LineSettings,
    secrets::Secret,
};
use serde::{Deserialize, Serialize};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UdpSocket, UnixListener},
};
use tokio_serial::{SerialPort as _, SerialStream};

use super::{gateway, shell};

/// Serial ports there are.
const PORTS: usize = 100;

/// A kind of connection.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// So many links can be open at once.
    pub(crate) peers: usize,
    /// It carries no bytes, but requests and their answers.
    pub(crate) exchanges: bool,
    target: Box<dyn Fn(usize) -> Target + Send + Sync>,
}

impl Kind {
    fn new(name: &'static str, target: impl Fn(usize) -> Target + Send + Sync + 'static) -> Self {
        Self { name, peers: usize::MAX, exchanges: false, target: Box::new(target) }
    }

    /// Of the link of this number.
    pub(crate) fn target(&self, number: usize) -> Target {
        (self.target)(number)
    }
}

/// The other process, which ends with this.
pub(crate) struct Peers {
    /// Where they are, for [`kinds`].
    pub(crate) addresses: String,
    child: Child,
}

impl Drop for Peers {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[derive(Serialize, Deserialize)]
struct Addresses {
    tcp: SocketAddr,
    unix: PathBuf,
    udp: SocketAddr,
    tls: SocketAddr,
    ca: String,
    websocket: SocketAddr,
    http: SocketAddr,
    ssh: SocketAddr,
    host_key: String,
    gateway: SocketAddr,
    serial: Vec<PathBuf>,
}

pub(crate) fn start() -> Peers {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .arg("peers")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("peers");
    let mut addresses = String::new();
    BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut addresses).expect("addresses");
    Peers { addresses, child }
}

/// The TCP socket that echoes, and the kinds.
pub(crate) fn kinds(addresses: &str) -> (SocketAddr, Vec<Kind>) {
    let Addresses { tcp, unix, udp, tls, ca, websocket, http, ssh, host_key, gateway, serial } =
        serde_json::from_str(addresses).expect("addresses");
    let local = |address: SocketAddr| (address.ip().to_string(), address.port());
    let settings = Tls { ca: Some(ca), ..Tls::default() };
    let kinds = vec![
        Kind::new("TCP", move |_| Target::tcp(local(tcp).0, tcp.port())),
        Kind::new("Unix socket", move |_| Target::unix(&unix)),
        Kind::new("TLS 1.3", move |_| Target::tls(local(tls).0, tls.port(), settings.clone())),
        Kind::new("WebSocket", move |_| socket(websocket)),
        Kind { exchanges: true, ..Kind::new("HTTP", move |_| service(http)) },
        Kind::new("SSH shell", move |_| shell(ssh, &host_key)),
        Kind::new("RFC 2217", move |_| port(gateway)),
        Kind { peers: serial.len(), ..Kind::new("serial (pty)", move |number| own_port(&serial[number])) },
        Kind::new("UDP", move |_| Target::udp(local(udp).0, udp.port(), udp::Settings::default())),
    ];
    (tcp, kinds)
}

fn socket(address: SocketAddr) -> Target {
    let service = websocket::Service::new(&format!("ws://{address}/"), None, Arc::default(), Arc::default());
    Target::new(Address::WebSocket(service.expect("service")))
}

fn service(address: SocketAddr) -> Target {
    let config = http::Config {
        base: format!("http://{address}"),
        socket: None,
        source: None,
        settings: Arc::default(),
        tls: Arc::default(),
    };
    Target::new(Address::Http(http::Client::new(config).expect("client")))
}

fn shell(address: SocketAddr, host_key: &str) -> Target {
    let settings = ssh::Settings {
        username: "ada".into(),
        password: Some(Secret::new("lovelace")),
        host_key: serde_json::from_value(host_key.into()).expect("a host key"),
        ..ssh::Settings::default()
    };
    Target::ssh(address.ip().to_string(), address.port(), settings)
}

fn port(address: SocketAddr) -> Target {
    let endpoint = Endpoint::new(address.ip().to_string(), address.port());
    Target::new(Address::Rfc2217 { endpoint, line: LineSettings::default().line().expect("settings") })
}

fn own_port(path: &Path) -> Target {
    let line = LineSettings::default().line().expect("settings");
    Target::new(Address::Serial { path: path.to_owned(), line })
}

/// The other process.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
pub(crate) async fn serve() {
    let directory = tempfile::tempdir().expect("directory");
    let unix = directory.path().join("echo");
    let local = UnixListener::bind(&unix).expect("bind");
    let (tcp, tls) = (listener().await, listener().await);
    let (ca, secured) = certificate();
    let datagrams = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
    let (websocket, http) = (listener().await, listener().await);
    let (ssh, gateway) = (listener().await, listener().await);
    let (host, host_key) = shell::config();
    let ports: Vec<_> = (0..PORTS).map(|_| SerialStream::pair().expect("a pseudo terminal")).collect();
    let addresses = Addresses {
        tcp: tcp.local_addr().expect("address"),
        unix,
        udp: datagrams.local_addr().expect("address"),
        tls: tls.local_addr().expect("address"),
        ca,
        websocket: websocket.local_addr().expect("address"),
        http: http.local_addr().expect("address"),
        ssh: ssh.local_addr().expect("address"),
        host_key,
        gateway: gateway.local_addr().expect("address"),
        serial: ports.iter().map(|(_, port)| port.name().expect("a name").into()).collect(),
    };
    println!("{}", serde_json::to_string(&addresses).expect("JSON"));
    std::io::stdout().flush().expect("stdout");
    tokio::spawn(async move {
        while let Ok((stream, _)) = tcp.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(back(stream));
        }
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = local.accept().await {
            tokio::spawn(back(stream));
        }
    });
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = datagrams.recv_from(&mut buffer).await {
            let _ = datagrams.send_to(&buffer[..length], from).await;
        }
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = websocket.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(async move {
                let socket = tokio_tungstenite::accept_async(stream).await.expect("handshake");
                let (write, read) = socket.split();
                let _ = read.forward(write).await;
            });
        }
    });
    tokio::spawn(async move {
        let router = axum::Router::new().route("/", axum::routing::post(|body: bytes::Bytes| async { body }));
        let _ = axum::serve(http.tap_io(|stream| drop(stream.set_nodelay(true))), router).await;
    });
    tokio::spawn(async move {
        let acceptor = tokio_rustls::TlsAcceptor::from(secured);
        while let Ok((stream, _)) = tls.accept().await {
            let _ = stream.set_nodelay(true);
            let acceptor = acceptor.clone();
            tokio::spawn(async move { back(acceptor.accept(stream).await.expect("handshake")).await });
        }
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = ssh.accept().await {
            tokio::spawn(shell::echo(host.clone(), stream));
        }
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = gateway.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(gateway::echo(stream));
        }
    });
    // Open on both sides: a terminal that nobody has open has hung up.
    let (masters, _slaves): (Vec<_>, Vec<_>) = ports.into_iter().unzip();
    for master in masters {
        tokio::spawn(back(master));
    }
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().lines().for_each(drop));
    let _ = ended.await;
}

async fn back(stream: impl AsyncRead + AsyncWrite) {
    let (mut read, mut write) = tokio::io::split(stream);
    let _ = tokio::io::copy(&mut read, &mut write).await;
}

/// A thousand links come at once.
async fn listener() -> TcpListener {
    let socket = tokio::net::TcpSocket::new_v4().expect("socket");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("bind");
    socket.listen(4096).expect("listen")
}

/// A certificate for 127.0.0.1 that is its own authority, and the server that has it.
fn certificate() -> (String, Arc<rustls::ServerConfig>) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).expect("certificate");
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("key");
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("certificate");
    (made.cert.pem(), Arc::new(config))
}
