//! A device at a serial port: pseudo terminals, one after the other, under a name that stays the same, as an adapter that
//! is unplugged and plugged in again has under `/dev/serial/by-id`.

use super::{
    super::super::{Address, Reason, Target},
    super::harness::eventually,
    FarEnd, Kind, Stream,
};
use crate::model::serial::LineSettings;
use futures_util::future::{BoxFuture, FutureExt as _};
use parking_lot::Mutex;
use std::{
    io,
    os::unix::fs::symlink,
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_serial::{SerialPort as _, SerialStream};

pub(in super::super) struct Serial {
    directory: tempfile::TempDir,
    /// The next to be opened.
    plugged: Mutex<Option<Plugged>>,
}

struct Plugged {
    master: SerialStream,
    /// Until somebody else has it open: a terminal that nobody has open has hung up.
    slave: SerialStream,
}

struct PtyEnd(SerialStream);

impl Serial {
    fn path(&self) -> PathBuf {
        self.directory.path().join("usb-Adapter-if00-port0")
    }

    fn plug(&self) {
        let (master, slave) = SerialStream::pair().expect("a pseudo terminal");
        let fresh = self.directory.path().join("fresh");
        symlink(slave.name().expect("its name"), &fresh).expect("link");
        std::fs::rename(fresh, self.path()).expect("rename");
        *self.plugged.lock() = Some(Plugged { master, slave });
    }
}

impl Kind for Serial {
    const REFUSED: Reason = Reason::Serial;
    const CLOSED: Reason = Reason::Serial;
    const RESET: &'static [Reason] = &[Reason::Serial];
    const LAST_WORDS: bool = false;
    const USER_TIMEOUT: bool = false;

    fn make() -> Self {
        Self { directory: tempfile::tempdir().expect("directory"), plugged: Mutex::default() }
    }

    fn target(&self) -> Target {
        let line = LineSettings::default().line().expect("settings");
        Target::new(Address::Serial { path: self.path(), line })
    }

    async fn appear(&mut self) {
        self.plug();
    }

    fn disappear(&mut self) {
        let _ = std::fs::remove_file(self.path());
        *self.plugged.lock() = None;
    }

    async fn accept(&self) -> Stream {
        let Plugged { master, slave } = self.plugged.lock().take().expect("plugged in");
        // Whoever opens it sets its rate, which is another one before.
        eventually("opened", || slave.baud_rate().expect("a rate") == 9600).await;
        self.plug();
        Box::new(PtyEnd(master))
    }
}

impl AsyncRead for PtyEnd {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.0).poll_read(cx, buf)) {
            // Closed at the other end.
            Err(error) if error.raw_os_error() == Some(5) => Poll::Ready(Ok(())),
            outcome => Poll::Ready(outcome),
        }
    }
}

impl AsyncWrite for PtyEnd {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl FarEnd for PtyEnd {
    /// Unplugged.
    fn reset(self: Box<Self>) -> BoxFuture<'static, ()> {
        std::future::ready(()).boxed()
    }
}
