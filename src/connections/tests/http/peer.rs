//! A web server that does as it is told, down to the bytes; and a client of it.

use crate::connections::{
    Address, Connections, Link, Target,
    http::{Client, Config, Error, Request, Response},
    tests::harness::{DEADLINE, Recorder},
};
use parking_lot::Mutex;
use serde_json::Value;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) path: String,
    head: String,
    pub(super) body: Vec<u8>,
    /// The connection it came on, from 0.
    pub(super) connection: usize,
}

/// What is done about it.
pub(super) enum Reply {
    Bytes(Vec<u8>),
    /// And then the connection is closed.
    Last(Vec<u8>),
    /// As soon as there is a permit.
    After(Arc<Semaphore>, Vec<u8>),
    /// A byte at a time.
    Slow(Vec<u8>),
    /// For ever.
    Flood,
    Reset,
    Nothing,
}

type Handler = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

/// Gone when dropped, with all its connections.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _tasks: JoinSet<()>,
}

impl Seen {
    /// Its headers, but for those of the framing.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        let lines = self.head.lines().skip(1).filter(|line| !line.is_empty());
        lines.filter(|line| !line.to_ascii_lowercase().starts_with("content-length:"))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// `200 OK` with a body.
pub(super) fn ok(body: &str) -> Reply {
    respond(200, &[], body)
}

pub(super) fn respond(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
    Reply::Bytes(response(status, headers, body))
}

pub(super) fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

impl Server {
    pub(super) async fn start(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), handler).await
    }

    pub(super) async fn at(
        address: SocketAddr,
        handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.expect("bind");
        let address = listener.local_addr().expect("address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let (handler, all): (Handler, _) = (Arc::new(handler), seen.clone());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            for connection in 0.. {
                let (stream, _) = listener.accept().await.expect("accept");
                connections.spawn(serve(stream, connection, handler.clone(), all.clone()));
            }
        });
        Self { address, seen, _tasks: tasks }
    }

    pub(super) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }
}

async fn serve(stream: TcpStream, connection: usize, handler: Handler, all: Arc<Mutex<Vec<Seen>>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        loop {
            match stream.read_line(&mut head).await {
                Ok(0) | Err(_) => return,
                Ok(_) if head.ends_with("\r\n\r\n") => break,
                Ok(_) => {}
            }
        }
        let mut words = head.split(' ').map(str::to_owned);
        let (method, path) = (words.next().expect("method"), words.next().expect("path"));
        let mut seen = Seen { method, path, head: head.clone(), body: Vec::new(), connection };
        let length = seen.header("content-length").map_or(0, |length| length.parse().expect("length"));
        seen.body.resize(length, 0);
        stream.read_exact(&mut seen.body).await.expect("body");
        all.lock().push(seen.clone());
        let bytes = match handler(&seen) {
            Reply::Bytes(bytes) => bytes,
            Reply::After(semaphore, bytes) => {
                semaphore.acquire().await.expect("permit").forget();
                bytes
            }
            Reply::Last(bytes) => {
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                return;
            }
            Reply::Slow(bytes) => {
                for byte in bytes {
                    let _ = stream.write_all(&[byte]).await;
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                continue;
            }
            Reply::Flood => {
                let _ = stream.write_all(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n").await;
                let chunk = [b"10000\r\n".to_vec(), vec![b'x'; 0x10000], b"\r\n".to_vec()].concat();
                while stream.write_all(&chunk).await.is_ok() {}
                return;
            }
            Reply::Reset => {
                let socket = socket2::SockRef::from(stream.get_ref());
                socket.set_linger(Some(Duration::ZERO)).expect("linger");
                return;
            }
            Reply::Nothing => std::future::pending().await,
        };
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

pub(super) fn client(base: impl Into<String>, settings: Value) -> Client {
    let settings: crate::connections::http::Settings = serde_json::from_value(settings).expect("settings");
    let config = Config {
        base: base.into(),
        socket: None,
        source: None,
        settings: Arc::new(settings),
        tls: Arc::default(),
    };
    Client::new(config).expect("client")
}

/// A link to a service, and what it says.
pub(super) fn open(connections: &Connections, client: Client) -> (Link, Recorder) {
    let recorder = Recorder::new();
    let link = recorder.open(connections, Target::new(Address::Http(client)));
    (link, recorder)
}

pub(super) fn get(url: &str) -> Request {
    Request { method: "GET".into(), url: url.into(), ..Request::default() }
}

pub(super) fn post(url: &str, body: &'static str) -> Request {
    Request { method: "POST".into(), body: body.into(), ..get(url) }
}

/// Begins an exchange.
pub(super) fn begin(link: &Link, request: Request) -> impl Future<Output = Result<Response, Error>> + use<> {
    let (sender, answer) = tokio::sync::oneshot::channel();
    link.exchange(request, Box::new(move |outcome| drop(sender.send(outcome))));
    async { tokio::time::timeout(DEADLINE, answer).await.expect("an answer in time").expect("an answer") }
}

pub(super) async fn ask(link: &Link, request: Request) -> Result<Response, Error> {
    begin(link, request).await
}
