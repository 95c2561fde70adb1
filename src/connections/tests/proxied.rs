//! What every kind of connection must pass with a fault proxy between it and its device. What there is of this on a serial
//! line is in `serial/faults.rs`, and with datagrams in `udp/faults.rs`.

use super::{
    super::{Address, Connections, Error, Link, Options, Reason, State, Target},
    contract::{contract, make_break},
    faults::{Names, Silent},
    harness::{DEADLINE, Receipts, Recorder, eventually, never_retry, pattern, quick},
    kinds::{
        Bus, BusMakeBreak, Kind, Rfc2217, Rfc2217MakeBreak, Ssh, SshMakeBreak, Stream, Tcp, TcpMakeBreak,
        Tls, TlsMakeBreak, Unix, UnixMakeBreak, WebSocket, WebSocketMakeBreak,
    },
};
use fault_proxy::{Fault, FaultProxy, GARBAGE, Towards};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

contract!(
    Tcp as tcp, TcpMakeBreak as tcp_make_break, Unix as unix, UnixMakeBreak as unix_make_break,
    Tls as tls, TlsMakeBreak as tls_make_break,
    WebSocket as websocket, WebSocketMakeBreak as websocket_make_break,
    Rfc2217 as rfc2217, Rfc2217MakeBreak as rfc2217_make_break,
    Bus as bus, BusMakeBreak as bus_make_break,
    Ssh as ssh, SshMakeBreak as ssh_make_break: {
    accept_then_close,
    takes_nothing,
    silent_for_a_while,
    reset_in_mid_frame,
    one_byte_at_a_time_both_ways,
    garbage,
    half_open,
});

/// What needs a network between the two, which a Unix socket has not.
mod network {
    #[allow(clippy::wildcard_imports, reason = "the same file")]
    use super::*;

    contract!(
    Tcp as tcp, TcpMakeBreak as tcp_make_break,
    Tls as tls, TlsMakeBreak as tls_make_break,
    WebSocket as websocket, WebSocketMakeBreak as websocket_make_break,
    Rfc2217 as rfc2217, Rfc2217MakeBreak as rfc2217_make_break,
    Bus as bus, BusMakeBreak as bus_make_break,
    Ssh as ssh, SshMakeBreak as ssh_make_break: {
        unroutable,
        name_that_comes_and_changes,
    });
}

/// A device that is there, and a proxy that leads to it.
async fn device<K: Kind>() -> (K, FaultProxy, Target) {
    let mut kind = K::make();
    kind.appear().await;
    let target = kind.target();
    let (proxy, target) = match &target.address {
        Address::Unix(path) => {
            let at = path.with_extension("proxy");
            let proxy = FaultProxy::unix(&at, path).await.expect("proxy");
            (proxy, Target { address: Address::Unix(at), ..target })
        }
        address => {
            let proxy = FaultProxy::tcp(socket(address)).await.expect("proxy");
            let target = elsewhere(target, proxy.address());
            (proxy, target)
        }
    };
    (kind, proxy, target)
}

fn socket(address: &Address) -> SocketAddr {
    let endpoint =
        address.endpoint().expect("a kind that no proxy can stand before is not in the lists above");
    SocketAddr::new(endpoint.host.parse().expect("a literal address"), endpoint.port)
}

/// The same device at another address, which goes by its own name all the same.
fn elsewhere(target: Target, at: SocketAddr) -> Target {
    named(target, at.ip().to_string(), at.port())
}

fn named(mut target: Target, name: String, port: u16) -> Target {
    let before = target.address.endpoint().map(|endpoint| endpoint.host.clone());
    if let Address::Tls { tls, .. } = &mut target.address {
        Arc::make_mut(tls).server_name = before;
    }
    let endpoint = target.address.endpoint_mut().expect("reached over the network");
    (endpoint.host, endpoint.port) = (name, port);
    target
}

