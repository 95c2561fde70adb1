//! What every kind of connection must pass. With a fault proxy in between: `proxied`, for those where one can stand there.

use super::{
    super::{Connections, Error, Mode, Reason, State},
    harness::{DEADLINE, Receipts, Recorder, eventually, never_retry, pattern, quick},
    kinds::{
        Bus, BusMakeBreak, Kind, Rfc2217, Rfc2217MakeBreak, Serial, SerialMakeBreak, Ssh, SshMakeBreak, Tcp,
        TcpMakeBreak, Tls, TlsMakeBreak, Unix, UnixMakeBreak, WebSocket, WebSocketMakeBreak,
    },
    recorded::everything_is_recorded_in_order,
};
use bytes::Bytes;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A test of each of these names for each kind, in the module that has the functions.
macro_rules! contract {
    ($($kind:ident as $name:ident),*: $tests:tt) => { $(contract!(@kind $kind $name $tests);)* };
    (@kind $kind:ident $name:ident { $($test:ident),* $(,)? }) => {
        mod $name {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test::<super::$kind>().await;
            })*
        }
    };
}
pub(super) use contract;

contract!(
    Tcp as tcp, TcpMakeBreak as tcp_make_break, Unix as unix, UnixMakeBreak as unix_make_break,
    Tls as tls, TlsMakeBreak as tls_make_break,
    WebSocket as websocket, WebSocketMakeBreak as websocket_make_break,
    Serial as serial, SerialMakeBreak as serial_make_break,
    Rfc2217 as rfc2217, Rfc2217MakeBreak as rfc2217_make_break,
    Bus as bus, BusMakeBreak as bus_make_break,
    Ssh as ssh, SshMakeBreak as ssh_make_break: {
    echoes_in_order,
    refused_is_told,
    comes_back,
    attempt_does_not_wait_for_the_retry,
    closed_by_the_peer,
    reset_in_mid_stream,
    one_byte_at_a_time,
    flood_is_bounded_and_complete,
    transmits_and_closes_while_the_sink_waits,
    queue_is_bounded_and_in_order,
    close_answers_everything,
    dropping_the_link_closes_it,
    retarget,
    disconnect,
    two_hundred_flaps,
    everything_is_recorded_in_order,
});

pub(super) fn make_break(kind: &impl Kind) -> bool {
    matches!(kind.target().mode, Mode::MakeBreak { .. })
}

/// A device that is there, and a link to it that is up: make-break links by being asked.
pub(super) async fn connected<K: Kind>(
    connections: &Connections,
    recorder: &Recorder,
) -> (K, super::super::Link, super::kinds::Stream) {
    let mut kind = K::make();
    kind.appear().await;
    let link = recorder.open(connections, kind.target());
    link.attempt();
    let stream = kind.accept().await;
    recorder.up_after(0).await;
    (kind, link, stream)
}

pub(super) async fn echoes_in_order<K: Kind>() {
    let recorder = Recorder::new().expect_pattern();
    let connections = Connections::new(quick());
    let (_kind, link, stream) = connected::<K>(&connections, &recorder).await;
    tokio::spawn(async move {
        let (mut read, mut write) = tokio::io::split(stream);
        let _ = tokio::io::copy(&mut read, &mut write).await;
    });
    let receipts = Receipts::default();
    let mut sent = 0;
    for size in (1..2000).cycle().take(4000) {
        while link.state().is_up() && connections.metrics().bytes_out + 500_000 < sent as u64 {
            tokio::task::yield_now().await;
        }
        link.transmit(Bytes::from_static(pattern(sent, size)), receipts.make());
        sent += size;
    }
    recorder.received(sent).await;
    receipts.all_answered().await;
    receipts.look(|answers| {
        assert_eq!((answers.ok, answers.errors.len()), (4000, 0));
    });
    recorder.look(|record| assert_eq!((record.received, record.violations), (sent, 0)));
    let metrics = connections.metrics();
    assert_eq!((metrics.bytes_out, metrics.bytes_in), (sent as u64, sent as u64));
    assert_eq!((metrics.up, metrics.connects, metrics.attempts), (1, 1, 1));
}

pub(super) async fn refused_is_told<K: Kind>() {
    let recorder = Recorder::new();
    let connections = Connections::new(never_retry());
    let kind = K::make();
    let link = recorder.open(&connections, kind.target());
    if make_break(&kind) {
        assert!(link.state().reachable());
        let error = Receipts::transmit(&link, "hello").await.expect_err("nobody is there");
        assert_eq!(error.reason(), Some(K::REFUSED));
    }
    let State::Down { reason, detail, .. } = recorder.down().await else { unreachable!() };
    assert_eq!(reason, K::REFUSED);
    assert!(detail.contains(&kind.target().address.to_string()), "{detail}");
    assert_eq!(link.state().reason(), Some(K::REFUSED));
    let error = Receipts::transmit(&link, "hello").await.expect_err("nobody is there");
    assert!(matches!(error, Error::Down(_)), "{error}");
    assert_eq!(error.reason(), Some(K::REFUSED));
}

