//! The faults of the contract that datagrams know. The others there cannot be, for want of a connection:
//!
//! | fault | with datagrams |
//! | --- | --- |
//! | refused | what an ICMP port unreachable says: `a_refusal_is_heard_and_told_and_the_device_may_come_back` |
//! | unroutable; silent; half-open | all the same, and no network can tell: `a_device_that_says_nothing_is_its_driver_s_to_notice` |
//! | name unknown, and changed | `a_name_that_comes_and_changes`; while nobody refuses anything, `a_name_that_changes_while_nothing_is_refused_…` |
//! | accepted, then closed; closed; reset | none: there is nothing to close |
//! | handshake answered with something else | none; garbage is a datagram: `garbage_is_received_as_it_came` |
//! | takes nothing any more | none: what is not taken is lost, and nobody is told |
//! | one byte a second | none: a datagram comes whole or not at all |
//! | flood | what a slow reader does not take is lost, and counted: `a_flood_is_bounded` |
//! | flaps | refusals in a row: `refusals_are_rationed_like_connections_that_do_not_hold` |

use super::{
    super::super::{Connections, Options, Reason, State, Target, udp::Settings},
    Device, eventually, meet, never_retry, own_address, pieces, quick, shared, spare_port, up,
};
use crate::connections::tests::{
    faults::Names,
    harness::{Receipts, Recorder},
};
use std::net::SocketAddr;

#[tokio::test]
async fn a_name_that_comes_and_changes() {
    let names = Names::default();
    let connections = Connections::with_resolver(quick(), names.clone());
    let recorder = Recorder::new();
    let link = recorder.open(&connections, Target::udp("device.example", 5000, Settings::default()));
    let State::Down { reason, detail, .. } = recorder.down().await else { unreachable!() };
    assert_eq!(reason, Reason::Dns);
    assert!(detail.contains("device.example"), "{detail}");
    let error = Receipts::transmit(&link, "hello").await.expect_err("no such name");
    assert_eq!(error.reason(), Some(Reason::Dns));

    let first = Device::own().await;
    *names.0.lock() = vec![first.address()];
    let connection = recorder.up_after(0).await;
    meet(&link, &first).await;
    // It moves: nobody is at its old address, which the next datagram finds out.
    let second = Device::own().await;
    *names.0.lock() = vec![second.address()];
    drop(first);
    Receipts::transmit(&link, "anybody?").await.expect("the system takes it");
    assert_eq!(recorder.ended(connection).await.reason(), Some(Reason::Refused));
    recorder.up_after(connection).await;
    meet(&link, &second).await;
}

/// A name is asked for when an attempt is made, and a link that is up makes none: its driver has to give up what is silent.
#[tokio::test]
async fn a_name_that_changes_while_nothing_is_refused_is_found_when_the_driver_gives_up() {
    let names = Names::default();
    let (first, second) = (Device::own().await, Device::own().await);
    *names.0.lock() = vec![first.address()];
    let connections = Connections::with_resolver(quick(), names.clone());
    let recorder = Recorder::new();
    let link = recorder.open(&connections, Target::udp("device.example", 5000, Settings::default()));
    let connection = recorder.up_after(0).await;
    *names.0.lock() = vec![second.address()];
    meet(&link, &first).await;
    link.disconnect(Reason::Protocol, "no answer");
    recorder.up_after(connection).await;
    meet(&link, &second).await;
}

#[tokio::test]
async fn a_device_that_says_nothing_is_its_driver_s_to_notice() {
    let (connections, recorder, device) =
        (Connections::new(never_retry()), Recorder::new(), Device::own().await);
    let link = up(&connections, &recorder, device.target(Settings::default())).await;
    for _ in 0..100 {
        Receipts::transmit(&link, "anybody?").await.expect("the system takes it");
    }
    for _ in 0..100 {
        assert_eq!(device.receive().await.0, b"anybody?");
    }
    assert!(link.state().is_up());
    assert_eq!((recorder.look(|record| record.states.len()), connections.metrics().attempts), (2, 1));
}

#[tokio::test]
async fn garbage_is_received_as_it_came() {
    let (connections, recorder, device) = (Connections::new(quick()), Recorder::new(), Device::own().await);
    let link = up(&connections, &recorder, device.target(Settings::default())).await;
    let from = meet(&link, &device).await;
    let garbage: Vec<Vec<u8>> = [0, 1, 255, 1_472, 9_000].map(|size| vec![0xff; size]).into();
    for datagram in &garbage {
        device.send(datagram, from).await;
    }
    recorder.until("all of it", |record| (record.pieces.len() == garbage.len()).then_some(())).await;
    assert_eq!(pieces(&recorder), garbage);
    assert!(link.state().is_up());
}

/// 100 MB that nobody takes: the system's buffer and the link's hold some, the rest is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_bounded() {
    const SIZE: usize = 50_000;
    const COUNT: usize = 2_100;
    for settings in [Settings::default(), shared(spare_port().await)] {
        let connections = Connections::new(Options { stable_ms: 1, ..quick() });
        let (recorder, device) = (Recorder::slow(), Device::own().await);
        let link = up(&connections, &recorder, device.target(settings)).await;
        let mut from: SocketAddr = meet(&link, &device).await;
        if from.ip().is_unspecified() {
            from.set_ip(own_address().into());
        }
        for _ in 0..COUNT {
            device.send(&[7; SIZE], from).await;
        }
        // Callers are served meanwhile.
        meet(&link, &device).await;
        let held = connections.metrics().bytes_in;
        assert!(held <= SIZE as u64, "{held} bytes were taken for a reader that takes nothing");
        recorder.open_up();
        device.send(b"last", from).await;
        eventually("what comes now is heard", || {
            let _ = device.0.try_send_to(b"last", from);
            recorder.look(|record| record.pieces.last().is_some_and(|piece| piece == b"last"))
        })
        .await;
        let taken = recorder.look(|record| record.received);
        assert!(taken < SIZE * COUNT / 4, "{taken} bytes were kept");
        assert_eq!(connections.metrics().connects, 1);
    }
}
