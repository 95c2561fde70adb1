//! How to make a peer of each kind, and the target that reaches it.

mod gateway;
mod listener;
mod porch;
mod pty;
mod ssh;
mod tls;
mod websocket;

pub(super) use gateway::Rfc2217;
pub(super) use listener::Listener;
pub(super) use porch::Porch;
pub(super) use pty::Serial;
pub(super) use ssh::Ssh;
pub(super) use tls::{Tls, acceptor};
pub(super) use websocket::{WebSocket, target as websocket_target};

use super::{
    super::{Reason, Target},
    harness::DEADLINE,
};
use futures_util::future::{BoxFuture, FutureExt as _};
use std::{
    future::poll_fn,
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixListener, UnixStream},
};

/// The device's end of a connection, as the bytes within: decrypted, unwrapped.
pub(super) trait FarEnd: AsyncRead + AsyncWrite + Send + Unpin {
    /// Ends it the rude way.
    fn reset(self: Box<Self>) -> BoxFuture<'static, ()>;

    /// The system's socket, where this is one.
    fn system(self: Box<Self>) -> Option<TcpStream> {
        None
    }
}

pub(super) type Stream = Box<dyn FarEnd>;

/// A kind of connection: a device that can be there or not, at an address that stays the same.
pub(super) trait Kind: Send + Sync + 'static {
    /// What it is called when nothing is there.
    const REFUSED: Reason = Reason::Refused;

    /// What it is called when the peer ends the connection.
    const CLOSED: Reason = Reason::Closed;

    /// What the peer says right before it ends the connection arrives. Not so where the system drops it (serial ports).
    const LAST_WORDS: bool = true;

    /// What a reset may be called.
    const RESET: &'static [Reason] = &[Reason::Reset];

    /// A reset needs nothing unread.
    const RESETS_AT_WILL: bool = true;

    /// What it is called when connections are accepted and closed at once.
    const CLOSED_AT_ONCE: &'static [Reason] = &[Reason::Closed];

    /// What garbage instead of a handshake is called; none: there is no handshake, and it is received.
    const GARBLED: &'static [Reason] = &[];

    /// The system gives a peer up that takes nothing any more.
    const USER_TIMEOUT: bool = true;

    /// Not listening yet.
    fn make() -> Self;
    fn target(&self) -> Target;
    async fn appear(&mut self);
    /// Stops listening; connections there are live on.
    fn disappear(&mut self);
    async fn accept(&self) -> Stream;
}

/// Longer than any test takes, but for those about it.
const HOLD: Duration = Duration::from_secs(300);

pub(super) struct Tcp {
    address: SocketAddr,
    listener: Option<Listener>,
}

pub(super) struct TcpMakeBreak(Tcp);

pub(super) struct Unix {
    directory: tempfile::TempDir,
    listener: Option<UnixListener>,
}

pub(super) struct UnixMakeBreak(Unix);

pub(super) struct TlsMakeBreak(Tls);
/// A bus with one member.
pub(super) struct Bus(Tcp);

pub(super) struct BusMakeBreak(Bus);

pub(super) struct SshMakeBreak(Ssh);

pub(super) struct SerialMakeBreak(Serial);

pub(super) struct Rfc2217MakeBreak(Rfc2217);

pub(super) struct WebSocketMakeBreak(WebSocket);

impl Kind for Tcp {
    fn make() -> Self {
        Self { address: Listener::address(), listener: None }
    }

    fn target(&self) -> Target {
        Target::tcp(self.address.ip().to_string(), self.address.port())
    }

    async fn appear(&mut self) {
        self.listener = Some(Listener::bind(self.address).await);
    }

    fn disappear(&mut self) {
        self.listener = None;
    }

    async fn accept(&self) -> Stream {
        let listener = self.listener.as_ref().expect("listening");
        let accept = poll_fn(|cx| listener.poll_accept(cx));
        tokio::time::timeout(DEADLINE, accept).await.expect("a connection in time").expect("accept")
    }
}

impl Kind for Bus {
    fn make() -> Self {
        Self(Tcp::make())
    }

    fn target(&self) -> Target {
        self.0.target().shared()
    }

    async fn appear(&mut self) {
        self.0.appear().await;
    }

    fn disappear(&mut self) {
        self.0.disappear();
    }

    async fn accept(&self) -> Stream {
        self.0.accept().await
    }
}

impl Kind for Unix {
    // Linux tells a Unix socket of a reset once, and not at all if that falls into a write of which some bytes still went.
    const RESET: &'static [Reason] = &[Reason::Reset, Reason::Closed];
    const RESETS_AT_WILL: bool = false;
    const USER_TIMEOUT: bool = false;

    fn make() -> Self {
        Self { directory: tempfile::tempdir().expect("directory"), listener: None }
    }

    fn target(&self) -> Target {
        Target::unix(self.directory.path().join("s"))
    }

    async fn appear(&mut self) {
        self.listener = Some(UnixListener::bind(self.directory.path().join("s")).expect("bind"));
    }

    fn disappear(&mut self) {
        self.listener = None;
        let _ = std::fs::remove_file(self.directory.path().join("s"));
    }

    async fn accept(&self) -> Stream {
        let listener = self.listener.as_ref().expect("listening");
        let accepted = tokio::time::timeout(DEADLINE, listener.accept()).await.expect("a connection in time");
        Box::new(accepted.expect("accept").0)
    }
}

macro_rules! make_break {
    ($kind:ident, $inner:ident) => {
        impl Kind for $kind {
            const REFUSED: Reason = $inner::REFUSED;
            const CLOSED: Reason = $inner::CLOSED;
            const LAST_WORDS: bool = $inner::LAST_WORDS;
            const RESET: &'static [Reason] = $inner::RESET;
            const RESETS_AT_WILL: bool = $inner::RESETS_AT_WILL;
            const CLOSED_AT_ONCE: &'static [Reason] = $inner::CLOSED_AT_ONCE;
            const GARBLED: &'static [Reason] = $inner::GARBLED;
            const USER_TIMEOUT: bool = $inner::USER_TIMEOUT;

            fn make() -> Self {
                Self($inner::make())
            }
            fn target(&self) -> Target {
                self.0.target().make_break(HOLD)
            }
            async fn appear(&mut self) {
                self.0.appear().await;
            }
            fn disappear(&mut self) {
                self.0.disappear();
            }
            async fn accept(&self) -> Stream {
                self.0.accept().await
            }
        }
    };
}

make_break!(TcpMakeBreak, Tcp);
make_break!(UnixMakeBreak, Unix);
make_break!(TlsMakeBreak, Tls);
make_break!(WebSocketMakeBreak, WebSocket);
make_break!(BusMakeBreak, Bus);
make_break!(SshMakeBreak, Ssh);
make_break!(SerialMakeBreak, Serial);
make_break!(Rfc2217MakeBreak, Rfc2217);

/// An address of the loopback network that no other test or process uses: nobody else can take the port while a peer is
/// away, and nothing can connect to itself (connections come from 127.0.0.1).
pub(super) fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = std::process::id().wrapping_mul(64) + NEXT.fetch_add(1, Relaxed);
    let [_, a, b, c] = number.to_be_bytes();
    Ipv4Addr::new(127, a | 0x80, b, c)
}

impl FarEnd for UnixStream {
    /// With data unread.
    fn reset(self: Box<Self>) -> BoxFuture<'static, ()> {
        async move {
            let readable = tokio::time::timeout(DEADLINE, self.readable()).await;
            readable.expect("something unread").expect("readable");
        }
        .boxed()
    }
}