pub(super) async fn comes_back<K: Kind>() {
    let recorder = Recorder::new();
    let connections = Connections::new(quick());
    let mut kind = K::make();
    let link = recorder.open(&connections, kind.target());
    let _ = Receipts::transmit(&link, "anybody?").await;
    recorder.down().await;
    if !make_break(&kind) {
        eventually("a few retries", || connections.metrics().attempts > 3).await;
    }
    kind.appear().await;
    if make_break(&kind) {
        Receipts::transmit(&link, "hello").await.expect("sent");
    }
    let mut stream = kind.accept().await;
    let first = recorder.up_after(0).await;
    // Away for longer than the first retry takes.
    kind.disappear();
    stream.shutdown().await.expect("shutdown");
    drop(stream);
    recorder.ended(first).await;
    if make_break(&kind) {
        Receipts::transmit(&link, "gone").await.expect_err("nobody is there");
    } else {
        let attempts = connections.metrics().attempts;
        eventually("a few retries", || connections.metrics().attempts > attempts + 2).await;
    }
    kind.appear().await;
    if make_break(&kind) {
        Receipts::transmit(&link, "hello again").await.expect("sent");
    }
    let mut stream = kind.accept().await;
    recorder.up_after(first).await;
    Receipts::transmit(&link, "!").await.expect("sent");
    let expected: &[u8] = if make_break(&kind) { b"hello again!" } else { b"!" };
    let mut got = vec![0; expected.len()];
    stream.read_exact(&mut got).await.expect("read");
    assert_eq!(got, expected);
}

pub(super) async fn attempt_does_not_wait_for_the_retry<K: Kind>() {
    let recorder = Recorder::new();
    let connections = Connections::new(never_retry());
    let mut kind = K::make();
    let link = recorder.open(&connections, kind.target());
    link.attempt();
    recorder.down().await;
    kind.appear().await;
    link.attempt();
    let _stream = kind.accept().await;
    recorder.up_after(0).await;
}

pub(super) async fn closed_by_the_peer<K: Kind>() {
    let recorder = Recorder::new();
    let connections = Connections::new(never_retry());
    let (kind, link, mut stream) = connected::<K>(&connections, &recorder).await;
    stream.write_all(b"good-bye").await.expect("write");
    if !K::LAST_WORDS {
        recorder.received(8).await;
    }
    drop(stream);
    let end = recorder.ended(1).await;
    recorder.look(|record| assert_eq!(record.bytes, b"good-bye"));
    if make_break(&kind) && K::CLOSED == Reason::Closed {
        assert_eq!(end, State::Idle);
        assert!(link.state().reachable());
    } else {
        assert_eq!(end.reason(), Some(K::CLOSED));
        assert_eq!(connections.metrics().losses, [(K::CLOSED, 1)]);
    }
}

pub(super) async fn reset_in_mid_stream<K: Kind>() {
    let recorder = Recorder::new();
    let connections = Connections::new(super::super::Options { queue_bytes: 256 << 20, ..never_retry() });
    let (_kind, link, stream) = connected::<K>(&connections, &recorder).await;
    let receipts = Receipts::default();
    // More than the system, or the far end of any kind, takes: some of it is in flight.
    let much = Bytes::from(vec![7; 1 << 20]);
    for _ in 0..200 {
        link.transmit(much.clone(), receipts.make());
    }
    link.transmit(Bytes::from_static(b"x"), receipts.make());
    stream.reset().await;
    receipts.all_answered().await;
    let State::Down { reason, detail, .. } = recorder.down().await else { unreachable!() };
    assert!(K::RESET.contains(&reason), "{detail}");
    assert_eq!(link.state().reason(), Some(reason));
    let lost = receipts.look(|answers| answers.errors.iter().filter(|e| matches!(e, Error::Lost(_))).count());
    assert!(lost > 0, "something was in flight");
}

