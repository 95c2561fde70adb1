//! Frames survive any chunking, and nothing that arrives can do more than close the channel.

use bytes::BytesMut;
use drivers_sdk_protocol::frame::{self, HEADER};
use drivers_sdk_protocol::message::{Disconnect, Form, Headed, Level, Log, Send, StartTls, Status, Transmit};
use drivers_sdk_protocol::{Decoder, Error, Frame, Kind, MAX_PAYLOAD};
use proptest::collection::vec;
use proptest::prelude::*;

fn kinds() -> impl Strategy<Value = Kind> {
    proptest::sample::select(Kind::ALL)
}

fn frames() -> impl Strategy<Value = Vec<(Kind, u32, u32, Vec<u8>)>> {
    vec((kinds(), any::<u32>(), any::<u32>(), vec(any::<u8>(), 0..300)), 0..20)
}

fn encode(frames: &[(Kind, u32, u32, Vec<u8>)]) -> Result<BytesMut, Error> {
    let mut wire = BytesMut::new();
    for (kind, module, correlation, payload) in frames {
        frame::encode(&mut wire, *kind, *module, *correlation, payload)?;
    }
    Ok(wire)
}

/// Feeds `wire` in chunks of the given sizes, over and over, and collects what the decoder gives.
fn decode(decoder: &Decoder, mut wire: &[u8], sizes: &[usize]) -> Result<(Vec<Frame>, BytesMut), Error> {
    let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
    let mut sizes = sizes.iter().cycle();
    while !wire.is_empty() {
        let (chunk, rest) = wire.split_at((*sizes.next().unwrap_or(&1)).min(wire.len()));
        wire = rest;
        buffer.extend_from_slice(chunk);
        while let Some(frame) = decoder.decode(&mut buffer)? {
            frames.push(frame);
        }
    }
    Ok((frames, buffer))
}

