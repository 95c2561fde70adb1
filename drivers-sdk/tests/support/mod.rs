//! The daemon's end of a channel, for tests: speaks the protocol with a driver that runs in the same process.
//!
//! Time is paused, and moves when everything waits: a frame that never comes fails the test at once.
#![allow(dead_code, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::time::Duration;

use bytes::BytesMut;
use drivers_sdk::Driver;
use drivers_sdk_protocol::frame::encode;
use drivers_sdk_protocol::message::{Failure, Form, Log, Send, Status, Transmit};
use drivers_sdk_protocol::{Decoder, Frame, Kind, feature};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Runs a test on a runtime like that of a driver process.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build_local(Default::default())
        .unwrap();
    runtime.block_on(test);
}

/// What a driver sent on the wire.
#[derive(Debug, PartialEq, Eq)]
pub struct Sent {
    pub connection: u64,
    pub call: u32,
    pub form: Form,
    pub bytes: Vec<u8>,
}

pub struct Daemon {
    stream: UnixStream,
    buffer: BytesMut,
    /// Log lines and status values, which tests look at by what they say.
    pub logs: Vec<(u32, String)>,
    pub status: Vec<(u32, String, String)>,
    frames: VecDeque<Frame>,
    correlation: u32,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Daemon {
    /// A daemon that offers every feature.
    pub async fn of<D: Driver>() -> Daemon {
        Daemon::offering::<D>(feature::ALL).await
    }

    pub async fn offering<D: Driver>(features: &[&str]) -> Daemon {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let served = tokio::task::spawn_local(drivers_sdk::__private::serve::<D>(theirs));
        let mut daemon = Daemon {
            stream: ours,
            buffer: BytesMut::new(),
            logs: Vec::new(),
            status: Vec::new(),
            frames: VecDeque::new(),
            correlation: 100,
            served,
        };
        let hello = json!({"versions": [1, 1], "features": features});
        daemon.send(Kind::Hello, 0, 0, hello.to_string()).await;
        let welcome = daemon.next().await;
        assert_eq!(welcome.kind(), Some(Kind::Welcome));
        daemon
    }

    pub async fn send(&mut self, kind: Kind, module: u32, correlation: u32, payload: impl AsRef<[u8]>) {
        let mut out = BytesMut::new();
        encode(&mut out, kind, module, correlation, payload.as_ref()).unwrap();
        self.stream.write_all(&out).await.unwrap();
    }

    /// Closes the channel; how the driver ended.
    pub async fn close(self) -> std::io::Result<()> {
        drop(self.stream);
        tokio::time::timeout(Duration::from_secs(600), self.served).await.unwrap().unwrap()
    }

    /// Sends several frames in one write, so that the driver reads them at once.
    pub async fn send_all(&mut self, frames: &[(Kind, u32, u32, &[u8])]) {
        let mut out = BytesMut::new();
        for (kind, module, correlation, payload) in frames {
            encode(&mut out, *kind, *module, *correlation, payload).unwrap();
        }
        self.stream.write_all(&out).await.unwrap();
    }

    pub async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next frame that is no log line and no status; `None` if the driver closed the channel.
    pub async fn try_next(&mut self) -> Option<Frame> {
        if let Some(frame) = self.frames.pop_front() {
            return Some(frame);
        }
        loop {
            while let Some(frame) = Decoder::default().decode(&mut self.buffer).unwrap() {
                match frame.kind() {
                    Some(Kind::Log) => {
                        let log = Log::read(&frame.payload).unwrap();
                        self.logs
                            .push((frame.header.module, format!("{}: {}", log.level.as_str(), log.text)));
                    }
                    Some(Kind::Status) => {
                        let status = Status::read(&frame.payload).unwrap();
                        self.status.push((frame.header.module, status.key.into(), status.value.into()));
                    }
                    _ => return Some(frame),
                }
            }
            if self.stream.read_buf(&mut self.buffer).await.unwrap() == 0 {
                return None;
            }
        }
    }

    pub async fn next(&mut self) -> Frame {
        match tokio::time::timeout(Duration::from_secs(600), self.try_next()).await {
            Ok(Some(frame)) => frame,
            Ok(None) => panic!("the driver closed the channel; it logged {:?}", self.logs),
            Err(_) => panic!("the driver says nothing more; it logged {:?}", self.logs),
        }
    }

    /// Reads what the driver says within this (paused) time, and keeps it for [`next`](Self::next).
    pub async fn wait(&mut self, time: Duration) {
        let mut kept = VecDeque::new();
        let _ = tokio::time::timeout(time, async {
            while let Some(frame) = self.try_next().await {
                kept.push_back(frame);
            }
        })
        .await;
        self.frames = kept;
    }

    /// Whether [`wait`](Self::wait) has kept frames that nobody has looked at.
    pub fn has_frames(&self) -> bool {
        !self.frames.is_empty()
    }

    /// The frame of this kind and correlation, which must be the next.
    pub async fn expect(&mut self, kind: Kind, correlation: u32) -> Frame {
        let frame = self.next().await;
        assert_eq!(
            (frame.kind(), frame.header.correlation),
            (Some(kind), correlation),
            "payload {:?}, log {:?}",
            String::from_utf8_lossy(&frame.payload),
            self.logs
        );
        frame
    }

    /// The frame of this kind, which must be the next.
    pub async fn expect_kind(&mut self, kind: Kind) -> Frame {
        let frame = self.next().await;
        assert_eq!(frame.kind(), Some(kind), "payload {:?}", String::from_utf8_lossy(&frame.payload));
        frame
    }

    pub async fn start(&mut self, module: u32, settings: Value, link: Option<u64>) -> Frame {
        let mut start = json!({"id": format!("mod-{module}"), "name": "Lamp", "settings": settings});
        if let Some(connection) = link {
            start["link"] = json!({"connection": connection});
        }
        self.start_with(module, start).await
    }

    /// Starts a module; the answer.
    pub async fn start_with(&mut self, module: u32, start: Value) -> Frame {
        self.send(Kind::Start, module, 1, start.to_string()).await;
        let answer = self.next().await;
        assert_eq!(answer.header.correlation, 1);
        answer
    }

    /// Begins a call; its correlation.
    pub async fn begin(&mut self, module: u32, function: &str, args: Value) -> u32 {
        self.correlation += 1;
        let call = json!({"function": function, "args": args}).to_string();
        self.send(Kind::Call, module, self.correlation, call).await;
        self.correlation
    }

    /// The result of a call, which must be the next frame.
    pub async fn result(&mut self, correlation: u32) -> Result<Value, Failure> {
        let frame = self.next().await;
        assert_eq!(
            frame.header.correlation,
            correlation,
            "{:?} {:?}",
            frame.kind(),
            String::from_utf8_lossy(&frame.payload)
        );
        answer(&frame)
    }

    /// Calls a function that does nothing else that is seen here.
    pub async fn call(&mut self, module: u32, function: &str, args: Value) -> Result<Value, Failure> {
        let correlation = self.begin(module, function, args).await;
        self.result(correlation).await
    }

    /// What the driver sends on the wire, which must be the next frame.
    pub async fn transmitted(&mut self, module: u32) -> (u64, String, u32) {
        let (Sent { connection, bytes, .. }, correlation) = self.sent(module).await;
        (connection, String::from_utf8(bytes).unwrap(), correlation)
    }

    /// As `transmitted`, with all that is said about it.
    pub async fn sent(&mut self, module: u32) -> (Sent, u32) {
        let frame = self.next().await;
        let payload = String::from_utf8_lossy(&frame.payload);
        assert_eq!(frame.header.module, module, "payload {payload:?}");
        let sent = match frame.kind() {
            Some(Kind::Transmit) => {
                let Transmit { connection, bytes } = Transmit::read(&frame.payload).unwrap();
                Sent { connection, call: 0, form: Form::Bytes, bytes: bytes.to_vec() }
            }
            Some(Kind::Send) => {
                let Send { connection, call, form, bytes } = Send::read(&frame.payload).unwrap();
                Sent { connection, call, form, bytes: bytes.to_vec() }
            }
            other => panic!("{other:?} sends nothing; payload {payload:?}, log {:?}", self.logs),
        };
        (sent, frame.header.correlation)
    }

    pub async fn received(&mut self, module: u32, text: &str) {
        self.send(Kind::Received, module, 0, text).await;
    }

    pub async fn link_up(&mut self, module: u32, connection: u64) {
        self.link_up_with(module, json!({"connection": connection})).await;
    }

    pub async fn link_up_with(&mut self, module: u32, link: Value) {
        self.send(Kind::LinkUp, module, 0, link.to_string()).await;
    }

    pub async fn link_down(&mut self, module: u32, reason: &str, detail: &str) {
        self.send(Kind::LinkDown, module, 0, json!({"reason": reason, "detail": detail}).to_string()).await;
    }

    /// The last value of a status key: JSON text, empty if it was removed.
    pub fn status_of(&self, module: u32, key: &str) -> Option<&str> {
        let values = self.status.iter().rev();
        values.filter(|(m, k, _)| *m == module && k == key).map(|(_, _, value)| value.as_str()).next()
    }

    pub fn logged(&self, text: &str) -> bool {
        self.logs.iter().any(|(_, line)| line.contains(text))
    }
}

/// What an answer says.
pub fn answer(frame: &Frame) -> Result<Value, Failure> {
    match frame.kind() {
        Some(Kind::Done) if frame.payload.is_empty() => Ok(Value::Null),
        Some(Kind::Done) => Ok(serde_json::from_slice(&frame.payload).unwrap()),
        Some(Kind::Failed) => Err(serde_json::from_slice(&frame.payload).unwrap()),
        other => panic!("{other:?} is no answer"),
    }
}
