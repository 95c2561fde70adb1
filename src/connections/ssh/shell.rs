//! The link's stream: a channel of the session. Error output is part of it, in the order in which it comes.

use super::{
    super::{
        Failure, Payload, Reason,
        wire::{Arrival, Transport},
    },
    Session,
};
use bytes::{Buf as _, Bytes};
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, client::Msg};
use std::{
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};
use tokio_util::sync::WaitForCancellationFutureOwned;

/// From the end of the output to that of the channel, which says how the shell ended.
const PATIENCE: Duration = Duration::from_secs(1);

pub(in crate::connections) struct Shell {
    stream: Stream,
    session: Arc<Session>,
}

enum Stream {
    Channel {
        incoming: ChannelReadHalf,
        outgoing: Pin<Box<dyn AsyncWrite + Send>>,
        /// What came and was not handed on yet.
        chunk: Bytes,
        /// How the shell ended, as far as the host has said.
        end: Option<String>,
        /// After the end of the output the rest comes soon, or never.
        patience: Option<Pin<Box<Sleep>>>,
    },
    /// For commands only; until the session ends.
    Silent(Pin<Box<WaitForCancellationFutureOwned>>),
}

impl Shell {
    pub(super) fn new(
        session: Arc<Session>,
        incoming: ChannelReadHalf,
        outgoing: &ChannelWriteHalf<Msg>,
    ) -> Self {
        let outgoing = Box::pin(outgoing.make_writer());
        let stream = Stream::Channel { incoming, outgoing, chunk: Bytes::new(), end: None, patience: None };
        Self { stream, session }
    }

    pub(super) fn silent(session: Arc<Session>) -> Self {
        Self { stream: Stream::Silent(Box::pin(session.gone.clone().cancelled_owned())), session }
    }
}

/// Nothing more comes.
fn over(session: &Session, end: Option<&str>) -> io::Error {
    let closed = || {
        let ended = end.unwrap_or("closed the channel");
        let what = format!("{} {ended}. {}", session.endpoint, Reason::Closed.sentence());
        Failure::new(Reason::Closed, what)
    };
    io::Error::other(session.why.get().unwrap_or_else(closed))
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.session.left.cancel();
    }
}

impl Transport for Shell {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Option<Arrival>>> {
        let session = &self.session;
        loop {
            let (incoming, chunk, end, patience) = match &mut self.stream {
                Stream::Channel { incoming, chunk, end, patience, .. } => (incoming, chunk, end, patience),
                Stream::Silent(gone) => {
                    ready!(gone.as_mut().poll(cx));
                    return Poll::Ready(Err(over(session, None)));
                }
            };
            if !chunk.is_empty() {
                let part = chunk.len().min(buf.remaining());
                buf.put_slice(chunk.get(..part).unwrap_or_default());
                chunk.advance(part);
                return Poll::Ready(Ok(Some(Arrival::Filled)));
            }
            match pin!(incoming.wait()).poll(cx) {
                Poll::Ready(Some(ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. })) => {
                    *chunk = data
                }
                Poll::Ready(Some(ChannelMsg::Eof)) => {
                    end.get_or_insert_with(|| "ended the output of the shell".to_owned());
                    patience.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
                }
                Poll::Ready(Some(ChannelMsg::ExitStatus { exit_status })) => {
                    *end = Some(format!("ended the shell, with status {exit_status}"));
                }
                Poll::Ready(Some(ChannelMsg::ExitSignal { signal_name, .. })) => {
                    *end = Some(format!("ended the shell, by the signal {signal_name:?}"));
                }
                Poll::Ready(Some(ChannelMsg::Close) | None) => {
                    return Poll::Ready(Err(over(session, end.as_deref())));
                }
                Poll::Ready(Some(_)) => {}
                Poll::Pending => {
                    let Some(patience) = patience else { return Poll::Pending };
                    ready!(patience.as_mut().poll(cx));
                    return Poll::Ready(Err(over(session, end.as_deref())));
                }
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, payload: &Payload) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Channel { outgoing, .. } if !payload.bytes.is_empty() => {
                ready!(self.session.backlog.poll_room(cx));
                match outgoing.as_mut().poll_write(cx, &payload.bytes) {
                    // The session has ended; what comes in says why.
                    Poll::Ready(Err(_)) => Poll::Pending,
                    taken => taken,
                }
            }
            // An empty payload asks for the connection only.
            Stream::Channel { .. } | Stream::Silent(_) => Poll::Ready(Ok(payload.bytes.len())),
        }
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn ssh(&self) -> Option<Arc<Session>> {
        Some(self.session.clone())
    }
}
