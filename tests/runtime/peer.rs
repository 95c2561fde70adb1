//! Devices: TCP servers that echo lines and count their connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

pub(crate) struct Echo {
    pub(crate) port: u16,
    connections: Arc<AtomicUsize>,
    /// Sent to every connection; an empty text closes them.
    pub(crate) send: broadcast::Sender<Vec<u8>>,
}

impl Echo {
    pub(crate) async fn new() -> Echo {
        Echo::greeting("").await
    }

    /// Greets every connection.
    pub(crate) async fn greeting(greeting: &'static str) -> Echo {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let send = broadcast::Sender::new(1024);
        let (count, say) = (connections.clone(), send.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, greeting, say.subscribe()));
            }
        });
        Echo { port, connections, send }
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, greeting: &str, mut say: broadcast::Receiver<Vec<u8>>) {
    stream.set_nodelay(true).unwrap();
    let _ = stream.write_all(greeting.as_bytes()).await;
    let mut chunk = vec![0; 16 * 1024];
    loop {
        tokio::select! {
            read = stream.read(&mut chunk) => match read {
                Ok(0) | Err(_) => return,
                Ok(read) => if stream.write_all(&chunk[..read]).await.is_err() { return },
            },
            Ok(text) = say.recv() => {
                if text.is_empty() || stream.write_all(&text).await.is_err() { return }
            }
        }
    }
}
