//! Emulated devices: the other end of a driver, in the same package.
//!
//! ```
//! use drivers_sdk::emulator::*;
//! use drivers_sdk::framing::lines;
//! use drivers_sdk::Result;
//! use std::cell::Cell;
//!
//! #[derive(Default)]
//! struct Lamp {
//!     on: Cell<bool>,
//! }
//!
//! impl Device for Lamp {
//!     type Settings = ();
//!
//!     fn create(_: ()) -> Result<Self> {
//!         Ok(Lamp::default())
//!     }
//!
//!     async fn session(&self, mut stream: DeviceStream) -> Result {
//!         stream.framing(lines("\r\n"));
//!         while let Some(line) = stream.next().await? {
//!             match &*line.text() {
//!                 "ON" => self.on.set(true),
//!                 "OFF" => self.on.set(false),
//!                 "?" => {}
//!                 _ => {
//!                     stream.send("ERROR").await?;
//!                     continue;
//!                 }
//!             }
//!             stream.send(if self.on.get() { "LAMP ON" } else { "LAMP OFF" }).await?;
//!         }
//!         Ok(())
//!     }
//! }
//! ```

mod http;

pub use http::{HttpRequest, HttpServer};

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use bytes::BytesMut;
use drivers_sdk_protocol::emulated;
use drivers_sdk_protocol::message::Form;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::framing::{Fault, Framer, Framing, none};
use crate::settings::Settings;

/// Bytes read at once.
const READ: usize = 4096;

/// A model of a device. Its state outlives connections, as that of a device does: keep it in `Cell`s and `RefCell`s, for
/// sessions share it. Everything runs on one thread.
pub trait Device: Sized + 'static {
    /// What it needs of the module's settings, such as the password that the driver will use; `()` for nothing.
    type Settings: Settings;

    /// Makes the device as it is when its plug is put in.
    fn create(settings: Self::Settings) -> Result<Self>;

    /// Serves one connection, until the peer closes it or the device does by returning.
    fn session(&self, stream: DeviceStream) -> impl Future<Output = Result>;
}

trait Wire: AsyncRead + AsyncWrite {}
impl<T: AsyncRead + AsyncWrite> Wire for T {}

type BoxedWire = Box<dyn Wire + Unpin>;

/// A device's end of a connection.
pub struct DeviceStream {
    read: ReadHalf<BoxedWire>,
    writer: DeviceWriter,
    frames: VecDeque<Frame>,
    /// Of a device with messages: the beginning of the next one.
    messages: Option<BytesMut>,
}

impl std::fmt::Debug for DeviceStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceStream").finish_non_exhaustive()
    }
}

impl DeviceStream {
    /// A device's end of any stream, for tests.
    pub fn new(stream: impl AsyncRead + AsyncWrite + Unpin + 'static) -> DeviceStream {
        DeviceStream::over(Box::new(stream), None)
    }

    /// The same of a device with messages, which have boundaries (UDP, WebSocket): the stream carries them as
    /// [`drivers_sdk_protocol::emulated`] says.
    pub fn messages(stream: impl AsyncRead + AsyncWrite + Unpin + 'static) -> DeviceStream {
        DeviceStream::over(Box::new(stream), Some(BytesMut::new()))
    }

    fn over(wire: BoxedWire, messages: Option<BytesMut>) -> DeviceStream {
        let (read, write) = split(wire);
        let framer = Rc::new(RefCell::new(Framer::new(none())));
        let writer = DeviceWriter { write: Rc::new(Mutex::new(write)), framer, messages: messages.is_some() };
        DeviceStream { read, writer, frames: VecDeque::new(), messages }
    }

    /// Says how frames are told apart from here on, in both directions. None, unless this is called: then each message is
    /// one, of a device that has messages.
    pub fn framing(&mut self, framing: Framing) {
        self.writer.framer.replace(Framer::new(framing));
    }

