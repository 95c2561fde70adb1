//! Datagrams to real devices' software: Net-SNMP's agent, and OLA, which is an Art-Net node.

use super::{
    super::{Connections, Options, Target, udp::Settings},
    harness::{DEADLINE, Receipts, Recorder, eventually, quick},
    kinds::own_address,
    olad,
    peers::{Peer, program},
    udp_groups::{Pair, up},
};
use std::{fs, process::Command};

/// SNMPv2c, GET of 1.3.6.1.2.1.1.1.0 (sysDescr.0) by the community `public` (RFC 3416, in BER).
const GET: &[u8] = b"\x30\x26\x02\x01\x01\x04\x06public\xa0\x19\x02\x01\x07\x02\x01\x00\x02\x01\x00\
    \x30\x0e\x30\x0c\x06\x08\x2b\x06\x01\x02\x01\x01\x01\x00\x05\x00";
const DESCRIPTION: &str = "Projector in the hall";

#[tokio::test]
async fn snmpd_says_what_it_is() {
    let Some(snmpd) = program("snmpd", "snmpd") else { return };
    let (folder, address) = (tempfile::tempdir().expect("folder"), own_address());
    let config = folder.path().join("snmpd.conf");
    fs::write(&config, format!("rocommunity public\nsysDescr {DESCRIPTION}\n")).expect("write");
    let (connections, recorder) = (Connections::new(quick()), Recorder::new());
    // It is not there yet: what is sent is refused.
    let link =
        up(&connections, &recorder, Target::udp(address.to_string(), 16161, Settings::default())).await;
    let _ = Receipts::transmit(&link, GET).await;
    recorder.down().await;
    let mut agent = Command::new(snmpd);
    agent.args(["-f", "-Lo", "-C", "-c"]).arg(&config).arg(format!("udp:{address}:16161"));
    let _agent = Peer::start(agent.env("SNMP_PERSISTENT_DIR", folder.path()));
    let answered = |recorder: &Recorder| recorder.look(|record| !record.pieces.is_empty());
    eventually("an answer", || {
        if link.state().is_up() {
            link.transmit(GET, None);
        }
        answered(&recorder)
    })
    .await;
    let answer = recorder.look(|record| record.pieces[0].clone());
    // The same message with a value in place of null: a response (0xa2) to request 7, without error.
    assert_eq!((answer[0], &answer[7..13]), (0x30, &b"public"[..]), "{answer:02x?}");
    assert_eq!(
        (answer[13], &answer[15..24]),
        (0xa2, &b"\x02\x01\x07\x02\x01\x00\x02\x01\x00"[..]),
        "{answer:02x?}"
    );
    assert!(answer.ends_with(DESCRIPTION.as_bytes()), "{answer:02x?}");
}

/// Art-Net 4, OpPoll: who is there?
const POLL: &[u8] = b"Art-Net\0\x00\x20\x00\x0e\x00\x00";

#[test]
fn an_art_net_node_answers_a_broadcast_and_its_own_module_at_one_port() {
    let Some(olad) = program("olad", "ola") else { return };
    let Some(pair) = Pair::make("art") else { return };
    let config = tempfile::tempdir().expect("folder");
    let artnet = "ip = 10.77.1.2\nshort_name = Dimmer\nlong_name = Dimmer in the hall\n";
    olad::configure(config.path(), artnet);
    let mut node = Command::new("ip");
    node.args([
        "netns",
        "exec",
        pair.device.name(),
        "setpriv",
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
    ]);
    node.arg(olad).args(["--no-http", "--no-register-with-dns-sd", "-l", "0", "-c"]).arg(config.path());
    let _node = Peer::start(&mut node);
    pair.daemon.inside(|| async {
        let connections = Connections::new(Options { stable_ms: 5_000, ..quick() });
        let shared = Settings { local_port: 6454.try_into().ok(), ..Settings::default() };
        let everyone = Settings { broadcast: true, ..shared.clone() };
        let (all, one) = (Recorder::new(), Recorder::new());
        let broadcast = up(&connections, &all, Target::udp("10.77.1.255", 6454, everyone)).await;
        let unicast = up(&connections, &one, Target::udp("10.77.1.2", 6454, shared)).await;
        let replies = |recorder: &Recorder| {
            recorder.look(|record| record.pieces.iter().filter(|piece| is_reply(piece)).count())
        };
        // Until the node has started nobody answers, or its system refuses.
        eventually("a reply to the broadcast", || {
            if broadcast.state().is_up() {
                broadcast.transmit(POLL, None);
            }
            replies(&all) > 0
        })
        .await;
        eventually("its module hears it too", || replies(&one) > 0).await;
        let before = replies(&one);
        tokio::time::timeout(DEADLINE, Receipts::transmit(&unicast, POLL))
            .await
            .expect("in time")
            .expect("sent");
        eventually("a reply to the poll", || replies(&one) > before).await;
        one.look(|record| assert!(record.pieces.iter().all(|piece| is_reply(piece)), "only the node's own"));
    });
}

/// OpPollReply, which carries the node's names.
fn is_reply(piece: &[u8]) -> bool {
    piece.starts_with(b"Art-Net\0\x00\x21") && piece.len() > 44 && piece[26..].starts_with(b"Dimmer")
}
