//! A device on loopback that echoes lines, and that can go away and come back.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    task::JoinSet,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The device. Dropping it takes it off the network.
pub struct Device {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    running: Option<DropGuard>,
}

impl Device {
    pub async fn start() -> Device {
        Self::at(([127, 0, 0, 1], 0).into()).await
    }

    pub async fn at(address: SocketAddr) -> Device {
        let mut device = Device { address, connections: Arc::default(), running: None };
        device.come_back().await;
        device
    }

    /// How often it was connected to.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Closes its connections, and refuses new ones.
    pub fn go_away(&mut self) {
        self.running = None;
    }

    /// Listens again where it did.
    pub async fn come_back(&mut self) {
        let listener =
            super::until("the device's port is free", async || TcpListener::bind(self.address).await.ok());
        let listener = listener.await;
        self.address = listener.local_addr().unwrap();
        let token = CancellationToken::new();
        let (stop, connections) = (token.clone(), self.connections.clone());
        self.running = Some(token.drop_guard());
        tokio::spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let stream = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap().0,
                    () = stop.cancelled() => return,
                };
                connections.fetch_add(1, Ordering::SeqCst);
                open.spawn(async move {
                    let (read, mut write) = stream.into_split();
                    let mut lines = BufReader::new(read).lines();
                    while let Ok(Some(line)) = lines.next_line().await {
                        if write.write_all(format!("{line}\n").as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
    }
}
