//! git:// : one TCP connection, a request line, then the git protocol in both directions.

use std::io::{self, Read, Write};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Session;

pub(super) struct Duplex {
    session: Arc<Session>,
    stream: TcpStream,
}

pub(super) fn open(session: Arc<Session>, host: &str, port: u16, path: &str) -> io::Result<Duplex> {
    let mut stream = session.connect(async {
        TcpStream::connect((host, port)).await.map_err(|error| session.unreachable(error.to_string()))
    })?;
    let request = format!("git-upload-pack {path}\0host={host}:{port}\0");
    let request = format!("{:04x}{request}", request.len() + 4);
    session.exchange(async {
        stream.write_all(request.as_bytes()).await.map_err(|error| session.unreachable(error.to_string()))
    })?;
    Ok(Duplex { session, stream })
}

impl Read for Duplex {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let session = &self.session;
        let read = self.stream.read(buffer);
        session.exchange(async { read.await.map_err(|error| session.unreachable(error.to_string())) })
    }
}

impl Write for Duplex {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let session = &self.session;
        let written = self.stream.write(bytes);
        session.exchange(async { written.await.map_err(|error| session.unreachable(error.to_string())) })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
