use super::super::recording::tests::any_record;
use super::super::{Format, Writer};
use super::*;
use crate::connections::Form;
use crate::connections::recorder::Command;
use proptest::prelude::*;
use std::process::Output;

fn about() -> About {
    About { module: "mod-1".into(), name: "Display_1".into(), driver: "PJLink".into() }
}

fn written(records: &[Record]) -> Vec<u8> {
    let mut writer = Writer::new(Format::Pcapng, &about(), false);
    records.iter().for_each(|record| writer.record(record));
    writer.finish()
}

/// Type and body of each block.
fn blocks(mut file: &[u8]) -> Vec<(u32, &[u8])> {
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
    let mut blocks = Vec::new();
    while !file.is_empty() {
        let length = number(&file[4..8]) as usize;
        assert_eq!((length % 4, number(&file[length - 4..length])), (0, length as u32));
        blocks.push((number(&file[..4]), &file[8..length - 4]));
        file = &file[length..];
    }
    blocks
}

/// The packets, their headers checked, as addresses and payload.
fn packets(file: &[u8]) -> Vec<(u8, u16, u16, Vec<u8>)> {
    let packet = |(_, body): (u32, &[u8])| {
        let length = u32::from_le_bytes(body[12..16].try_into().unwrap()) as usize;
        let packet = &body[20..20 + length];
        let (body, mut sum) = match packet[0] >> 4 {
            4 => {
                assert_eq!(checksum(add(&packet[..20], 0)), 0);
                assert_eq!(usize::from(u16::from_be_bytes([packet[2], packet[3]])), length);
                (&packet[20..], add(&packet[12..20], 0))
            }
            _ => {
                assert_eq!(usize::from(u16::from_be_bytes([packet[4], packet[5]])) + 40, length);
                (&packet[40..], add(&packet[8..40], 0))
            }
        };
        let protocol = if packet[0] >> 4 == 4 { packet[9] } else { packet[6] };
        sum = add(&(body.len() as u16).to_be_bytes(), add(&[0, protocol], sum));
        assert_eq!(checksum(add(body, sum)), 0);
        let port = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
        let payload = if protocol == TCP { &body[20..] } else { &body[8..] };
        (protocol, port(0), port(2), payload.to_vec())
    };
    let blocks = blocks(file);
    assert_eq!(blocks.iter().map(|(kind, _)| *kind).take(2).collect::<Vec<_>>(), [SECTION, INTERFACE]);
    blocks.into_iter().filter(|(kind, _)| *kind == PACKET).map(packet).collect()
}

proptest! {
    #[test]
    fn every_packet_is_whole_and_carries_what_was_recorded(records in prop::collection::vec(any_record(), 0..20)) {
        let packets = packets(&written(&records));
        let carried: Vec<u8> = packets.iter().flat_map(|(.., payload)| payload.clone()).collect();
        let recorded: Vec<u8> = records.iter().filter_map(Record::data).flat_map(|data| data.bytes.clone()).collect();
        prop_assert_eq!(carried, recorded);
    }
}

fn conversation() -> Vec<Record> {
    let command = Some(Command { name: "power".into(), call: 7 });
    let data = |bytes: &[u8]| Data {
        bytes: bytes.into(),
        form: Form::Bytes,
        more: false,
        command: command.clone(),
        from: None,
    };
    let tcp = "10.1.2.3:4352".parse().ok();
    let udp = "[2001:db8::9]:9000".parse().ok();
    let events = [
        (1, Event::Up { address: "projector:4352".into(), peer: tcp, datagrams: false }),
        (1, Event::Received(data(b"PJLINK 0\r"))),
        (1, Event::Sent(data(b"%1POWR 1\r"))),
        (1, Event::Received(data(b"%1POWR=OK\r"))),
        (1, Event::Down { reason: "reset".into(), detail: "it restarts".into() }),
        (2, Event::Up { address: "udp://mixer:9000".into(), peer: udp, datagrams: true }),
        (2, Event::Sent(data(b"/fader"))),
        (2, Event::Down { reason: String::new(), detail: String::new() }),
        // The ring has lost how this one began.
        (4, Event::Sent(data(b"serial"))),
    ];
    let record = |(at, (connection, event))| {
        let number = at as u64 + 1;
        Record { number, time: 1_795_350_601_000_000 + number * 1500, connection, event }
    };
    events.into_iter().enumerate().map(record).collect()
}

/// Wireshark's own reader, on one file; `None` if it is not installed, but not under CI.
fn tshark(file: &std::path::Path, arguments: &[&str]) -> Option<String> {
    let run = std::process::Command::new("tshark").arg("-r").arg(file).args(arguments).output();
    let Ok(Output { status, stdout, stderr }) = run else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "tshark is missing");
        eprintln!("not tested: tshark is missing (apt-get install tshark)");
        return None;
    };
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    Some(String::from_utf8(stdout).unwrap())
}

#[test]
fn wireshark_reads_it_and_follows_its_streams() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), written(&conversation())).unwrap();
    let checked =
        ["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"];
    let fields = ["-T", "fields", "-e", "frame.time_epoch", "-e", "frame.comment", "-e", "_ws.col.Protocol"];
    let Some(all) = tshark(file.path(), &[&checked[..], &fields].concat()) else { return };
    let lines: Vec<&str> = all.lines().collect();
    assert_eq!(lines.len(), 11, "{all}");
    assert!(
        lines[0].starts_with("1795350601.0015") && lines[0].contains("connection 1 to projector:4352 is up"),
        "{all}"
    );
    assert!(lines[4].contains("power (call 7)") && lines[6].contains("is down: reset it restarts"), "{all}");

    let good = "ip.checksum.status == Good || ipv6";
    let whole = "tcp.checksum.status == Good || udp.checksum.status == Good";
    let sound = format!("({good}) && ({whole}) && !tcp.analysis.flags && !_ws.malformed");
    let sound = tshark(file.path(), &[&checked[..], &["-Y", &sound]].concat()).unwrap();
    assert_eq!(sound.lines().count(), 11, "{sound}");

    let stream = tshark(file.path(), &["-q", "-z", "follow,tcp,ascii,0"]).unwrap();
    for part in ["Node 0: 192.0.2.1:49153", "Node 1: 10.1.2.3:4352", "PJLINK 0", "%1POWR 1", "%1POWR=OK"] {
        assert!(stream.contains(part), "{part}: {stream}");
    }
    let stream = tshark(file.path(), &["-q", "-z", "follow,udp,ascii,0"]).unwrap();
    assert!(stream.contains("/fader") && stream.contains("[2001:db8::9]:9000"), "{stream}");
    let stream = tshark(file.path(), &["-q", "-z", "follow,tcp,ascii,1"]).unwrap();
    assert!(stream.contains("serial"), "{stream}");
}
