//! A WebSocket that is open, as the link's task uses it.
//!
//! ```text
//!            nothing came for `ping_ms`: ping
//!  ┌───────┐ ────────────────────────────▶ ┌───────┐  nothing came for `pong_ms`
//!  │ heard │                               │ asked │ ─────────────────────────▶ silent
//!  └───────┘ ◀──────────────────────────── └───────┘
//!                  anything came
//! ```
//!
//! What has come is read before the clock is looked at: a reader that was slow does not make a peer silent.

use super::Service;
use crate::connections::{
    Failure, Reason,
    options::ms,
    payload::{Form, Payload},
    wire::{Arrival, Transport},
};
use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        error::{CapacityError, ProtocolError},
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};

/// Says good-bye when it is dropped, as far as that is possible without waiting.
pub(in crate::connections) struct Socket<S: AsyncRead + AsyncWrite + Unpin> {
    stream: WebSocketStream<S>,
    service: Service,
    clock: Option<Clock>,
    /// What is said as good-bye.
    farewell: CloseCode,
}

struct Clock {
    timer: Pin<Box<Sleep>>,
    heard: Instant,
    asked: bool,
}

impl Clock {
    fn new(every: Duration) -> Self {
        Self { timer: Box::pin(sleep(every)), heard: Instant::now(), asked: false }
    }

    fn hear(&mut self, every: Duration) {
        self.heard = Instant::now();
        // As long as nothing was asked, the timer is put off when it expires: that is seldom.
        if std::mem::take(&mut self.asked) {
            self.timer.as_mut().reset(self.heard + every);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// How the stream has to be made.
    pub(in crate::connections) fn config(service: &Service) -> WebSocketConfig {
        let limit = Some(service.settings().max_message_bytes);
        // Buffers of the default size would cost 256 KiB for each connection.
        WebSocketConfig::default()
            .read_buffer_size(4096)
            .write_buffer_size(0)
            .max_message_size(limit)
            .max_frame_size(limit)
    }

    pub(in crate::connections) fn new(service: Service, stream: WebSocketStream<S>) -> Self {
        let every = service.settings().ping_ms;
        let clock = (every > 0).then(|| Clock::new(ms(every)));
        Self { stream, service, clock, farewell: CloseCode::Normal }
    }

    fn poll_clock(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let settings = self.service.settings();
        let (every, patience) = (ms(settings.ping_ms), ms(settings.pong_ms));
        let Some(clock) = &mut self.clock else { return Poll::Pending };
        loop {
            ready!(clock.timer.as_mut().poll(cx));
            if clock.asked {
                return Poll::Ready(silent(&self.service, every + patience));
            }
            if clock.heard.elapsed() < every {
                clock.timer.as_mut().reset(clock.heard + every);
                continue;
            }
            // If there is no room for a ping now, the write half wakes us.
            if let Err(error) = ready!(Pin::new(&mut self.stream).poll_ready(cx))
                .and_then(|()| Pin::new(&mut self.stream).start_send(Message::Ping(Bytes::new())))
            {
                return Poll::Ready(ended(&self.service, error));
            }
            let _ = Pin::new(&mut self.stream).poll_flush(cx);
            clock.asked = true;
            clock.timer.as_mut().reset(Instant::now() + patience);
        }
    }

    /// The peer ends it.
    fn closed(&mut self, cx: &mut Context<'_>, frame: Option<CloseFrame>) -> io::Error {
        // The answer to its close, as far as it goes.
        let _ = Pin::new(&mut self.stream).poll_flush(cx);
        let how = match frame {
            Some(frame) if frame.reason.is_empty() => format!(" with code {}", u16::from(frame.code)),
            Some(frame) => {
                let reason = self.service.redacted(&frame.reason).escape_debug().to_string();
                format!(" with code {}: {reason}", u16::from(frame.code))
            }
            None => String::new(),
        };
        failed(Reason::Closed, format!("{} closed the WebSocket{how}", self.service))
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Transport for Socket<S> {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Option<Arrival>>> {
        loop {
            let next = match Pin::new(&mut self.stream).poll_next(cx) {
                Poll::Ready(next) => next,
                Poll::Pending => return self.poll_clock(cx).map(Err),
            };
            if let Some(clock) = &mut self.clock {
                clock.hear(ms(self.service.settings().ping_ms));
            }
            return Poll::Ready(match next {
                Some(Ok(Message::Text(text))) => Ok(Some(Arrival::Message(text.into(), Form::Text))),
                Some(Ok(Message::Binary(bytes))) => Ok(Some(Arrival::Message(bytes, Form::Bytes))),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Close(frame))) => Err(self.closed(cx, frame)),
                Some(Err(error)) => {
                    self.farewell = match &error {
                        Error::Capacity(_) => CloseCode::Size,
                        Error::Utf8(_) => CloseCode::Invalid,
                        _ => CloseCode::Protocol,
                    };
                    Err(ended(&self.service, error))
                }
                None => Ok(None),
            });
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, payload: &Payload) -> Poll<io::Result<usize>> {
        let length = payload.bytes.len();
        let message = match payload.form {
            Form::Bytes => Message::Binary(payload.bytes.clone()),
            Form::Text => match Utf8Bytes::try_from(payload.bytes.clone()) {
                Ok(text) => Message::Text(text),
                Err(_) => {
                    let what = format!("the driver sent a text to {} that is not UTF-8", self.service);
                    return Poll::Ready(Err(failed(Reason::Protocol, what)));
                }
            },
        };
        let sent = ready!(Pin::new(&mut self.stream).poll_ready(cx))
            .and_then(|()| Pin::new(&mut self.stream).start_send(message));
        Poll::Ready(sent.map(|()| length).map_err(|error| ended(&self.service, error)))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx).map_err(|error| ended(&self.service, error))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Drop for Socket<S> {
    fn drop(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(Ok(())) = Pin::new(&mut self.stream).poll_ready(&mut cx) {
            let farewell = CloseFrame { code: self.farewell, reason: Utf8Bytes::default() };
            // Fails if the peer was the first to close.
            let _ = Pin::new(&mut self.stream).start_send(Message::Close(Some(farewell)));
            let _ = Pin::new(&mut self.stream).poll_flush(&mut cx);
        }
    }
}

fn silent(service: &Service, after: Duration) -> io::Error {
    let seconds = after.as_secs_f32();
    failed(
        Reason::Silent,
        format!(
            "{service} has said nothing for {seconds} s, not even to a ping. {}",
            Reason::Silent.sentence()
        ),
    )
}

/// The end of a connection that was up, other than by a close. Errors of the system are left as they are.
fn ended(service: &Service, error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing) => {
            io::ErrorKind::UnexpectedEof.into()
        }
        Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            let what = format!(
                "{service} sent a message of {size} bytes or more; {max_size} are taken: raise \
                 connection.websocket.max_message_bytes if that is right"
            );
            failed(Reason::Protocol, what)
        }
        other => failed(Reason::Protocol, format!("{service} broke the rules of WebSocket: {other}")),
    }
}

fn failed(reason: Reason, what: String) -> io::Error {
    io::Error::other(Failure::new(reason, what))
}