pub(super) async fn one_byte_at_a_time<K: Kind>() {
    let recorder = Recorder::new();
    let connections = Connections::new(quick());
    let (kind, _link, mut stream) = connected::<K>(&connections, &recorder).await;
    for byte in b"slow, but sure" {
        stream.write_all(&[*byte]).await.expect("write");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    recorder.received(14).await;
    recorder.look(|record| assert_eq!(record.bytes, b"slow, but sure"));
    assert_eq!(connections.metrics().connects, 1, "traffic keeps {:?} open", kind.target().mode);
}

/// Bytes of a flood: many times what any system keeps between the two.
const FLOOD: usize = 100 << 20;

pub(super) async fn flood_is_bounded_and_complete<K: Kind>() {
    let recorder = Recorder::slow().expect_pattern();
    let connections = Connections::new(quick());
    let (_kind, link, mut stream) = connected::<K>(&connections, &recorder).await;
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = sent.clone();
    let flood = tokio::spawn(async move {
        let mut position = 0;
        while position < FLOOD {
            let chunk = pattern(position, 16_384.min(FLOOD - position));
            // Whatever is taken counts: a pseudo terminal holds less than one piece.
            position += stream.write(chunk).await.expect("write");
            counted.store(position, std::sync::atomic::Ordering::Relaxed);
        }
        stream
    });
    // The sender comes to a stand: what it has got rid of is in the system's buffers and in one of ours.
    let mut before = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = sent.load(std::sync::atomic::Ordering::Relaxed);
        if now > 0 && std::mem::replace(&mut before, now) == now {
            break;
        }
    }
    assert!(sent.load(std::sync::atomic::Ordering::Relaxed) < FLOOD / 2, "back-pressure reaches the wire");
    assert!(connections.metrics().bytes_in <= quick().read_bytes as u64, "one buffer at most is read ahead");
    assert!(link.state().is_up());
    recorder.open_up();
    recorder.received(FLOOD).await;
    recorder.look(|record| assert_eq!((record.received, record.violations), (FLOOD, 0)));
    drop(flood.await.expect("flood"));
}

pub(super) async fn transmits_and_closes_while_the_sink_waits<K: Kind>() {
    let recorder = Recorder::slow();
    let connections = Connections::new(quick());
    let (_kind, link, mut stream) = connected::<K>(&connections, &recorder).await;
    stream.write_all(b"nobody takes this").await.expect("write");
    eventually("read", || connections.metrics().bytes_in > 0).await;
    let receipts = Receipts::default();
    // So much that the task has to flush it.
    for _ in 0..8 {
        link.transmit(Bytes::from(vec![1; 100_000]), receipts.make());
    }
    let mut got = vec![0; 800_000];
    tokio::time::timeout(DEADLINE, stream.read_exact(&mut got)).await.expect("in time").expect("read");
    receipts.all_answered().await;
    receipts.look(|answers| assert_eq!(answers.ok, 8));
    tokio::time::timeout(DEADLINE, link.close()).await.expect("closes though the sink waits");
    recorder.look(|record| assert!(record.dropped));
    let mut rest = Vec::new();
    let _ =
        tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("the socket is closed");
    assert!(rest.is_empty());
}

pub(super) async fn queue_is_bounded_and_in_order<K: Kind>() {
    let recorder = Recorder::new();
    let options = super::super::Options { queue_bytes: 10_000, ..quick() };
    let connections = Connections::new(options);
    let (_kind, link, mut stream) = connected::<K>(&connections, &recorder).await;
    let receipts = Receipts::default();
    let mut accepted = 0;
    loop {
        link.transmit(Bytes::from_static(pattern(accepted, 1000)), receipts.make());
        if let Some(error) = receipts.look(|answers| answers.errors.first().cloned()) {
            assert!(matches!(error, Error::Full { limit: 10_000, queued: 9_001.., .. }), "{error}");
            break;
        }
        accepted += 1000;
        assert!(accepted < 1 << 30, "the queue has no bound");
    }
    assert_eq!(connections.metrics().refused_transmits, 1);
    let mut got = vec![0; accepted];
    tokio::time::timeout(DEADLINE, stream.read_exact(&mut got)).await.expect("in time").expect("read");
    for (i, chunk) in got.chunks(251).enumerate() {
        assert_eq!(chunk, pattern(i * 251, chunk.len()), "out of order");
    }
    receipts.all_answered().await;
    receipts.look(|answers| {
        assert_eq!((answers.ok, answers.errors.len()), (accepted / 1000, 1));
    });
    Receipts::transmit(&link, "there is room again").await.expect("sent");
}