/// The device hears what is sent, on a connection of now; that one.
async fn hears<K: Kind>(kind: &K, link: &Link) -> Stream {
    let heard = async {
        loop {
            let mut stream = kind.accept().await;
            let mut got = [0; 5];
            // Connections of before have ended, and what was sent on them does not matter.
            if stream.read_exact(&mut got).await.is_ok() && &got == b"hello" {
                return stream;
            }
        }
    };
    let sends = async {
        loop {
            link.attempt();
            let _ = Receipts::transmit(link, "hello").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        stream = tokio::time::timeout(DEADLINE, heard) => stream.expect("heard in time"),
        () = sends => unreachable!(),
    }
}

async fn up<K: Kind>(connections: &Connections, recorder: &Recorder) -> (K, FaultProxy, Link, Stream) {
    let (kind, proxy, target) = device::<K>().await;
    let link = recorder.open(connections, target);
    link.attempt();
    let stream = kind.accept().await;
    recorder.up_after(0).await;
    (kind, proxy, link, stream)
}

async fn unroutable<K: Kind>() {
    let kind = K::make();
    let silent = Silent::make();
    let recorder = Recorder::new();
    let connections = Connections::new(Options { connect_timeout_ms: 300, ..never_retry() });
    let link = recorder.open(&connections, elsewhere(kind.target(), silent.address));
    if make_break(&kind) {
        let error = Receipts::transmit(&link, "hello").await.expect_err("nobody answers");
        assert_eq!(error.reason(), Some(Reason::Timeout));
    }
    let State::Down { reason, detail, .. } = recorder.down().await else { unreachable!() };
    assert_eq!(reason, Reason::Timeout, "{detail}");
    assert!(detail.contains(&silent.address.to_string()) && detail.contains("300 ms"), "{detail}");
    let error = Receipts::transmit(&link, "hello").await.expect_err("nobody answers");
    assert_eq!(error.reason(), Some(Reason::Timeout));
}

async fn accept_then_close<K: Kind>() {
    let recorder = Recorder::new();
    let connections = Connections::new(quick());
    let (kind, proxy, target) = device::<K>().await;
    proxy.set(Fault::AcceptThenClose).await.expect("set");
    let link = recorder.open(&connections, target);
    let receipts = Receipts::default();
    if make_break(&kind) {
        let sends = async {
            loop {
                link.transmit(bytes::Bytes::from_static(b"lost"), receipts.make());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            _ = proxy.until(|counts| counts.connections >= 3) => {}
            () = sends => {}
        }
    } else {
        let State::Down { reason, detail, .. } = recorder.down().await else { unreachable!() };
        assert!(K::CLOSED_AT_ONCE.contains(&reason), "{reason}: {detail}");
        proxy.until(|counts| counts.connections >= 3).await;
        eventually("failures are counted", || matches!(link.state(), State::Down { failures: 2.., .. }))
            .await;
    }
    receipts.all_answered().await;
    proxy.set(Fault::None).await.expect("set");
    hears(&kind, &link).await;
}

/// The host goes on answering for a device that takes nothing any more: the system gives it up after `user_timeout_ms`.
async fn takes_nothing<K: Kind>() {
    let recorder = Recorder::new();
    let connections = Connections::new(Options { user_timeout_ms: 1000, ..quick() });
    let (kind, proxy, link, _stream) = up::<K>(&connections, &recorder).await;
    proxy.set(Fault::Silent).await.expect("set");
    let receipts = Receipts::default();
    // What is more than the system and the queue take is refused.
    let full =
        || receipts.look(|answers| answers.errors.iter().any(|error| matches!(error, Error::Full { .. })));
    let down = || recorder.look(|record| record.states.iter().any(|state| state.reason().is_some()));
    eventually("the device is given up", || {
        link.transmit(vec![0; 1 << 18], receipts.make());
        if K::USER_TIMEOUT { down() } else { full() }
    })
    .await;
    if K::USER_TIMEOUT {
        let lost = recorder.ended(1).await;
        assert_eq!(lost.reason(), Some(Reason::Silent), "{lost:?}");
    }
    proxy.set(Fault::None).await.expect("set");
    proxy.reset();
    receipts.all_answered().await;
    hears(&kind, &link).await;
}

async fn silent_for_a_while<K: Kind>() {
    let recorder = Recorder::new().expect_pattern();
    let connections = Connections::new(quick());
    let (_kind, proxy, link, mut stream) = up::<K>(&connections, &recorder).await;
    proxy.set(Fault::Silent).await.expect("set");
    stream.write_all(pattern(0, 1000)).await.expect("write");
    stream.flush().await.expect("flush");
    let receipts = Receipts::default();
    for at in 0..10 {
        link.transmit(bytes::Bytes::from_static(pattern(at * 100, 100)), receipts.make());
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    recorder.look(|record| assert_eq!(record.received, 0));
    proxy.set(Fault::None).await.expect("set");
    recorder.received(1000).await;
    let mut got = vec![0; 1000];
    tokio::time::timeout(DEADLINE, stream.read_exact(&mut got)).await.expect("in time").expect("read");
    assert_eq!(got, pattern(0, 1000), "not lost, and in order");
    receipts.all_answered().await;
    receipts.look(|answers| assert_eq!(answers.ok, 10));
    recorder.look(|record| assert_eq!((record.received, record.violations), (1000, 0)));
    assert_eq!(connections.metrics().connects, 1);
}

async fn reset_in_mid_frame<K: Kind>() {
    let recorder = Recorder::new().expect_pattern();
    let connections = Connections::new(quick());
    let (kind, proxy, link, mut stream) = up::<K>(&connections, &recorder).await;
    for (towards, bytes) in [(Towards::Client, 5_003), (Towards::Peer, 5_003)] {
        let before = connections.metrics().connects;
        let received = recorder.look(|record| record.received);
        proxy.set(Fault::ResetAfter(towards, bytes)).await.expect("set");
        let receipts = Receipts::default();
        for _ in 0..8 {
            link.transmit(vec![7; 4096], receipts.make());
        }
        let device = async {
            // Goes on where the pattern is: what is delivered is whole, whatever is lost.
            let _ = stream.write_all(pattern(received, 100_000)).await;
            let _ = stream.flush().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        };
        let ended = recorder.ended(before);
        let (_, end) = tokio::join!(tokio::time::timeout(DEADLINE, device), ended);
        if !make_break(&kind) {
            assert!(end.reason().is_some_and(|reason| K::RESET.contains(&reason)), "{end:?}");
        }
        receipts.all_answered().await;
        recorder.look(|record| assert_eq!(record.violations, 0));
        proxy.set(Fault::None).await.expect("set");
        stream = hears(&kind, &link).await;
    }
}

async fn one_byte_at_a_time_both_ways<K: Kind>() {
    let recorder = Recorder::new();
    // A handshake takes thousands of them.
    let connections = Connections::new(Options { connect_timeout_ms: 100_000, ..quick() });
    let (kind, proxy, target) = device::<K>().await;
    proxy.set(Fault::Pace(Duration::from_micros(1))).await.expect("set");
    let link = recorder.open(&connections, target);
    link.attempt();
    let mut stream = kind.accept().await;
    recorder.up_after(0).await;
    Receipts::transmit(&link, "slow, but sure").await.expect("sent");
    let mut got = [0; 14];
    tokio::time::timeout(DEADLINE, stream.read_exact(&mut got)).await.expect("in time").expect("read");
    assert_eq!(&got, b"slow, but sure");
    stream.write_all(b"as slow, as sure").await.expect("write");
    stream.flush().await.expect("flush");
    recorder.received(16).await;
    recorder.look(|record| assert_eq!(record.bytes, b"as slow, as sure"));
    assert_eq!(connections.metrics().connects, 1);
}

async fn garbage<K: Kind>() {
    let recorder = Recorder::new();
    let connections = Connections::new(quick());
    let (kind, proxy, target) = device::<K>().await;
    proxy.set(Fault::Garbage).await.expect("set");
    let link = recorder.open(&connections, target);
    link.attempt();
    if K::GARBLED.is_empty() {
        recorder.received(GARBAGE.len()).await;
        recorder.look(|record| assert_eq!(record.bytes, GARBAGE));
        proxy.set(Fault::None).await.expect("set");
        proxy.cut();
    } else {
        let State::Down { reason, detail, .. } = recorder.down().await else { unreachable!() };
        assert!(K::GARBLED.contains(&reason), "{reason}: {detail}");
        let error = Receipts::transmit(&link, "hello").await.expect_err("no such connection");
        assert!(error.reason().is_some_and(|reason| K::GARBLED.contains(&reason)), "{error}");
        proxy.set(Fault::None).await.expect("set");
    }
    hears(&kind, &link).await;
}

async fn half_open<K: Kind>() {
    let recorder = Recorder::new();
    let connections = Connections::new(quick());
    let (kind, proxy, link, mut stream) = up::<K>(&connections, &recorder).await;
    proxy.set(Fault::HalfOpen).await.expect("set");
    // The device has forgotten the connection, and nobody says so.
    let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut Vec::new())).await.expect("in time");
    let receipts = Receipts::default();
    for _ in 0..100 {
        link.transmit(vec![7; 1000], receipts.make());
    }
    receipts.all_answered().await;
    receipts.look(|answers| assert_eq!(answers.ok, 100, "the system takes it"));
    assert!(link.state().is_up());
    proxy.set(Fault::None).await.expect("set");
    let end = recorder.ended(1).await;
    if !make_break(&kind) {
        assert!(end.reason().is_some_and(|reason| K::RESET.contains(&reason)), "{end:?}");
    }
    hears(&kind, &link).await;
}

async fn name_that_comes_and_changes<K: Kind>() {
    let mut kind = K::make();
    // One device by two ways, so that one certificate does.
    kind.appear().await;
    let device = socket(&kind.target().address);
    let (one, other) =
        (FaultProxy::tcp(device).await.expect("proxy"), FaultProxy::tcp(device).await.expect("proxy"));
    let names = Names::default();
    let connections = Connections::with_resolver(quick(), names.clone());
    let recorder = Recorder::new();
    let link = recorder.open(&connections, named(kind.target(), "device.example".into(), 4000));
    if make_break(&kind) {
        let error = Receipts::transmit(&link, "hello").await.expect_err("no such name");
        assert_eq!(error.reason(), Some(Reason::Dns));
    }
    let State::Down { reason, detail, .. } = recorder.down().await else { unreachable!() };
    assert_eq!(reason, Reason::Dns);
    assert!(detail.contains("device.example"), "{detail}");
    *names.0.lock() = vec![one.address()];
    drop(hears(&kind, &link).await);
    *names.0.lock() = vec![other.address()];
    one.set(Fault::Refuse).await.expect("set");
    one.cut();
    hears(&kind, &link).await;
    assert!(other.counts().connections > 0, "it went where the name leads now");
}