    /// The next frame; `None` when the peer closed the connection.
    pub async fn next(&mut self) -> Result<Option<Frame>> {
        let mut buffer = [0; READ];
        while self.frames.is_empty() {
            let gap = self.writer.framer.borrow().gap();
            let read = self.read.read(&mut buffer);
            let read = match gap {
                Some(gap) => timeout(gap, read).await.unwrap_or(Ok(0))?,
                None => read.await?,
            };
            let mut framer = self.writer.framer.borrow_mut();
            if let Some(messages) = &mut self.messages {
                match buffer.get(..read) {
                    None | Some([]) => return Ok(None),
                    Some(bytes) => messages.extend_from_slice(bytes),
                }
                let garbled = |error: emulated::Error| Error::device(error.to_string());
                while let Some((form, message)) = emulated::decode(messages).map_err(garbled)? {
                    let take = |frame: &[u8]| self.frames.push_back(Frame::of_form(frame, form));
                    if let Err(fault) = framer.push_message(&message, take) {
                        framer.reset();
                        eprintln!("emulator: {fault}");
                    }
                }
                continue;
            }
            let mut take = |frame: &[u8]| self.frames.push_back(Frame::from(frame));
            match buffer.get(..read) {
                None | Some([]) if gap.is_some() => framer.end(take),
                None | Some([]) => return Ok(None),
                Some(bytes) => {
                    if let Err(fault @ Fault::OutOfStep(_)) = framer.push(bytes, &mut take) {
                        return Err(Error::device(fault.to_string()));
                    }
                }
            }
        }
        Ok(self.frames.pop_front())
    }

    /// Sends a frame.
    pub async fn send(&self, message: impl Into<Vec<u8>>) -> Result {
        self.writer.send(message).await
    }

    /// Sends a message of text, if it goes to a WebSocket; else as [`send`](Self::send).
    pub async fn send_text(&self, text: impl Into<String>) -> Result {
        self.writer.send_text(text).await
    }

    /// Another way to write to this connection, for what the device says by itself or what another session causes.
    pub fn writer(&self) -> DeviceWriter {
        self.writer.clone()
    }
}

/// Writes to a connection.
#[derive(Clone)]
pub struct DeviceWriter {
    write: Rc<Mutex<WriteHalf<BoxedWire>>>,
    framer: Rc<RefCell<Framer>>,
    messages: bool,
}

impl std::fmt::Debug for DeviceWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceWriter").finish_non_exhaustive()
    }
}

impl DeviceWriter {
    /// Sends a frame.
    pub async fn send(&self, message: impl Into<Vec<u8>>) -> Result {
        self.write(&message.into(), Form::Bytes).await
    }

    /// Sends a message of text, if it goes to a WebSocket; else as [`send`](Self::send).
    pub async fn send_text(&self, text: impl Into<String>) -> Result {
        self.write(text.into().as_bytes(), Form::Text).await
    }

    async fn write(&self, message: &[u8], form: Form) -> Result {
        let mut bytes = self.framer.borrow_mut().encode(message)?.into_owned();
        if self.messages {
            let mut whole = BytesMut::new();
            let too_long = |error: emulated::Error| Error::device(error.to_string());
            emulated::encode(&mut whole, form, &bytes).map_err(too_long)?;
            bytes = whole.into();
        }
        Ok(self.write.lock().await.write_all(&bytes).await?)
    }
}

/// Makes a device from the JSON text of a module's settings; empty means none.
pub fn create<D: Device>(settings: &str) -> Result<D> {
    let settings = if settings.trim().is_empty() { "{}" } else { settings };
    D::create(D::Settings::parse(settings)?)
}

/// Serves a device on every connection that the listener accepts. Runs on a
/// [`LocalRuntime`](tokio::runtime::LocalRuntime) or in a [`LocalSet`](tokio::task::LocalSet).
pub async fn serve<D: Device>(device: D, listener: UnixListener) -> io::Result<()> {
    accept(device, listener, DeviceStream::new).await
}

/// As [`serve`], a device with messages.
pub async fn serve_messages<D: Device>(device: D, listener: UnixListener) -> io::Result<()> {
    accept(device, listener, DeviceStream::messages).await
}

async fn accept<D: Device>(
    device: D,
    listener: UnixListener,
    open: fn(UnixStream) -> DeviceStream,
) -> io::Result<()> {
    let device = Rc::new(device);
    loop {
        let (stream, _) = listener.accept().await?;
        let device = device.clone();
        tokio::task::spawn_local(async move {
            if let Err(error) = device.session(open(stream)).await {
                eprintln!("emulator: a session ended: {error}");
            }
        });
    }
}
