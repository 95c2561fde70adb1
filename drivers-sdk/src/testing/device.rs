//! A model of the device at the other end of the link: each connection is a session of the model.

use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use drivers_sdk_protocol::emulated;
use drivers_sdk_protocol::message::Form;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, split};
use tokio::sync::mpsc;
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::daemon::Daemon;
use crate::emulator::{Device, DeviceStream};
use crate::error::Result;

/// Bytes on their way between the device and the daemon, and read at once.
const PIPE: usize = 64 * 1024;
/// How long until a connection that the device ended, or the driver dropped, is made again.
pub(super) const RECONNECT: Duration = Duration::from_secs(1);
/// How long a device that refused a login is left alone.
pub(super) const REFUSED: Duration = Duration::from_secs(30);

/// A [`Device`], whatever its type.
pub(super) trait Far {
    /// Serves a connection; of messages, or of a stream.
    fn serve(self: Rc<Self>, stream: DuplexStream, messages: bool) -> Pin<Box<dyn Future<Output = Result>>>;

    /// It is out there, and time cannot be the test's.
    fn is_real(&self) -> bool {
        false
    }
}

impl<E: Device> Far for E {
    fn serve(self: Rc<Self>, stream: DuplexStream, messages: bool) -> Pin<Box<dyn Future<Output = Result>>> {
        let stream = if messages { DeviceStream::messages(stream) } else { DeviceStream::new(stream) };
        Box::pin(async move { self.session(stream).await })
    }
}

/// Makes a connection to the model.
pub(super) fn connect(daemon: &Rc<Daemon>, device: Rc<dyn Far>) {
    let (ours, theirs) = tokio::io::duplex(PIPE);
    let (to_device, mut outgoing) = mpsc::unbounded_channel::<(Form, Vec<u8>)>();
    let (this, messages) = (daemon.clone(), daemon.look().link.messages);
    let tasks = spawn_local(async move {
        let (mut read, mut write) = split(ours);
        let mut session = Aborted(spawn_local(device.serve(theirs, messages)));
        let writing = async {
            while let Some((form, mut bytes)) = outgoing.recv().await {
                if messages {
                    let mut whole = BytesMut::new();
                    let _ = emulated::encode(&mut whole, form, &bytes);
                    bytes = whole.into();
                }
                if write.write_all(&bytes).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        let reading = async {
            let mut buffer = BytesMut::new();
            while let Ok(1..) = read.read_buf(&mut buffer).await {
                if !messages {
                    this.said(Form::Bytes, &buffer.split());
                }
                if !this.look().link.open {
                    // It broke just now, and this task ends as soon as it waits.
                    std::future::pending::<()>().await;
                }
                while messages && let Ok(Some((form, message))) = emulated::decode(&mut buffer) {
                    this.said(form, &message);
                }
            }
        };
        let (mut reading, mut writing) = (pin!(reading), pin!(writing));
        let ended = tokio::select! {
            () = &mut reading => (&mut session.0).await,
            ended = &mut session.0 => {
                // Other sessions may hold on to its stream; what it said itself is here.
                let _ = timeout(Duration::from_millis(1), reading).await;
                ended
            }
            () = &mut writing => return,
        };
        let why = match ended {
            Ok(Ok(())) => "the device closed the connection".to_owned(),
            Ok(Err(error)) => format!("the device model gave up: {error}"),
            Err(panic) => {
                this.state().over.get_or_insert(format!("the device model panicked: {panic}"));
                return;
            }
        };
        // This task ends here by itself: it must not be aborted before it has said so.
        this.state().link.device = None;
        this.connection_lost(&why);
        if !this.makebreak {
            this.link_up_after(RECONNECT);
        }
    });
    daemon.state().link.device = Some((to_device, tasks.abort_handle()));
}

/// A task that ends with whoever waits for it.
struct Aborted<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Aborted<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
