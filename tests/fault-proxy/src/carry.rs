//! One connection: what the client sends goes to the peer and the other way round, as far as the fault lets it.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::place::Stream;
use crate::{End, Fault, GARBAGE, Shared, Towards, flood};

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

struct Connection {
    client: Half,
    /// Connected to when there is a need.
    peer: Option<Half>,
    to_peer: Flow,
    to_client: Flow,
    /// Bytes of a flood sent.
    flooded: u64,
    garbled: bool,
    /// The client goes on alone.
    half_open: bool,
}

struct Half {
    read: ReadHalf<Stream>,
    write: WriteHalf<Stream>,
}

/// One direction: what was read and is not yet written.
#[derive(Default)]
struct Flow {
    waiting: BytesMut,
    /// Since the fault was set.
    carried: u64,
    /// Its sender has ended it.
    ended: bool,
}

/// What a fault does to a direction that passes bytes on.
#[derive(Clone, Copy, Default)]
struct Manner {
    delay: Duration,
    pace: Option<Duration>,
    reset_after: Option<u64>,
}

/// Serves a connection until one of its ends, or the proxy, ends it.
pub(crate) async fn serve(
    client: Stream,
    mut faults: watch::Receiver<Fault>,
    mut cuts: watch::Receiver<End>,
    shared: Arc<Shared>,
) {
    let mut connection = Connection {
        client: Half::new(client),
        peer: None,
        to_peer: Flow::default(),
        to_client: Flow::default(),
        flooded: 0,
        garbled: false,
        half_open: false,
    };
    let end = loop {
        let fault = *faults.borrow_and_update();
        if connection.needs_peer(fault) {
            let peer = shared.peer();
            // A change of the fault must not give it up halfway: the peer may have accepted it.
            tokio::select! {
                stream = peer.connect() => match stream {
                    Ok(stream) => connection.peer = Some(Half::new(stream)),
                    Err(_) => break End::Reset,
                },
                _ = cuts.changed() => break *cuts.borrow(),
            }
            continue;
        }
        tokio::select! {
            end = connection.under(fault, &shared) => break end,
            _ = faults.changed() => {}
            _ = cuts.changed() => break *cuts.borrow(),
        }
    };
    connection.client.end(end);
    if let Some(peer) = connection.peer {
        peer.end(end);
    }
    shared.count(|counts| counts.open -= 1);
}

impl Connection {
    fn needs_peer(&self, fault: Fault) -> bool {
        let alone =
            matches!(fault, Fault::AcceptThenClose | Fault::Silent | Fault::HalfOpen | Fault::Garbage);
        self.peer.is_none() && !self.half_open && !alone
    }

    /// What happens for as long as this fault holds. Loses nothing when it is dropped.
    async fn under(&mut self, fault: Fault, shared: &Shared) -> End {
        (self.to_peer.carried, self.to_client.carried) = (0, 0);
        let (mut up, mut down) = (Manner::default(), Manner::default());
        match fault {
            Fault::None | Fault::Refuse => {}
            Fault::AcceptThenClose => return End::Close,
            Fault::Silent => return pending().await,
            Fault::HalfOpen => {
                (self.peer, self.half_open) = (None, true);
                return self.client.discard().await;
            }
            Fault::Garbage => return self.garble(shared).await.unwrap_or(End::Reset),
            Fault::Flood(bytes) => {
                if self.flood(bytes, shared).await.is_err() {
                    return End::Reset;
                }
            }
            Fault::ResetAfter(Towards::Client, bytes) => down.reset_after = Some(bytes),
            Fault::ResetAfter(Towards::Peer, bytes) => up.reset_after = Some(bytes),
            Fault::Pace(pace) => (up.pace, down.pace) = (Some(pace), Some(pace)),
            Fault::Delay(delay) => (up.delay, down.delay) = (delay, delay),
        }
        // After a time of being half open there is none, and the connection means nothing to the peer.
        let Some(peer) = &mut self.peer else { return End::Reset };
        let up = self.to_peer.run(&mut self.client.read, &mut peer.write, up, |n| {
            shared.count(|counts| counts.to_peer += n);
        });
        let down = self.to_client.run(&mut peer.read, &mut self.client.write, down, |n| {
            shared.count(|counts| counts.to_client += n);
        });
        tokio::try_join!(up, down).map_or(End::Reset, |_| End::Close)
    }

    async fn garble(&mut self, shared: &Shared) -> io::Result<End> {
        if !std::mem::replace(&mut self.garbled, true) {
            self.client.write.write_all(GARBAGE).await?;
            shared.count(|counts| counts.to_client += GARBAGE.len() as u64);
        }
        Ok(self.client.discard().await)
    }

    async fn flood(&mut self, bytes: u64, shared: &Shared) -> io::Result<()> {
        // A whole number of the pattern's lengths.
        let chunk: Vec<u8> = flood(0, 251 * 256).collect();
        while self.flooded < bytes {
            let from = (self.flooded % 251) as usize;
            let left = usize::try_from(bytes - self.flooded).unwrap_or(usize::MAX);
            let piece = chunk.get(from..chunk.len().min(from.saturating_add(left))).unwrap_or_default();
            let written = self.client.write.write(piece).await? as u64;
            self.flooded += written;
            shared.count(|counts| counts.to_client += written);
        }
        Ok(())
    }
}

impl Half {
    fn new(stream: Stream) -> Half {
        let (read, write) = split(stream);
        Half { read, write }
    }

    fn end(self, end: End) {
        let stream = self.read.unsplit(self.write);
        if end == End::Reset {
            stream.make_rude();
        }
    }

    /// Takes what comes until it ends.
    async fn discard(&mut self) -> End {
        let mut bytes = BytesMut::with_capacity(CHUNK);
        loop {
            bytes.clear();
            match self.read.read_buf(&mut bytes).await {
                Ok(0) => return End::Close,
                Ok(_) => {}
                Err(_) => return End::Reset,
            }
        }
    }
}

impl Flow {
    /// Passes on until the sender ends it; an error: the connection is to be reset.
    async fn run(
        &mut self,
        from: &mut ReadHalf<Stream>,
        to: &mut WriteHalf<Stream>,
        manner: Manner,
        count: impl Fn(u64),
    ) -> io::Result<()> {
        while !self.ended {
            if self.waiting.is_empty() {
                self.waiting.reserve(CHUNK);
                self.ended = from.read_buf(&mut self.waiting).await? == 0;
                sleep(manner.delay).await;
            }
            while !self.waiting.is_empty() {
                let mut most = if manner.pace.is_some() { 1 } else { self.waiting.len() };
                if let Some(limit) = manner.reset_after {
                    most = most.min(usize::try_from(limit - self.carried).unwrap_or(usize::MAX));
                }
                if most > 0 {
                    let written = to.write(self.waiting.get(..most).unwrap_or_default()).await?;
                    self.waiting.advance(written);
                    self.carried += written as u64;
                    count(written as u64);
                }
                if manner.reset_after == Some(self.carried) {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                if let Some(pace) = manner.pace {
                    sleep(pace).await;
                }
            }
        }
        to.shutdown().await
    }
}
