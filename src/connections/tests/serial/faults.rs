//! The faults of the contract on a serial line, where no fault proxy can stand. `contract::serial` has those that every kind
//! has; here is what is particular. The others there cannot be:
//!
//! | fault | on a serial line |
//! | --- | --- |
//! | refused | the port is not there, or cannot be opened: `contract::refused_is_told`, `what_keeps_a_port_from_being_opened` |
//! | unroutable; name unknown | none: a port is a file of this machine, which is there or not |
//! | name leads elsewhere; address changed | what has the name is opened: `contract::two_hundred_flaps`, each time another terminal; `contract::retarget` |
//! | accepted, then closed | a loose contact: `an_adapter_that_is_gone_as_soon_as_it_is_opened` |
//! | handshake answered with something else | none: there is no handshake, and garbage is received: `an_adapter_that_is_unplugged_and_plugged_in_again`, every byte there is |
//! | host gone without a word | none: this machine is the host |
//! | device says nothing; half-open | the same, also if it has no power or no cable: `a_device_that_says_nothing_is_its_driver_s_to_notice` |
//! | takes nothing any more | stays up, however long: `contract::queue_is_bounded_and_in_order` |
//! | closed; reset | unplugged: `unplugged_in_mid_frame`, `contract::closed_by_the_peer`, `contract::reset_in_mid_stream` |
//! | one byte a second | `contract::one_byte_at_a_time`, `one_byte_at_a_time_both_ways` |
//! | flood | `contract::flood_is_bounded_and_complete`: a terminal holds its writer up. A line without flow control cannot, and the system drops what a slow reader has not taken |
//! | 200 flaps | `contract::two_hundred_flaps`: unplugged and plugged in |

use super::super::{
    super::{Connections, Error, Options, Reason, State},
    contract::connected,
    harness::{DEADLINE, Receipts, Recorder, eventually, never_retry, pattern, quick},
    kinds::{Kind as _, Serial},
};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What is half received is delivered, then the link is down; what was to be sent is not continued on the next connection.
#[tokio::test]
async fn unplugged_in_mid_frame() {
    let (connections, recorder) = (Connections::new(quick()), Recorder::slow());
    let (kind, link, mut stream) = connected::<Serial>(&connections, &recorder).await;
    stream.write_all(b"VOLUME 1").await.expect("write");
    eventually("read", || connections.metrics().bytes_in == 8).await;
    let receipts = Receipts::default();
    // More than a terminal holds.
    for _ in 0..64 {
        link.transmit(vec![7; 4096], receipts.make());
    }
    drop(stream);
    recorder.look(|record| assert_eq!((record.received, record.states.len()), (0, 2), "in order"));
    recorder.open_up();
    let end = recorder.ended(1).await;
    recorder.look(|record| assert_eq!(record.bytes, b"VOLUME 1"));
    assert_eq!(end.reason(), Some(Reason::Serial));
    assert!(end.detail().is_some_and(|detail| detail.contains("unplugged")), "{end:?}");
    receipts.all_answered().await;
    receipts.look(|answers| {
        let lost = |error: &Error| matches!(error, Error::Lost(_)) && error.reason() == Some(Reason::Serial);
        assert!(!answers.errors.is_empty() && answers.errors.iter().all(lost), "{answers:?}");
    });

    let mut stream = kind.accept().await;
    recorder.up_after(1).await;
    Receipts::transmit(&link, "hello").await.expect("sent");
    let mut got = [0; 5];
    tokio::time::timeout(DEADLINE, stream.read_exact(&mut got)).await.expect("in time").expect("read");
    assert_eq!(&got, b"hello");
    stream.write_all(b"VOLUME 2\n").await.expect("write");
    recorder.received(17).await;
    recorder.look(|record| assert_eq!(record.bytes, b"VOLUME 1VOLUME 2\n"));
}

#[tokio::test]
async fn a_device_that_says_nothing_is_its_driver_s_to_notice() {
    let (connections, recorder) = (Connections::new(never_retry()), Recorder::new());
    let (_kind, link, mut stream) = connected::<Serial>(&connections, &recorder).await;
    for at in 0..10 {
        let command = Bytes::from_static(pattern(at * 100, 100));
        Receipts::transmit(&link, command).await.expect("the system takes it");
    }
    assert!(link.state().is_up());
    // It was only thinking.
    let mut got = [0; 1000];
    tokio::time::timeout(DEADLINE, stream.read_exact(&mut got)).await.expect("in time").expect("read");
    assert_eq!(got, pattern(0, 1000), "not lost, and in order");
    stream.write_all(b"at last").await.expect("write");
    recorder.received(7).await;
    recorder.look(|record| assert_eq!((&*record.bytes, record.states.len()), (&b"at last"[..], 2)));
    assert_eq!(connections.metrics().attempts, 1);
}

#[tokio::test]
async fn one_byte_at_a_time_both_ways() {
    const SIZE: usize = 20_000;
    let (connections, recorder) = (Connections::new(quick()), Recorder::new().expect_pattern());
    let (_kind, link, mut stream) = connected::<Serial>(&connections, &recorder).await;
    let receipts = Receipts::default();
    link.transmit(Bytes::from_static(pattern(0, SIZE)), receipts.make());
    let device = async {
        for byte in pattern(0, SIZE) {
            let mut got = [0];
            stream.read_exact(&mut got).await.expect("read");
            assert_eq!(got, [*byte]);
            stream.write_all(&got).await.expect("write");
        }
    };
    tokio::time::timeout(DEADLINE, device).await.expect("in time");
    recorder.received(SIZE).await;
    recorder.look(|record| assert_eq!((record.received, record.violations), (SIZE, 0)));
    receipts.all_answered().await;
    receipts.look(|answers| assert_eq!(answers.ok, 1));
    assert_eq!(connections.metrics().connects, 1);
}

/// Each time it counts as a failure, so that retries slow down; one that stays is connected.
#[tokio::test]
async fn an_adapter_that_is_gone_as_soon_as_it_is_opened() {
    let (connections, recorder) =
        (Connections::new(Options { stable_ms: 3_600_000, ..quick() }), Recorder::new());
    let (kind, link, stream) = connected::<Serial>(&connections, &recorder).await;
    drop(stream);
    for connection in 1..5 {
        let State::Down { reason, failures, .. } = recorder.ended(connection).await else { unreachable!() };
        assert_eq!((reason, u64::from(failures)), (Reason::Serial, connection));
        drop(kind.accept().await);
        recorder.up_after(connection).await;
    }
    let mut stream = kind.accept().await;
    recorder.up_after(5).await;
    Receipts::transmit(&link, "hello").await.expect("sent");
    let mut got = [0; 5];
    tokio::time::timeout(DEADLINE, stream.read_exact(&mut got)).await.expect("in time").expect("read");
    assert_eq!(&got, b"hello");
}
