//! A device with an SSH server in this process, which asks for the password in a dialogue; what its shell reads and writes is
//! seen as the stream.

use super::{FarEnd, Kind, Listener, Porch, Reason, Stream, Target};
use crate::{connections::ssh::Settings, secrets::Secret};
use futures_util::future::{BoxFuture, FutureExt as _};
use parking_lot::Mutex;
use russh::{
    Channel, ChannelId, ChannelStream, MethodKind, MethodSet,
    keys::{Algorithm, HashAlg, PrivateKey},
    server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Response, Session, run_stream},
};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::oneshot,
};

const PASSWORD: &str = "hunter2";

pub(in crate::connections::tests) struct Ssh {
    porch: Porch,
    fingerprint: String,
}

/// The server's side of one session.
struct Host {
    channel: Option<Channel<Msg>>,
    opened: Option<oneshot::Sender<Channel<Msg>>>,
}

/// A connection that can be torn out of the server's hands.
#[derive(Clone)]
struct Torn(Arc<Mutex<Option<TcpStream>>>);

struct Shell {
    stream: ChannelStream<Msg>,
    below: Torn,
}

impl Kind for Ssh {
    // In the middle of the handshake; it is a reset if the device has not read what was said.
    const CLOSED_AT_ONCE: &'static [Reason] = &[Reason::Closed, Reason::Reset];
    const GARBLED: &'static [Reason] = &[Reason::Protocol];

    fn make() -> Self {
        let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).expect("key");
        let fingerprint = key.public_key().fingerprint(HashAlg::Sha256).to_string();
        let config = Arc::new(Config {
            keys: vec![key],
            // Its session must not wait for a shell that waits for it: what any test echoes has room. In packets of 32 KiB
            // at most, so that it takes no more than 128 MiB that nobody reads.
            channel_buffer_size: 4096,
            methods: MethodSet::from(&[MethodKind::KeyboardInteractive][..]),
            auth_rejection_time: Duration::ZERO,
            ..Config::default()
        });
        let porch = Porch::new(Listener::address(), move |stream| shell(config.clone(), stream).boxed());
        Self { porch, fingerprint }
    }

    fn target(&self) -> Target {
        let settings = Settings {
            username: "ada".into(),
            password: Some(Secret::new(PASSWORD)),
            login_ms: 60_000,
            host_key: serde_json::from_value(self.fingerprint.as_str().into()).expect("a host key"),
            ..Settings::default()
        };
        Target::ssh(self.porch.address.ip().to_string(), self.porch.address.port(), settings)
    }

    async fn appear(&mut self) {
        self.porch.appear().await;
    }

    fn disappear(&mut self) {
        self.porch.disappear();
    }

    async fn accept(&self) -> Stream {
        self.porch.accept().await
    }
}

async fn shell(config: Arc<Config>, stream: Stream) -> Option<Stream> {
    let stream = stream.system()?;
    let (opened, channel) = oneshot::channel();
    let below = Torn(Arc::new(Mutex::new(Some(stream))));
    let session =
        run_stream(config, below.clone(), Host { channel: None, opened: Some(opened) }).await.ok()?;
    tokio::spawn(session);
    let stream = channel.await.ok()?.into_stream();
    Some(Box::new(Shell { stream, below }))
}

impl Handler for Host {
    type Error = russh::Error;

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        let Some(mut answers) = response else {
            return Ok(Auth::Partial {
                name: "".into(),
                instructions: "Who is there?".into(),
                prompts: vec![("Password: ".into(), false)].into(),
            });
        };
        let right = user == "ada" && answers.next().is_some_and(|answer| answer == PASSWORD);
        Ok(if right { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.channel = Some(channel);
        reply.accept().await;
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(russh::Pty, u32)],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_success(channel)
    }

    async fn shell_request(&mut self, id: ChannelId, session: &mut Session) -> Result<(), russh::Error> {
        session.channel_success(id)?;
        if let (Some(channel), Some(opened)) = (self.channel.take(), self.opened.take()) {
            let _ = opened.send(channel);
        }
        Ok(())
    }
}

impl FarEnd for Shell {
    fn reset(self: Box<Self>) -> BoxFuture<'static, ()> {
        let stream = self.below.0.lock().take();
        match stream {
            Some(stream) => FarEnd::reset(Box::new(stream)),
            None => std::future::ready(()).boxed(),
        }
    }
}

impl AsyncRead for Shell {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Shell {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Torn {
    fn with<T>(
        &self,
        use_it: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match &mut *self.0.lock() {
            Some(stream) => use_it(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }
}

impl AsyncRead for Torn {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Torn {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_shutdown(cx))
    }
}