proptest! {
    #[test]
    fn frames_survive_any_chunking(sent in frames(), sizes in vec(1usize..64, 1..10)) {
        let wire = encode(&sent).unwrap();
        let (got, left) = decode(&Decoder::default(), &wire, &sizes).unwrap();
        prop_assert!(left.is_empty());
        prop_assert_eq!(got.len(), sent.len());
        for (got, (kind, module, correlation, payload)) in got.iter().zip(&sent) {
            prop_assert_eq!(got.kind(), Some(*kind));
            prop_assert_eq!(got.header.module, *module);
            prop_assert_eq!(got.header.correlation, *correlation);
            prop_assert_eq!(&got.payload[..], &payload[..]);
        }
    }

    #[test]
    fn an_incomplete_frame_waits_and_is_left_alone(payload in vec(any::<u8>(), 0..100), cut in any::<prop::sample::Index>()) {
        let wire = encode(&[(Kind::Received, 7, 9, payload)]).unwrap();
        let mut part = BytesMut::from(&wire[..cut.index(wire.len())]);
        let before = part.clone();
        prop_assert_eq!(Decoder::default().decode(&mut part), Ok(None));
        prop_assert_eq!(part, before);
    }

    #[test]
    fn garbage_gives_frames_or_an_error_but_never_a_panic(wire in vec(any::<u8>(), 0..2000), sizes in vec(1usize..64, 1..10)) {
        // Half of the random lengths are over this limit.
        match decode(&Decoder::with_limit(1 << 31), &wire, &sizes) {
            Ok((frames, left)) => {
                let taken: usize = frames.iter().map(|frame| HEADER + frame.payload.len()).sum();
                prop_assert_eq!(taken + left.len(), wire.len());
            }
            Err(Error::Malformed(reserved)) => prop_assert_ne!(reserved, 0),
            Err(Error::TooLarge { length, limit, .. }) => prop_assert!(length > limit),
        }
    }

    #[test]
    fn a_damaged_stream_gives_no_frame_that_reaches_past_its_end(sent in frames(), at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut wire = encode(&sent).unwrap();
        if !wire.is_empty() {
            let at = at.index(wire.len());
            wire[at] = value;
        }
        if let Ok((frames, left)) = decode(&Decoder::default(), &wire, &[16]) {
            let taken: usize = frames.iter().map(|frame| HEADER + frame.payload.len()).sum();
            prop_assert_eq!(taken + left.len(), wire.len());
        }
    }

    #[test]
    fn a_payload_over_the_limit_is_refused_from_its_header_alone(excess in 1usize..1000, limit in 0usize..1000, module in any::<u32>()) {
        let wire = encode(&[(Kind::Call, module, 1, vec![0; limit + excess])]).unwrap();
        let mut header = BytesMut::from(&wire[..HEADER]);
        let error = Decoder::with_limit(limit).decode(&mut header).unwrap_err();
        prop_assert_eq!(&error, &Error::TooLarge { length: limit + excess, limit, kind: Kind::Call as u16, module });
        prop_assert!(error.to_string().contains(&limit.to_string()), "{}", error);
    }

    #[test]
    fn reserved_bytes_that_are_set_are_malformed(reserved in 1u16.., kind in kinds()) {
        let mut wire = encode(&[(kind, 0, 0, Vec::new())]).unwrap();
        wire[6..8].copy_from_slice(&reserved.to_le_bytes());
        prop_assert_eq!(Decoder::default().decode(&mut wire), Err(Error::Malformed(reserved)));
    }

    #[test]
    fn a_kind_from_the_future_is_passed_on_with_its_number(number in any::<u16>(), payload in vec(any::<u8>(), 0..50)) {
        let mut wire = encode(&[(Kind::Ping, 3, 4, payload.clone())]).unwrap();
        wire[4..6].copy_from_slice(&number.to_le_bytes());
        let frame = Decoder::default().decode(&mut wire).unwrap().unwrap();
        prop_assert_eq!(frame.header.kind, number);
        prop_assert_eq!(frame.kind(), Kind::ALL.iter().copied().find(|kind| *kind as u16 == number));
        prop_assert_eq!(&frame.payload[..], &payload[..]);
    }

    #[test]
    fn status_survives(key in ".{0,40}", value in ".{0,200}") {
        let mut out = BytesMut::new();
        Status { key: &key, value: &value }.write(&mut out);
        prop_assert_eq!(Status::read(&out), Some(Status { key: &key, value: &value }));
    }

    #[test]
    fn log_survives(level in 0u8..7, text in ".{0,200}") {
        let mut wire = vec![level];
        wire.extend_from_slice(text.as_bytes());
        let log = Log::read(&wire).unwrap();
        prop_assert_eq!((log.level as u8, log.text), (level, text.as_str()));
        let mut out = BytesMut::new();
        log.write(&mut out);
        prop_assert_eq!(&out[..], &wire[..]);
    }

    #[test]
    fn transmit_and_disconnect_survive(connection in any::<u64>(), bytes in vec(any::<u8>(), 0..200), reason in ".{0,50}") {
        let mut out = BytesMut::new();
        Transmit { connection, bytes: &bytes }.write(&mut out);
        prop_assert_eq!(Transmit::read(&out), Some(Transmit { connection, bytes: &bytes }));
        out.clear();
        Disconnect { connection, reason: &reason }.write(&mut out);
        prop_assert_eq!(Disconnect::read(&out), Some(Disconnect { connection, reason: &reason }));
    }

    #[test]
    fn send_and_start_tls_survive(connection in any::<u64>(), call in any::<u32>(), bytes in vec(any::<u8>(), 0..200), text in ".{0,50}") {
        for sent in [
            Send { connection, call, form: Form::Bytes, bytes: &bytes },
            Send { connection, call, form: Form::Text, bytes: text.as_bytes() },
        ] {
            let mut out = BytesMut::new();
            sent.write(&mut out);
            prop_assert_eq!(Send::read(&out), Some(sent));
        }
        let mut out = BytesMut::new();
        StartTls { connection }.write(&mut out);
        prop_assert_eq!(StartTls::read(&out), Some(StartTls { connection }));
    }

    #[test]
    fn a_head_and_its_body_survive(head in vec(any::<u8>(), 0..100), body in vec(any::<u8>(), 0..200)) {
        let headed = Headed { head: &head, body: &body };
        let mut out = BytesMut::new();
        headed.write(&mut out);
        prop_assert_eq!(Headed::read(&out), Some(headed));
    }

    #[test]
    fn garbage_payloads_never_panic(payload in vec(any::<u8>(), 0..300)) {
        if let Some(status) = Status::read(&payload) {
            prop_assert_eq!(2 + status.key.len() + status.value.len(), payload.len());
        }
        if let Some(log) = Log::read(&payload) {
            prop_assert_eq!(1 + log.text.len(), payload.len());
        }
        prop_assert_eq!(Transmit::read(&payload).is_some(), payload.len() >= 8);
        prop_assert!(Disconnect::read(&payload).is_none() || payload.len() >= 8);
        prop_assert_eq!(StartTls::read(&payload).is_some(), payload.len() == 8);
        if let Some(send) = Send::read(&payload) {
            prop_assert_eq!(13 + send.bytes.len(), payload.len());
        }
        if let Some(headed) = Headed::read(&payload) {
            prop_assert_eq!(4 + headed.head.len() + headed.body.len(), payload.len());
        }
    }
}

