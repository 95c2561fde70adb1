//! Where a proxy listens and where it connects to.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket, UnixListener, UnixStream};

#[derive(Clone, Debug)]
pub(crate) enum Place {
    Tcp(SocketAddr),
    Udp(SocketAddr),
    Unix(PathBuf),
}

pub(crate) enum Door {
    Tcp(TcpListener),
    Udp(UdpSocket),
    Unix { listener: UnixListener, _path: Path },
}

/// Is removed when the listener closes.
pub(crate) struct Path(PathBuf);

/// One end of a connection.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {
    /// From here on closing it is a reset.
    fn make_rude(&self);
}

pub(crate) type Stream = Box<dyn Wire>;

impl Place {
    /// Listens; and where that is, if the system chose the port.
    pub(crate) async fn open(self) -> io::Result<(Door, Place)> {
        Ok(match self {
            Place::Tcp(address) => {
                let listener = TcpListener::bind(address).await?;
                let at = Place::Tcp(listener.local_addr()?);
                (Door::Tcp(listener), at)
            }
            Place::Udp(address) => {
                let socket = UdpSocket::bind(address).await?;
                let at = Place::Udp(socket.local_addr()?);
                (Door::Udp(socket), at)
            }
            Place::Unix(path) => {
                let door = Door::Unix { listener: UnixListener::bind(&path)?, _path: Path(path.clone()) };
                (door, Place::Unix(path))
            }
        })
    }

    /// A socket that has the port and does not listen.
    pub(crate) fn reserve(&self) -> io::Result<Option<TcpSocket>> {
        let Place::Tcp(address) = self else { return Ok(None) };
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(*address)?;
        Ok(Some(socket))
    }

    pub(crate) async fn connect(&self) -> io::Result<Stream> {
        Ok(match self {
            Place::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Place::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Place::Udp(_) => return Err(io::ErrorKind::Unsupported.into()),
        })
    }
}

impl Door {
    pub(crate) async fn accept(&self) -> io::Result<Stream> {
        Ok(match self {
            Door::Tcp(listener) => {
                let stream = listener.accept().await?.0;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Door::Unix { listener, .. } => Box::new(listener.accept().await?.0),
            Door::Udp(_) => return Err(io::ErrorKind::Unsupported.into()),
        })
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Wire for TcpStream {
    fn make_rude(&self) {
        let _ = socket2::SockRef::from(self).set_linger(Some(Duration::ZERO));
    }
}

impl Wire for UnixStream {
    fn make_rude(&self) {}
}
