//! A line echoed through a link, beside the same echo through a raw tokio socket in the same run.
//!
//!     cargo bench --bench connections
//!
//! `echo/1`: one command in flight. `echo/16`: sixteen in flight on one connection. `echo/hundred`: a hundred connections with
//! one command in flight each; the links are driven from one task, as the modules of a driver process are.

#![allow(clippy::expect_used, clippy::indexing_slicing)] // a bench that cannot go on says so and ends

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use headend::connections::{Connections, Link, Options, Sink, State, Target};
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

const LINE: &[u8] = b"%1POWR ?\r";
const HUNDRED: usize = 100;

/// Counts what comes back, and says on which link.
struct Count(usize, mpsc::UnboundedSender<(usize, usize)>, Arc<tokio::sync::Notify>);

type Received = mpsc::UnboundedReceiver<(usize, usize)>;

impl Sink for Count {
    fn state(&self, state: &State) {
        if state.is_up() {
            self.2.notify_one();
        }
    }

    async fn received(&self, bytes: &[u8], _: headend::connections::Form) {
        let _ = self.1.send((self.0, bytes.len()));
    }
}

async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    address
}

async fn through_link(link: &Link, received: &mut Received, in_flight: usize, rounds: u64) {
    let line = Bytes::from_static(LINE);
    let (mut sent, mut got, total) = (0, 0, rounds as usize * LINE.len());
    while got < total {
        while sent < total && sent < got + in_flight * LINE.len() {
            link.transmit(line.clone(), None);
            sent += LINE.len();
        }
        got += received.recv().await.expect("the link").1;
    }
}

async fn through_links(links: &[Link], received: &mut Received, rounds: u64) {
    let line = Bytes::from_static(LINE);
    let mut left = rounds;
    for link in links {
        link.transmit(line.clone(), None);
    }
    let mut waiting = links.len();
    while waiting > 0 {
        let (link, _) = received.recv().await.expect("the links");
        if left == 0 {
            waiting -= 1;
            continue;
        }
        left -= 1;
        links[link].transmit(line.clone(), None);
    }
}

async fn through_sockets(address: SocketAddr, rounds: u64) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..HUNDRED {
        tasks.spawn(async move {
            let mut socket = TcpStream::connect(address).await.expect("connect");
            socket.set_nodelay(true).expect("nodelay");
            through_socket(&mut socket, 1, rounds / HUNDRED as u64 + 1).await;
        });
    }
    tasks.join_all().await;
}

async fn through_socket(socket: &mut TcpStream, in_flight: usize, rounds: u64) {
    let mut buffer = [0; 4096];
    let (mut sent, mut got, total) = (0, 0, rounds as usize * LINE.len());
    while got < total {
        while sent < total && sent < got + in_flight * LINE.len() {
            socket.write_all(LINE).await.expect("write");
            sent += LINE.len();
        }
        got += socket.read(&mut buffer).await.expect("read");
    }
}

async fn links(connections: &Connections, address: SocketAddr, count: usize) -> (Vec<Link>, Received) {
    let (sender, received) = mpsc::unbounded_channel();
    let mut links = Vec::new();
    for number in 0..count {
        let up = Arc::new(tokio::sync::Notify::new());
        let target = Target::tcp(address.ip().to_string(), address.port());
        links.push(connections.open(target, Count(number, sender.clone(), up.clone())));
        up.notified().await;
    }
    (links, received)
}

fn benches(criterion: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    let (address, mut socket, (one, mut received), (hundred, mut from_hundred)) = runtime.block_on(async {
        let address = echo().await;
        let socket = TcpStream::connect(address).await.expect("connect");
        socket.set_nodelay(true).expect("nodelay");
        let connections = Connections::new(Options::default());
        (address, socket, links(&connections, address, 1).await, links(&connections, address, HUNDRED).await)
    });
    let link = one[0].clone();
    let hundred: Arc<[Link]> = hundred.into();
    let mut group = criterion.benchmark_group("echo");
    group.throughput(Throughput::Elements(1));
    for in_flight in [1, 16] {
        group.bench_function(BenchmarkId::new("socket", in_flight), |b| {
            b.iter_custom(|rounds| {
                let start = std::time::Instant::now();
                // On a worker, as the link's task is.
                let (back, returned) = tokio::sync::oneshot::channel();
                let mut moved = std::mem::replace(&mut socket, dead(&runtime));
                runtime.spawn(async move {
                    through_socket(&mut moved, in_flight, rounds).await;
                    let _ = back.send(moved);
                });
                socket = runtime.block_on(returned).expect("done");
                start.elapsed()
            });
        });
        group.bench_function(BenchmarkId::new("link", in_flight), |b| {
            b.iter_custom(|rounds| {
                let start = std::time::Instant::now();
                let (back, returned) = tokio::sync::oneshot::channel();
                let (link, mut moved) =
                    (link.clone(), std::mem::replace(&mut received, mpsc::unbounded_channel().1));
                runtime.spawn(async move {
                    through_link(&link, &mut moved, in_flight, rounds).await;
                    let _ = back.send(moved);
                });
                received = runtime.block_on(returned).expect("done");
                start.elapsed()
            });
        });
    }
    group.bench_function("socket/hundred", |b| {
        b.iter_custom(|rounds| {
            let start = std::time::Instant::now();
            let _ = runtime.block_on(runtime.spawn(through_sockets(address, rounds)));
            start.elapsed()
        });
    });
    group.bench_function("link/hundred", |b| {
        b.iter_custom(|rounds| {
            let start = std::time::Instant::now();
            let (links, mut moved) =
                (hundred.clone(), std::mem::replace(&mut from_hundred, mpsc::unbounded_channel().1));
            let done = runtime.spawn(async move {
                through_links(&links, &mut moved, rounds).await;
                moved
            });
            from_hundred = runtime.block_on(done).expect("done");
            start.elapsed()
        });
    });
}

/// A stand-in while the real socket is on loan.
fn dead(runtime: &tokio::runtime::Runtime) -> TcpStream {
    let _guard = runtime.enter();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let stream = std::net::TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
    stream.set_nonblocking(true).expect("nonblocking");
    TcpStream::from_std(stream).expect("stream")
}

criterion_group!(name = group; config = Criterion::default().sample_size(20); targets = benches);
criterion_main!(group);