#[test]
fn the_header_is_what_the_document_says() {
    let mut wire = BytesMut::new();
    frame::encode(&mut wire, Kind::Call, 0x0102_0304, 0x0a0b_0c0d, b"{}").unwrap();
    assert_eq!(&wire[..], b"\x02\0\0\0\x30\0\0\0\x04\x03\x02\x01\x0d\x0c\x0b\x0a{}");
}

#[test]
fn a_payload_at_the_limit_passes_and_one_over_it_leaves_the_buffer_as_it_was() {
    let mut wire = BytesMut::new();
    frame::encode(&mut wire, Kind::Done, 1, 1, &vec![0; MAX_PAYLOAD]).unwrap();
    assert_eq!(Decoder::default().decode(&mut wire).unwrap().unwrap().payload.len(), MAX_PAYLOAD);
    wire.extend_from_slice(b"before");
    let error = frame::encode(&mut wire, Kind::Done, 1, 1, &vec![0; MAX_PAYLOAD + 1]).unwrap_err();
    assert_eq!(
        error,
        Error::TooLarge { length: MAX_PAYLOAD + 1, limit: MAX_PAYLOAD, kind: Kind::Done as u16, module: 1 }
    );
    assert_eq!(&wire[..], b"before");
}

#[test]
fn a_status_key_that_is_too_long_is_cut_at_a_character() {
    let key = "é".repeat(40_000);
    let mut out = BytesMut::new();
    Status { key: &key, value: "1" }.write(&mut out);
    let status = Status::read(&out).unwrap();
    assert_eq!((status.key.len(), status.value), (65_534, "1"));
    assert!(key.starts_with(status.key));
}

#[test]
fn malformed_binary_payloads_are_refused() {
    assert_eq!(Status::read(b""), None);
    assert_eq!(Status::read(b"\x05"), None);
    assert_eq!(Status::read(b"\x05\0abcd"), None, "key longer than the payload");
    assert_eq!(Status::read(b"\x01\0\xff1"), None, "key is not UTF-8");
    assert_eq!(Status::read(b"\x01\0k\xff"), None, "value is not UTF-8");
    assert_eq!(Status::read(b"\x01\0k"), Some(Status { key: "k", value: "" }), "no value removes the key");
    assert_eq!(Log::read(b""), None);
    assert_eq!(Log::read(b"\x02\xff"), None);
    assert_eq!(Log::read(b"\xc8x").map(|log| log.level), Some(Level::Fatal), "a level from the future");
    assert_eq!(Transmit::read(b"1234567"), None);
    assert_eq!(Disconnect::read(b"12345678\xff"), None);
    assert_eq!(Send::read(b"12345678123"), None);
    assert_eq!(Send::read(b"123456781234"), None, "no form");
    assert_eq!(Send::read(b"123456781234\x02x"), None, "a form from the future");
    assert_eq!(Send::read(b"123456781234\x01\xff"), None, "text that is not UTF-8");
    assert_eq!(Send::read(b"123456781234\x00\xff").map(|send| send.bytes), Some(&b"\xff"[..]));
    assert_eq!(StartTls::read(b"1234567"), None);
    assert_eq!(Headed::read(b"\x05\0\0\0{}"), None, "a head longer than the payload");
    assert_eq!(Headed::read(b"\x02\0\0"), None);
}

#[test]
fn numbers_of_kinds_are_unique_and_found_again() {
    for kind in Kind::ALL {
        assert_eq!(Kind::from_number(*kind as u16), Some(*kind));
    }
    assert_eq!(Kind::from_number(0), None);
    let numbers: std::collections::BTreeSet<u16> = Kind::ALL.iter().map(|kind| *kind as u16).collect();
    assert_eq!(numbers.len(), Kind::ALL.len());
}
