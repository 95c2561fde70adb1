//! `docs/driver-protocol.md` says what the code does.

use bytes::BytesMut;
use drivers_sdk_protocol::message::code;
use drivers_sdk_protocol::{Decoder, Kind, MAX_PAYLOAD, feature};

const DOCUMENT: &str = include_str!("../../../docs/driver-protocol.md");

/// The cells of every table row.
fn rows() -> impl Iterator<Item = Vec<&'static str>> {
    DOCUMENT.lines().filter(|line| line.starts_with("| ")).map(|line| {
        line.trim_matches(|c| c == '|' || c == ' ').split(" | ").map(str::trim).collect::<Vec<_>>()
    })
}

#[test]
fn the_table_of_kinds_is_complete() {
    let documented: Vec<(u16, String)> = rows()
        .filter(|cells| cells.len() == 6)
        .filter_map(|cells| Some((cells[0].parse().ok()?, cells[1].trim_matches('`').to_owned())))
        .collect();
    let mut known: Vec<(u16, String)> =
        Kind::ALL.iter().map(|kind| (*kind as u16, format!("{kind:?}"))).collect();
    known.sort();
    assert_eq!(documented, known);
}

#[test]
fn the_table_of_features_is_complete() {
    let documented: Vec<(&str, String)> = rows()
        .skip_while(|cells| cells[0] != "feature")
        .map(|cells| (cells[0], cells[1].to_owned()))
        .skip(2)
        .take(feature::ALL.len())
        .map(|(name, kinds)| (name.trim_matches('`'), kinds))
        .collect();
    let known: Vec<(&str, String)> = feature::ALL
        .iter()
        .map(|feature| {
            let kinds = Kind::ALL.iter().filter(|kind| kind.feature() == Some(feature));
            (*feature, kinds.map(|kind| format!("`{kind:?}`")).collect::<Vec<_>>().join(", "))
        })
        .collect();
    assert_eq!(documented, known);
}

#[test]
fn the_table_of_codes_is_complete() {
    let documented: Vec<&str> = rows()
        .skip_while(|cells| cells[0] != "code")
        .map(|cells| cells[0])
        .filter(|cell| cell.starts_with('`'))
        .take(11)
        .map(|cell| cell.trim_matches('`'))
        .collect();
    let known = [
        code::UNKNOWN_FUNCTION,
        code::BAD_REQUEST,
        code::OFFLINE,
        code::TIMEOUT,
        code::DEVICE,
        code::REPLACED,
        code::DRIVER,
        code::PANIC,
        code::STOPPED,
        code::NOT_FOUND,
        code::ENDED,
    ];
    assert_eq!(documented, known);
}

#[test]
fn the_limit_is_the_documents() {
    let limit = format!(
        "0 to {} {:03} {:03}",
        MAX_PAYLOAD / 1_000_000,
        MAX_PAYLOAD / 1000 % 1000,
        MAX_PAYLOAD % 1000
    );
    assert!(DOCUMENT.contains(&limit), "{limit}");
}

#[test]
fn the_bytes_of_the_example_are_two_frames() {
    let block = DOCUMENT.split("```").nth(1).unwrap();
    let hex: Vec<u8> = block
        .lines()
        .flat_map(|line| {
            line.split_whitespace()
                .map_while(|word| (word.len() == 2).then(|| u8::from_str_radix(word, 16).ok())?)
        })
        .collect();
    let mut wire = BytesMut::from(&hex[..]);
    let call = Decoder::default().decode(&mut wire).unwrap().unwrap();
    assert_eq!((call.kind(), call.header.module, call.header.correlation), (Some(Kind::Call), 2, 7));
    assert_eq!(call.payload, &b"{\"function\":\"power\",\"args\":[true]} \n"[..]);
    let done = Decoder::default().decode(&mut wire).unwrap().unwrap();
    assert_eq!((done.kind(), done.header.module, done.header.correlation), (Some(Kind::Done), 2, 7));
    assert_eq!(done.payload, "true");
    assert!(wire.is_empty());
}