pub(super) async fn close_answers_everything<K: Kind>() {
    let recorder = Recorder::new();
    let connections = Connections::new(quick());
    let (_kind, link, mut stream) = connected::<K>(&connections, &recorder).await;
    let receipts = Receipts::default();
    for _ in 0..20 {
        link.transmit(Bytes::from(vec![1; 1 << 20]), receipts.make());
    }
    link.close().await;
    receipts.look(|answers| assert_eq!(answers.ok + answers.errors.len(), 20, "{answers:?}"));
    recorder.look(|record| assert!(record.dropped));
    assert_eq!(link.state().reason(), Some(Reason::Stopped));
    let error = Receipts::transmit(&link, "late").await.expect_err("closed");
    assert!(matches!(error, Error::Closed { .. }), "{error}");
    let mut rest = Vec::new();
    let _ =
        tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("the socket is closed");
    // Closing again, in any state, is fine; and nothing is counted as open.
    link.close().await;
    let metrics = connections.metrics();
    assert_eq!(metrics.idle + metrics.connecting + metrics.up + metrics.down, 0);
}

pub(super) async fn dropping_the_link_closes_it<K: Kind>() {
    let recorder = Recorder::new();
    let connections = Connections::new(quick());
    let (_kind, link, mut stream) = connected::<K>(&connections, &recorder).await;
    let other = link.clone();
    drop(link);
    Receipts::transmit(&other, "still here").await.expect("sent");
    drop(other);
    recorder.until("dropped", |record| record.dropped.then_some(())).await;
    let mut rest = Vec::new();
    tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("in time").expect("read");
    assert_eq!(rest, b"still here");
}

pub(super) async fn retarget<K: Kind>() {
    let recorder = Recorder::new();
    let connections = Connections::new(never_retry());
    let (kind, link, mut stream) = connected::<K>(&connections, &recorder).await;
    link.retarget(kind.target());
    Receipts::transmit(&link, "same").await.expect("the connection stays");
    let mut other = K::make();
    other.appear().await;
    let receipts = Receipts::default();
    for _ in 0..20 {
        link.transmit(Bytes::from(vec![1; 1 << 20]), receipts.make());
    }
    link.retarget(other.target());
    // The link's task may be answering one that it has just sent.
    receipts.all_answered().await;
    receipts.look(|answers| {
        let expected =
            |error: &Error| matches!(error, Error::Full { .. }) || error.reason() == Some(Reason::Stopped);
        assert!(answers.errors.iter().all(expected), "{answers:?}");
    });
    if make_break(&kind) {
        Receipts::transmit(&link, "moved").await.expect("sent");
    }
    let mut moved = other.accept().await;
    recorder.up_after(1).await;
    if !make_break(&kind) {
        Receipts::transmit(&link, "moved").await.expect("sent");
    }
    let mut got = [0; 5];
    moved.read_exact(&mut got).await.expect("read");
    assert_eq!(&got, b"moved");
    let mut rest = Vec::new();
    tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("closed").expect("read");
    assert_eq!(&rest[..4], b"same");
    assert_eq!(connections.metrics().losses, []);
}

pub(super) async fn disconnect<K: Kind>() {
    let recorder = Recorder::new();
    let connections = Connections::new(quick());
    let (kind, link, mut stream) = connected::<K>(&connections, &recorder).await;
    link.disconnect(Reason::Protocol, "a reply nobody asked for");
    let mut rest = Vec::new();
    tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("closed").expect("read");
    if make_break(&kind) {
        recorder.until("idle", |r| (r.states.last() == Some(&State::Idle)).then_some(())).await;
        link.attempt();
    } else {
        let State::Down { reason, detail, .. } = recorder.down().await else { unreachable!() };
        assert_eq!(reason, Reason::Protocol);
        assert!(detail.contains("a reply nobody asked for"), "{detail}");
    }
    let _stream = kind.accept().await;
    recorder.up_after(1).await;
}

pub(super) async fn two_hundred_flaps<K: Kind>() {
    let recorder = Recorder::new();
    let connections = Connections::new(quick());
    let mut kind = K::make();
    kind.appear().await;
    let link = recorder.open(&connections, kind.target());
    let receipts = Receipts::default();
    let mut last = 0;
    for flap in 0..200 {
        link.attempt();
        let mut stream = kind.accept().await;
        last = recorder.up_after(last).await;
        link.transmit(Bytes::from_static(b"ping"), receipts.make());
        if flap % 2 == 0 {
            let _ = stream.read_exact(&mut [0; 4]).await;
            let _ = stream.write_all(b"pong").await;
            recorder.received((flap / 2 + 1) * 4).await;
        }
        drop(stream);
        recorder.ended(last).await;
    }
    link.attempt();
    let mut stream = kind.accept().await;
    recorder.up_after(last).await;
    Receipts::transmit(&link, "after all").await.expect("sent");
    let mut got = [0; 9];
    stream.read_exact(&mut got).await.expect("read");
    assert_eq!(&got, b"after all");
    receipts.all_answered().await;
    let metrics = connections.metrics();
    assert_eq!((metrics.connects, metrics.up, metrics.down), (201, 1, 0));
}
