//! Frames on their way to a driver process.
//!
//! Whoever has a frame encodes it straight into one shared buffer, under a lock held only for that; one writer takes
//! the whole buffer at a time. Calls never wait. Bytes from devices do, fairly and in order of arrival, once
//! [`Options::received_bytes`](crate::runtime::Options) of them are in the buffer: one device cannot crowd out the calls.

use std::io;

use bytes::BytesMut;
use drivers_sdk_protocol::frame;
use drivers_sdk_protocol::{Kind, frame::HEADER};
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{Notify, Semaphore};

/// A buffer that grew beyond this is given back once it is written.
const KEPT_CAPACITY: usize = 256 * 1024;

pub(crate) struct Outgoing {
    state: Mutex<State>,
    filled: Notify,
    room: Semaphore,
    device_bytes: usize,
    limit: usize,
}

#[derive(Default)]
struct State {
    buffer: BytesMut,
    device_bytes: usize,
    closed: bool,
    /// Nobody reads at the other end: more waits than may.
    choked: bool,
}

/// The channel is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

impl Outgoing {
    /// `device_bytes`: how many bytes from devices may wait. `limit`: how many bytes in all.
    pub(crate) fn new(device_bytes: usize, limit: usize) -> Outgoing {
        Outgoing {
            state: Mutex::default(),
            filled: Notify::new(),
            room: Semaphore::new(device_bytes.max(1)),
            device_bytes: device_bytes.max(1),
            limit,
        }
    }

    /// Appends a frame.
    pub(crate) fn push(
        &self,
        kind: Kind,
        module: u32,
        correlation: u32,
        write: impl FnOnce(&mut BytesMut),
    ) -> Result<(), Closed> {
        self.append(0, kind, module, correlation, write)
    }

    fn append(
        &self,
        device_bytes: usize,
        kind: Kind,
        module: u32,
        correlation: u32,
        write: impl FnOnce(&mut BytesMut),
    ) -> Result<(), Closed> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Closed);
        }
        let idle = state.buffer.is_empty();
        // What is too large for a frame was refused before it got here.
        if let Err(error) = frame::encode_with(&mut state.buffer, kind, module, correlation, write) {
            tracing::error!(%error, ?kind, module, "frame not sent");
            return Ok(());
        }
        state.device_bytes += device_bytes;
        if state.buffer.len() > self.limit {
            state.choked = true;
        }
        drop(state);
        if idle {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Waits for room for bytes from a device. Give the permit to [`Outgoing::push_received`].
    pub(crate) async fn room(&self, bytes: usize) -> Result<Room, Closed> {
        let bytes = bytes.min(self.device_bytes);
        let wanted = u32::try_from(bytes).unwrap_or(u32::MAX);
        if let Ok(permit) = self.room.try_acquire_many(wanted) {
            permit.forget();
            return Ok(Room(bytes));
        }
        match self.room.acquire_many(wanted).await {
            Ok(permit) => {
                permit.forget();
                Ok(Room(bytes))
            }
            Err(_) => Err(Closed),
        }
    }

    /// Appends a frame with bytes from a device, for which there is room.
    pub(crate) fn push_received(&self, kind: Kind, module: u32, correlation: u32, bytes: &[u8], room: Room) {
        let Room(reserved) = room;
        let write = |out: &mut BytesMut| out.extend_from_slice(bytes);
        if self.append(reserved, kind, module, correlation, write).is_err() {
            self.room.add_permits(reserved);
        }
    }

    /// Gives unused room back.
    pub(crate) fn give_back(&self, room: Room) {
        self.room.add_permits(room.0);
    }

    /// Bytes that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().buffer.len()
    }

    /// More waits than may: the process does not read.
    pub(crate) fn is_choked(&self) -> bool {
        self.state.lock().choked
    }

    /// Nothing more is taken; what waits is still written. Whoever waits for room is told.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.room.close();
        self.filled.notify_one();
    }

    /// Writes until the channel is closed or the process has closed its end.
    pub(crate) async fn write(&self, mut stream: OwnedWriteHalf) -> io::Result<()> {
        let mut chunk = BytesMut::new();
        loop {
            let (device_bytes, closed) = {
                let mut state = self.state.lock();
                std::mem::swap(&mut state.buffer, &mut chunk);
                // What was written before has been taken: however much came meanwhile, it reads.
                state.choked = false;
                (std::mem::take(&mut state.device_bytes), state.closed)
            };
            if chunk.is_empty() {
                if closed {
                    return stream.shutdown().await;
                }
                self.filled.notified().await;
                continue;
            }
            stream.write_all(&chunk).await?;
            self.room.add_permits(device_bytes);
            chunk.clear();
            if chunk.capacity() > KEPT_CAPACITY {
                chunk = BytesMut::with_capacity(4 * HEADER);
            }
        }
    }
}

/// Room for so many bytes.
#[derive(Debug)]
#[must_use]
pub(crate) struct Room(usize);
