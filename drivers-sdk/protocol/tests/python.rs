//! Another language can speak the protocol: `echo.py`, which has no library, against the codec over a real
//! socketpair.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::BytesMut;
use drivers_sdk_protocol::message::{Failure, Status, Transmit, Welcome};
use drivers_sdk_protocol::{Decoder, Error, Frame, Kind, Manifest, frame};

const DRIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/echo.py");

/// The daemon's side of a channel.
struct Channel {
    stream: UnixStream,
    buffer: BytesMut,
    child: Child,
}

impl Channel {
    /// The driver as a process, unless there is no Python on this machine.
    fn open() -> std::io::Result<Channel> {
        let (stream, theirs) = UnixStream::pair()?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let child = Command::new("sh")
            .args(["-c", "exec python3 \"$0\" 3<&0 </dev/null", DRIVER])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()?;
        Ok(Channel { stream, buffer: BytesMut::new(), child })
    }

    fn send(&mut self, kind: Kind, module: u32, correlation: u32, payload: impl AsRef<[u8]>) {
        let mut out = BytesMut::new();
        frame::encode(&mut out, kind, module, correlation, payload.as_ref()).expect("small");
        self.stream.write_all(&out).expect("the driver reads");
    }

    fn next(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            if let Some(frame) = Decoder::default().decode(&mut self.buffer)? {
                return Ok(Some(frame));
            }
            let mut scratch = [0; 4096];
            let count = self.stream.read(&mut scratch).expect("an answer within 30 s");
            if count == 0 {
                return Ok(None);
            }
            self.buffer.extend_from_slice(&scratch[..count]);
        }
    }

    /// The next frame, which must be of this kind.
    fn expect(&mut self, kind: Kind, module: u32, correlation: u32) -> Frame {
        let frame = self.next().expect("well formed").expect("a frame");
        let header = frame.header;
        assert_eq!(
            (frame.kind(), header.module, header.correlation),
            (Some(kind), module, correlation),
            "{:?}",
            frame.payload
        );
        frame
    }

    fn call(&mut self, correlation: u32, text: &str) {
        self.send(Kind::Call, 1, correlation, text);
    }

    fn failure(&mut self, module: u32, correlation: u32) -> String {
        let frame = self.expect(Kind::Failed, module, correlation);
        serde_json::from_slice::<Failure>(&frame.payload).expect("a failure").code
    }
}

fn python() -> bool {
    let found = Command::new("python3").arg("-V").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
    assert!(found || std::env::var("CI").as_deref() != Ok("true"), "python3 is missing");
    found
}

#[test]
fn a_driver_in_python_lives_a_whole_life() {
    if !python() {
        eprintln!("skipped: python3 is missing");
        return;
    }
    let mut channel = Channel::open().unwrap();
    channel.send(Kind::Hello, 0, 1, r#"{"versions":[1,9],"features":["telepathy"],"novelty":{}}"#);
    let welcome = channel.expect(Kind::Welcome, 0, 1);
    let welcome: Welcome = serde_json::from_slice(&welcome.payload).unwrap();
    assert_eq!((welcome.version, welcome.features.len()), (1, 0));

    channel.send(Kind::Start, 1, 2, r#"{"id":"mod-1","name":"Echo","settings":{"prefix":"> "}}"#);
    assert!(channel.expect(Kind::Done, 1, 2).payload.is_empty());
    channel.call(3, r#"{"function":"say","args":["caf\u00e9"]}"#);
    assert_eq!(channel.failure(1, 3), "offline");

    channel.send(Kind::LinkUp, 1, 0, r#"{"connection":5}"#);
    channel.call(4, r#"{"function":"say","args":{"line":"caf\u00e9"},"user":"user-1"}"#);
    let sent = channel.expect(Kind::Transmit, 1, 0);
    assert_eq!(Transmit::read(&sent.payload), Some(Transmit { connection: 5, bytes: "> café\n".as_bytes() }));
    assert_eq!(channel.expect(Kind::Done, 1, 4).payload, "8");

    channel.send(Kind::Received, 1, 0, "hal");
    channel.send(Kind::Received, 1, 5, "lo\nwor");
    let status = channel.expect(Kind::Status, 1, 0);
    assert_eq!(Status::read(&status.payload), Some(Status { key: "last", value: "\"hallo\"" }));
    channel.expect(Kind::Done, 1, 5);
    channel.send(Kind::LinkDown, 1, 0, r#"{"reason":"closed"}"#);
    channel.send(Kind::LinkUp, 1, 0, r#"{"connection":6}"#);
    channel.send(Kind::Received, 1, 0, "new\n");
    let status = channel.expect(Kind::Status, 1, 0);
    assert_eq!(Status::read(&status.payload), Some(Status { key: "last", value: "\"new\"" }));

    channel.call(6, r#"{"function":"sing","args":[]}"#);
    assert_eq!(channel.failure(1, 6), "unknown_function");
    channel.send(Kind::Ping, 0, 7, "");
    channel.expect(Kind::Pong, 0, 7);
    channel.send(Kind::Stop, 1, 8, "");
    channel.expect(Kind::Done, 1, 8);
    channel.call(9, r#"{"function":"say","args":["x"]}"#);
    assert_eq!(channel.failure(1, 9), "stopped");

    channel.send(Kind::Shutdown, 0, 0, "");
    assert_eq!(channel.next(), Ok(None));
    assert!(channel.child.wait().unwrap().success());
}

#[test]
fn a_driver_in_python_parts_in_order() {
    if !python() {
        eprintln!("skipped: python3 is missing");
        return;
    }
    let mut channel = Channel::open().unwrap();
    channel.send(Kind::Hello, 0, 1, r#"{"versions":[2,3]}"#);
    assert_eq!(channel.expect(Kind::Goodbye, 0, 0).payload, "this driver speaks version 1 only");
    channel.child.wait().unwrap();

    let mut channel = Channel::open().unwrap();
    channel.stream.write_all(&[0xff; 16]).unwrap();
    channel.expect(Kind::Goodbye, 0, 0);
    assert_eq!(channel.next(), Ok(None));
    channel.child.wait().unwrap();

    let output = Command::new("python3").args([DRIVER, "--manifest"]).output().unwrap();
    let manifest: Manifest = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((manifest.manifest, manifest.module.as_str()), (1, "Echo"));
}
