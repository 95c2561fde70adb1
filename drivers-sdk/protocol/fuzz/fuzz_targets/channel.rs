//! Whatever a peer writes into the channel: frames and payloads are read or refused, never a panic, and what is
//! read is written the same. The first byte says how the rest is cut into chunks.
//!
//! Run with `cargo +nightly fuzz run channel` in `drivers-sdk/protocol`.
#![no_main]

use bytes::BytesMut;
use drivers_sdk_protocol::frame::{self, Decoder};
use drivers_sdk_protocol::message::*;
use drivers_sdk_protocol::{Frame, Kind, Manifest};
use libfuzzer_sys::fuzz_target;
use serde_json::from_slice;

fuzz_target!(|data: &[u8]| {
    let Some((size, wire)) = data.split_first() else { return };
    let mut buffer = BytesMut::new();
    for chunk in wire.chunks(usize::from(*size).max(1)) {
        buffer.extend_from_slice(chunk);
        loop {
            match Decoder::default().decode(&mut buffer) {
                Ok(Some(frame)) => read(&frame),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
});

fn read(frame: &Frame) {
    let payload = &frame.payload[..];
    let Some(kind) = frame.kind() else { return };
    let mut again = BytesMut::new();
    frame::encode(&mut again, kind, frame.header.module, frame.header.correlation, payload).unwrap();
    assert_eq!(Decoder::default().decode(&mut again).unwrap().as_ref(), Some(frame));
    match kind {
        Kind::Hello => drop(from_slice::<Hello>(payload)),
        Kind::Welcome => drop(from_slice::<Welcome>(payload)),
        Kind::Start => drop(from_slice::<Start>(payload)),
        Kind::Settings => drop(from_slice::<Settings>(payload)),
        Kind::System => drop(from_slice::<System>(payload)),
        Kind::LinkUp => drop(from_slice::<LinkUp>(payload)),
        Kind::LinkDown => drop(from_slice::<LinkDown>(payload)),
        Kind::Call => drop(from_slice::<Call<'_>>(payload)),
        Kind::Failed | Kind::ModuleFailed => drop(from_slice::<Failure>(payload)),
        Kind::SaveSetting => drop(from_slice::<SaveSetting<'_>>(payload)),
        Kind::CallModule => drop(from_slice::<CallModule<'_>>(payload)),
        Kind::ReadStatus | Kind::Subscribe => drop(from_slice::<StatusOf>(payload)),
        Kind::Done => {
            headed::<HttpResponse>(payload);
            headed::<SshOutput>(payload);
            // Not a payload, but read from a driver as well.
            drop(from_slice::<Manifest>(payload));
        }
        Kind::Status => {
            same(payload, Status::read(payload).map(|status| move |out: &mut _| status.write(out)))
        }
        Kind::Transmit => {
            same(payload, Transmit::read(payload).map(|bytes| move |out: &mut _| bytes.write(out)))
        }
        Kind::Send => same(payload, Send::read(payload).map(|bytes| move |out: &mut _| bytes.write(out))),
        Kind::StartTls => {
            same(payload, StartTls::read(payload).map(|begin| move |out: &mut _| begin.write(out)))
        }
        Kind::Http => headed::<HttpRequest>(payload),
        Kind::SshExec => drop(from_slice::<SshExec>(payload)),
        Kind::Disconnect | Kind::LoginFailed => {
            same(payload, Disconnect::read(payload).map(|end| move |out: &mut _| end.write(out)))
        }
        // A level from the future is read as the highest one, so only the text must be the same.
        Kind::Log => drop(Log::read(payload).map(|log| assert_eq!(log.text.as_bytes(), &payload[1..]))),
        _ => {}
    }
}

/// A head that is read, and bytes behind it.
fn headed<T: serde::de::DeserializeOwned>(payload: &[u8]) {
    let headed = Headed::read(payload);
    drop(headed.map(|headed| from_slice::<T>(headed.head)));
    same(payload, headed.map(|headed| move |out: &mut _| headed.write(out)));
}

/// What was read from `payload` is written as `payload`.
fn same(payload: &[u8], write: Option<impl FnOnce(&mut BytesMut)>) {
    if let Some(write) = write {
        let mut out = BytesMut::new();
        write(&mut out);
        assert_eq!(&out[..], payload);
    }
}
