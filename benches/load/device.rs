//! The devices of the load: one TCP server that echoes lines, and the raw client it is compared with.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::figures::Latencies;

/// A server that echoes whatever it is sent, on a thread of its own; every module of a load connects to it.
pub struct Echo {
    pub address: SocketAddr,
    connected: Arc<AtomicUsize>,
}

impl Echo {
    pub fn start() -> anyhow::Result<Echo> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        // A full start-up connects thousands at once: the default backlog of 128 would measure SYN retries.
        rustix::net::listen(&listener, 4096)?;
        let address = listener.local_addr()?;
        let connected = Arc::new(AtomicUsize::new(0));
        let count = connected.clone();
        std::thread::Builder::new().name("echo".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime for the echo device").block_on(serve(listener, count));
        })?;
        Ok(Echo { address, connected })
    }

    /// Connections that are open now.
    pub fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// Waits until `number` connections are open; the time it took since `since`.
    pub async fn reaches(&self, number: usize, since: Instant, limit: Duration) -> anyhow::Result<Duration> {
        loop {
            if self.connected() == number {
                return Ok(since.elapsed());
            }
            if since.elapsed() > limit {
                anyhow::bail!("{} of {number} modules connected within {limit:?}", self.connected());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn serve(listener: std::net::TcpListener, connected: Arc<AtomicUsize>) {
    let listener = TcpListener::from_std(listener).expect("the listener is non-blocking");
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let connected = connected.clone();
        tokio::spawn(async move {
            connected.fetch_add(1, Ordering::Relaxed);
            let _ = echo(stream).await;
            connected.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; 256];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..read]).await?;
    }
}

/// Round trips straight to the device: `connections` of them, one in flight each, for `span`.
pub async fn raw(address: SocketAddr, connections: usize, span: Duration) -> anyhow::Result<Latencies> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        clients.push(tokio::spawn(async move { round_trips(stream, span).await }));
    }
    let mut all = Latencies::new(span);
    for client in clients {
        all.extend(client.await??);
    }
    Ok(all)
}

async fn round_trips(mut stream: TcpStream, span: Duration) -> std::io::Result<Vec<Duration>> {
    let started = Instant::now();
    let mut took = Vec::new();
    let mut buffer = [0; 256];
    while started.elapsed() < span {
        let sent = Instant::now();
        stream.write_all(b"hello\n").await?;
        stream.read_exact(&mut buffer[..6]).await?;
        took.push(sent.elapsed());
    }
    Ok(took)
}
