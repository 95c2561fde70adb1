//! What idle links cost, and how long many take to connect. Prints; asserts nothing.
//!
//!     cargo bench --bench idle_links -- [COUNT] [silent SILENT]
//!
//! The peers live in a process of their own (this one, started again as `peers`), so that the memory measured is the links'.
//! `silent` adds links to an address that answers nothing, opened before the others.

#![allow(clippy::expect_used, clippy::indexing_slicing)] // a bench that cannot go on says so and ends

use headend::connections::{Connections, Link, Options, Sink, State, Target};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

struct Quiet(Arc<AtomicUsize>);

impl Sink for Quiet {
    fn state(&self, state: &State) {
        if state.is_up() {
            self.0.fetch_add(1, Relaxed);
        }
    }

    async fn received(&self, _: &[u8], _: headend::connections::Form) {}
}

fn main() {
    let _ = rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit { current: Some(65_536), maximum: Some(65_536) },
    );
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if args.first().is_some_and(|arg| arg == "peers") {
        return peers();
    }
    let count = args.first().and_then(|arg| arg.parse().ok()).unwrap_or(5000);
    let silent =
        args.iter().skip_while(|arg| *arg != "silent").nth(1).and_then(|arg| arg.parse().ok()).unwrap_or(0);

    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new(program)
        .arg("peers")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("peers");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("address");
    let address: SocketAddr = line.trim().parse().expect("address");

    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    runtime.block_on(measure(address, count, silent));
    drop(child.stdin.take());
    let _ = child.wait();
}

async fn measure(address: SocketAddr, count: usize, silent: usize) {
    let connections = Connections::new(Options::default());
    let up = Arc::new(AtomicUsize::new(0));
    let warm = open(&connections, address, &up, 1);
    wait(&up, 1).await;
    let before = rss();
    let start = Instant::now();
    let (swallow, _backlog) = swallowing();
    let lost = open(&connections, swallow, &up, silent);
    let links = open(&connections, address, &up, count);
    wait(&up, count + 1).await;
    println!("{count} links ({silent} more to a silent address): all up after {:?}", start.elapsed());
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let after = rss();
    println!(
        "resident before {} KiB, after {} KiB: {} bytes per link",
        before / 1024,
        after / 1024,
        (after - before) / (count + silent)
    );
    println!("{:?}", connections.metrics());
    drop((warm, links, lost));
}

fn open(connections: &Connections, address: SocketAddr, up: &Arc<AtomicUsize>, count: usize) -> Vec<Link> {
    let target = Target::tcp(address.ip().to_string(), address.port());
    (0..count).map(|_| connections.open(target.clone(), Quiet(up.clone()))).collect()
}

async fn wait(up: &AtomicUsize, count: usize) {
    while up.load(Relaxed) < count {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn swallowing() -> (SocketAddr, Vec<socket2::Socket>) {
    let stream = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("socket");
    let listener = stream();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bind");
    listener.listen(0).expect("listen");
    let address = listener.local_addr().expect("address");
    let mut held = vec![listener];
    for _ in 0..4 {
        let filler = stream();
        filler.set_nonblocking(true).expect("nonblocking");
        let _ = filler.connect(&address);
        held.push(filler);
    }
    (held[0].local_addr().ok().and_then(|address| address.as_socket()).expect("address"), held)
}

fn rss() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("statm");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("resident") * 4096
}

fn peers() {
    // Five thousand devices have five thousand backlogs; here they share one, which the default of 128 would make the limit.
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("socket");
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bind");
    listener.listen(4096).expect("listen");
    let listener = TcpListener::from(listener);
    println!("{}", listener.local_addr().expect("address"));
    std::io::stdout().flush().expect("stdout");
    let ended = std::thread::spawn(|| std::io::stdin().lines().for_each(drop));
    std::thread::spawn(move || {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept() {
            held.push(stream);
        }
    });
    let _ = ended.join();
}
