//! What each kind of connection costs: an echo through a link of each kind beside a raw TCP socket in the same run, and the
//! memory of an idle link. Prints; asserts nothing.
//!
//!     cargo bench --bench kinds
//!
//! The peers live in a process of their own (this one, started again as `peers`), so that memory and time measured are the links'.

#![allow(clippy::expect_used, clippy::indexing_slicing)] // a bench that cannot go on says so and ends

mod gateway;
mod peers;
mod shell;

use bytes::Bytes;
use headend::connections::{Connections, Form, Link, Options, Sink, State, Target, http};
use std::{
    net::SocketAddr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
};

const LINE: &[u8] = b"%1POWR ?\r";
/// Echoes one after the other, for the latency.
const ROUNDS: usize = 20_000;
/// In flight on one connection, for the throughput.
const IN_FLIGHT: usize = 16;
/// Idle links of each kind.
const IDLE: usize = 1000;

struct Ear {
    up: Arc<AtomicUsize>,
    bytes: mpsc::UnboundedSender<usize>,
}

impl Sink for Ear {
    fn state(&self, state: &State) {
        if state.is_up() {
            self.up.fetch_add(1, Relaxed);
        }
        if let (Some(reason), Some(detail)) = (state.reason(), state.detail()) {
            eprintln!("{reason}: {detail}");
        }
    }

    async fn received(&self, bytes: &[u8], _: Form) {
        let _ = self.bytes.send(bytes.len());
    }
}

struct Echo {
    p50: Duration,
    p99: Duration,
    /// Echoes per second with [`IN_FLIGHT`].
    rate: f64,
}

/// Something that echoes.
trait Wire {
    async fn send(&mut self);
    async fn receive(&mut self) -> usize;
}

struct Raw(TcpStream);

struct Linked(Link, mpsc::UnboundedReceiver<usize>);

/// Requests, and the lengths of what comes back.
struct Exchanges(Linked, mpsc::UnboundedSender<usize>, mpsc::UnboundedReceiver<usize>);

impl Wire for Raw {
    async fn send(&mut self) {
        self.0.write_all(LINE).await.expect("write");
    }

    async fn receive(&mut self) -> usize {
        self.0.read(&mut [0; 4096]).await.expect("read")
    }
}

impl Wire for Linked {
    async fn send(&mut self) {
        self.0.transmit(Bytes::from_static(LINE), None);
    }

    async fn receive(&mut self) -> usize {
        self.1.recv().await.expect("the link")
    }
}

impl Exchanges {
    fn new(linked: Linked) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self(linked, sender, receiver)
    }
}

impl Wire for Exchanges {
    async fn send(&mut self) {
        let (method, url, body) = ("POST".into(), "/".into(), Bytes::from_static(LINE));
        let sender = self.1.clone();
        let answer = Box::new(move |answer: Result<http::Response, http::Error>| {
            let _ = sender.send(answer.expect("an answer").body.len());
        });
        self.0.0.exchange(http::Request { method, url, body, ..http::Request::default() }, answer);
    }

    async fn receive(&mut self) -> usize {
        self.2.recv().await.expect("the link")
    }
}

async fn echo(mut wire: impl Wire) -> Echo {
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        wire.send().await;
        let mut got = 0;
        while got < LINE.len() {
            got += wire.receive().await;
        }
        times.push(start.elapsed());
    }
    times.sort();
    let start = Instant::now();
    let (mut sent, mut got, total) = (0, 0, ROUNDS * LINE.len());
    while got < total {
        while sent < total && sent < got + IN_FLIGHT * LINE.len() {
            wire.send().await;
            sent += LINE.len();
        }
        got += wire.receive().await;
    }
    let rate = ROUNDS as f64 / start.elapsed().as_secs_f64();
    Echo { p50: times[ROUNDS / 2], p99: times[ROUNDS * 99 / 100], rate }
}

async fn open(connections: &Connections, target: Target, up: &Arc<AtomicUsize>) -> Linked {
    let (bytes, received) = mpsc::unbounded_channel();
    let before = up.load(Relaxed);
    let link = connections.open(target, Ear { up: up.clone(), bytes });
    link.attempt();
    while up.load(Relaxed) == before {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Linked(link, received)
}

/// Bytes per idle link of the kind of that number.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn idle(number: usize, addresses: &str) -> usize {
    let kind = &peers::kinds(addresses).1[number];
    let connections = Connections::new(Options::default());
    let up = Arc::new(AtomicUsize::new(0));
    let mut links = vec![open(&connections, kind.target(0), &up).await];
    let count = IDLE.min(kind.peers);
    let before = resident();
    let (bytes, _received) = mpsc::unbounded_channel();
    links.extend((1..count).map(|number| {
        let ear = Ear { up: up.clone(), bytes: bytes.clone() };
        Linked(connections.open(kind.target(number), ear), mpsc::unbounded_channel().1)
    }));
    while up.load(Relaxed) < count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let cost = resident().saturating_sub(before) / count.max(2);
    for Linked(link, _) in links {
        link.close().await;
    }
    cost
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("statm");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("resident") * 4096
}

fn show(kind: &str, echo: &Echo, raw: &Echo, idle: Option<usize>) {
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    println!(
        "{kind:<22} {:>8.1} {:>6.2}x {:>8.1} {:>10.0} {:>6.2}x {:>8}",
        micros(echo.p50),
        micros(echo.p50) / micros(raw.p50),
        micros(echo.p99),
        echo.rate,
        echo.rate / raw.rate,
        idle.map_or(String::new(), |bytes| format!("{:.1}", bytes as f64 / 1024.0)),
    );
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["peers"] => peers::serve(),
        ["idle", number, addresses] => println!("{}", idle(number.parse().expect("a number"), addresses)),
        _ => measure(),
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn measure() {
    let peers = peers::start();
    let (tcp, kinds) = peers::kinds(&peers.addresses);
    println!(
        "{:<22} {:>8} {:>7} {:>8} {:>10} {:>7} {:>8}",
        "kind", "p50 µs", "to raw", "p99 µs", "echoes/s", "to raw", "idle KiB"
    );
    let raw = tokio::spawn(raw(tcp)).await.expect("measured");
    show("raw TCP socket", &raw, &raw, None);
    for (number, kind) in kinds.into_iter().enumerate() {
        let (name, idle) = (kind.name, idle_alone(number, &peers.addresses));
        let echo = tokio::spawn(async move {
            let connections = Connections::new(Options::default());
            let linked = open(&connections, kind.target(0), &Arc::default()).await;
            if kind.exchanges { echo(Exchanges::new(linked)).await } else { echo(linked).await }
        });
        show(name, &echo.await.expect("measured"), &raw, Some(idle));
    }
}

/// In a process of its own: what another kind has let go would be used again.
fn idle_alone(number: usize, addresses: &str) -> usize {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program).args(["idle", &number.to_string(), addresses]).output().expect("idle");
    let said = String::from_utf8(output.stdout).expect("text");
    said.trim().parse().expect("bytes")
}

async fn raw(address: SocketAddr) -> Echo {
    let socket = TcpStream::connect(address).await.expect("connect");
    socket.set_nodelay(true).expect("nodelay");
    echo(Raw(socket)).await
}
