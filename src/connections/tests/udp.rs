//! Datagrams on the loopback interface: boundaries, whose they are, refusals, and ports that links share.

use super::{
    super::{Connections, Error, Link, Options, Reason, State, Target, udp::Settings},
    harness::{DEADLINE, Receipts, Recorder, eventually, never_retry, quick},
    kinds::own_address,
    recorded::messages,
};
use std::net::{Ipv4Addr, SocketAddr};
use tokio::{net::UdpSocket, time::timeout};

mod faults;
mod recorded;

/// A device: a socket at an address that is nobody else's.
pub(super) struct Device(UdpSocket);

impl Device {
    async fn at(address: SocketAddr) -> Self {
        Self(UdpSocket::bind(address).await.expect("bind"))
    }

    async fn own() -> Self {
        Self::at((own_address(), 5000).into()).await
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("address")
    }

    fn target(&self, settings: Settings) -> Target {
        Target::udp(self.address().ip().to_string(), self.address().port(), settings)
    }

    async fn receive(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = vec![0; 1 << 16];
        let received = timeout(DEADLINE, self.0.recv_from(&mut buffer)).await.expect("a datagram in time");
        let (length, from) = received.expect("receive");
        buffer.truncate(length);
        (buffer, from)
    }

    async fn send(&self, bytes: &[u8], to: SocketAddr) {
        assert_eq!(self.0.send_to(bytes, to).await.expect("send"), bytes.len());
    }
}

/// A link that is up, which says nothing of the device.
async fn up(connections: &Connections, recorder: &Recorder, target: Target) -> Link {
    let link = recorder.open(connections, target);
    recorder.up_after(0).await;
    link
}

/// Introduces the link to the device; where the link is.
async fn meet(link: &Link, device: &Device) -> SocketAddr {
    Receipts::transmit(link, "hello").await.expect("sent");
    let (bytes, from) = device.receive().await;
    assert_eq!(bytes, b"hello");
    from
}

fn shared(port: u16) -> Settings {
    Settings { local_port: Some(port.try_into().expect("a port")), ..Settings::default() }
}

/// A port that nothing else uses: nobody binds 127.x.y.z, and an ephemeral port is not given out twice.
async fn spare_port() -> u16 {
    let socket = UdpSocket::bind("0.0.0.0:0").await.expect("bind");
    socket.local_addr().expect("address").port()
}

fn pieces(recorder: &Recorder) -> Vec<Vec<u8>> {
    recorder.look(|record| record.pieces.clone())
}

async fn count(recorder: &Recorder, count: usize) {
    let enough = |record: &super::harness::Record| (record.pieces.len() >= count).then_some(());
    recorder.until(&format!("{count} datagrams"), enough).await;
}

#[tokio::test]
async fn a_datagram_per_transmit_and_boundaries_are_kept() {
    let (connections, recorder, device) = (Connections::new(quick()), Recorder::new(), Device::own().await);
    let link = up(&connections, &recorder, device.target(Settings::default())).await;
    assert!(link.state().is_up());
    let sizes = [5, 0, 1, 1200, 65_507, 3];
    let mut from = None;
    for (n, size) in sizes.into_iter().enumerate() {
        let bytes = vec![u8::try_from(n).expect("small"); size];
        Receipts::transmit(&link, bytes.clone()).await.expect("sent");
        let (received, source) = device.receive().await;
        assert!(received == bytes, "{size} bytes came as {}", received.len());
        device.send(&received, source).await;
        from = Some(source);
    }
    // Many at once are not put together either.
    let receipts = Receipts::default();
    for n in 0..50_u8 {
        link.transmit(vec![n], receipts.make());
    }
    receipts.all_answered().await;
    for n in 0..50 {
        assert_eq!(device.receive().await.0, [n]);
        device.send(&[n, n], from.expect("met")).await;
    }
    count(&recorder, sizes.len() + 50).await;
    let got: Vec<usize> = pieces(&recorder).iter().map(Vec::len).collect();
    assert_eq!(got[..sizes.len()], sizes);
    assert!(got[sizes.len()..].iter().all(|length| *length == 2));
    let recorded =
        |way| messages(&recorder).into_iter().filter_map(move |(is, _, bytes)| (is == way).then_some(bytes));
    let expected = (0..).zip(sizes).map(|(n, size)| vec![n; size]).chain((0..50).map(|n| vec![n]));
    assert!(recorded("sent").eq(expected));
    assert!(recorded("received").eq(pieces(&recorder)));

    let error = Receipts::transmit(&link, vec![0; 65_508]).await.expect_err("too long");
    assert!(matches!(error, Error::Unable { .. }), "{error}");
    assert!(error.to_string().contains("65507"), "{error}");
    meet(&link, &device).await;
    assert_eq!(connections.metrics().connects, 1);
}

#[tokio::test]
async fn a_refusal_is_heard_and_told_and_the_device_may_come_back() {
    let (connections, recorder) = (Connections::new(never_retry()), Recorder::new());
    let address = SocketAddr::from((own_address(), 5000));
    let target = Target::udp(address.ip().to_string(), 5000, Settings::default());
    let link = up(&connections, &recorder, target).await;
    // The system takes it; then the other side's system says that nobody is there.
    Receipts::transmit(&link, "anybody?").await.expect("the system takes it");
    let State::Down { reason, detail, failures, .. } = recorder.ended(1).await else { unreachable!() };
    assert_eq!((reason, failures), (Reason::Refused, 1), "{detail}");
    assert!(detail.contains(&address.to_string()), "{detail}");
    let error = Receipts::transmit(&link, "anybody?").await.expect_err("down");
    assert_eq!(error.reason(), Some(Reason::Refused));
    assert_eq!(connections.metrics().losses, [(Reason::Refused, 1)]);

    let device = Device::at(address).await;
    link.attempt();
    recorder.up_after(1).await;
    let from = meet(&link, &device).await;
    device.send(b"here", from).await;
    recorder.received(4).await;
}

#[tokio::test]
async fn refusals_are_rationed_like_connections_that_do_not_hold() {
    // Retries are far apart, whatever the link's state looked like in between.
    let options = Options { retry_min_ms: 400, retry_jitter_ms: 0, stable_ms: 60_000, ..quick() };
    let (connections, recorder) = (Connections::new(options), Recorder::new());
    let target = Target::udp(own_address().to_string(), 5000, Settings::default());
    let link = up(&connections, &recorder, target).await;
    let begun = tokio::time::Instant::now();
    let mut last = 1;
    for _ in 0..4 {
        Receipts::transmit(&link, "anybody?").await.expect("the system takes it");
        recorder.ended(last).await;
        last = recorder.up_after(last).await;
    }
    assert!(begun.elapsed() >= std::time::Duration::from_millis(4 * 300), "{:?}", begun.elapsed());
    let failures =
        recorder.look(|record| match record.states.iter().rev().find(|state| state.reason().is_some()) {
            Some(State::Down { failures, .. }) => *failures,
            _ => 0,
        });
    assert_eq!(failures, 4, "being up for a moment is no success");
}

#[tokio::test]
async fn the_device_is_one_port_or_one_address() {
    let connections = Connections::new(quick());
    let device = Device::own().await;
    let other_port = Device::at((device.address().ip(), 5001).into()).await;
    let stranger = Device::own().await;
    for connected in [true, false] {
        let recorder = Recorder::new();
        let settings = Settings { connected, ..Settings::default() };
        let link = up(&connections, &recorder, device.target(settings)).await;
        let from = meet(&link, &device).await;
        stranger.send(b"stranger", from).await;
        other_port.send(b"other port", from).await;
        device.send(b"device", from).await;
        let expected: &[&[u8]] = if connected { &[b"device"] } else { &[b"other port", b"device"] };
        count(&recorder, expected.len()).await;
        assert_eq!(pieces(&recorder), expected);
    }
}

#[tokio::test]
async fn links_share_a_port_and_each_hears_its_own_device() {
    let connections = Connections::new(quick());
    let port = spare_port().await;
    let (one, two, stranger) = (Device::own().await, Device::own().await, Device::own().await);
    let one_other_port = Device::at((one.address().ip(), 5001).into()).await;
    let to = |device: &Device| device.target(shared(port));
    let recorders: Vec<Recorder> = (0..5).map(|_| Recorder::new()).collect();
    let mut links = Vec::new();
    for (recorder, target) in recorders.iter().zip([
        to(&one),
        to(&two),
        // The same device again, as another module of another driver would.
        to(&one),
        one.target(Settings { connected: false, ..shared(port) }),
        one.target(Settings { broadcast: true, ..shared(port) }),
    ]) {
        links.push(up(&connections, recorder, target).await);
    }
    let [all_of_one, of_two, again, host, anyone] = &recorders[..] else { unreachable!() };

    let mut local = meet(&links[0], &one).await;
    assert_eq!(local.port(), port, "sent from the shared port");
    assert_eq!(meet(&links[1], &two).await.port(), port);
    local.set_ip(Ipv4Addr::LOCALHOST.into());
    for (device, bytes) in
        [(&one, "one"), (&two, "two"), (&one_other_port, "one, other port"), (&stranger, "stranger")]
    {
        device.send(bytes.as_bytes(), local).await;
    }
    count(anyone, 4).await;
    let texts = |recorder: &Recorder| {
        pieces(recorder).into_iter().map(|piece| String::from_utf8(piece).expect("text")).collect::<Vec<_>>()
    };
    assert_eq!(texts(anyone), ["one", "two", "one, other port", "stranger"]);
    count(all_of_one, 1).await;
    assert_eq!(texts(all_of_one), ["one"]);
    assert_eq!(texts(again), ["one"]);
    assert_eq!(texts(of_two), ["two"]);
    assert_eq!(texts(host), ["one, other port"], "whoever names the port has precedence");

    // Links that go leave the others alone; the last one gives the port back.
    links.remove(0).close().await;
    one.send(b"more", local).await;
    count(again, 2).await;
    assert_eq!(pieces(all_of_one).len(), 1);
    for link in &links {
        link.close().await;
    }
    let mut free = None;
    eventually("the port is free", || {
        free = std::net::UdpSocket::bind(("0.0.0.0", port)).ok();
        free.is_some()
    })
    .await;
}

#[tokio::test]
async fn a_slow_link_loses_its_own_datagrams_and_nobody_else_s() {
    const COUNT: usize = 2_000;
    let connections = Connections::new(quick());
    let port = spare_port().await;
    let device = Device::own().await;
    let (slow, quick) = (Recorder::slow(), Recorder::new());
    let _slow = up(&connections, &slow, device.target(shared(port))).await;
    let link = up(&connections, &quick, device.target(shared(port))).await;
    let local = meet(&link, &device).await;
    for n in 0..COUNT {
        device.send(&[u8::try_from(n % 251).expect("small"); 500], local).await;
        // One after the other, so that the system's own buffer cannot overflow.
        count(&quick, n + 1).await;
    }
    assert!(pieces(&quick).iter().enumerate().all(|(n, piece)| usize::from(piece[0]) == n % 251), "in order");
    let lost = connections.metrics().dropped_datagrams;
    assert!(lost > 0 && lost < COUNT as u64, "{lost} of {COUNT}");
    slow.open_up();
    count(&slow, COUNT - usize::try_from(lost).expect("small")).await;
    // It hears what comes from now on.
    device.send(b"last", local).await;
    slow.until("the last", |record| (record.pieces.last()? == b"last").then_some(())).await;
    assert_eq!(slow.look(|record| record.pieces.len()), COUNT - usize::try_from(lost).expect("small") + 1);
}

#[tokio::test]
async fn a_port_of_another_program_is_not_taken_silently() {
    let theirs = std::net::UdpSocket::bind("0.0.0.0:0").expect("bind");
    let port = theirs.local_addr().expect("address").port();
    let (connections, recorder) = (Connections::new(never_retry()), Recorder::new());
    let _link = recorder.open(&connections, Target::udp("127.0.0.1", 9, shared(port)));
    let State::Down { reason, detail, .. } = recorder.down().await else { unreachable!() };
    assert_eq!(reason, Reason::Unreachable);
    assert!(detail.contains(&port.to_string()) && detail.contains("another program"), "{detail}");
}

#[tokio::test]
async fn datagrams_come_from_the_source_address() {
    let (connections, device, source) = (Connections::new(never_retry()), Device::own().await, own_address());
    for settings in [
        Settings::default(),
        Settings { connected: false, ..Settings::default() },
        shared(spare_port().await),
    ] {
        let recorder = Recorder::new();
        let mut target = device.target(settings);
        if let super::super::Address::Udp(udp) = &mut target.address {
            udp.endpoint.source = Some(source.into());
        }
        let link = up(&connections, &recorder, target).await;
        let from = meet(&link, &device).await;
        assert_eq!(from.ip(), source);
        device.send(b"answer", from).await;
        recorder.received(6).await;
    }
    let recorder = Recorder::new();
    let mut target = device.target(Settings::default());
    if let super::super::Address::Udp(udp) = &mut target.address {
        udp.endpoint.source = Some(Ipv4Addr::new(192, 0, 2, 1).into());
    }
    let _link = recorder.open(&connections, target);
    let State::Down { reason, detail, .. } = recorder.down().await else { unreachable!() };
    assert_eq!(reason, Reason::Unreachable, "{detail}");
}

#[tokio::test]
async fn ipv6_is_like_ipv4() {
    let (connections, recorder) = (Connections::new(quick()), Recorder::new());
    let device = Device::at("[::1]:0".parse().expect("address")).await;
    let link = up(&connections, &recorder, device.target(Settings::default())).await;
    let from = meet(&link, &device).await;
    device.send(b"answer", from).await;
    recorder.received(6).await;
}

#[tokio::test]
async fn make_break_lets_the_port_go() {
    let (connections, recorder, device) = (Connections::new(quick()), Recorder::new(), Device::own().await);
    let target = device.target(Settings::default()).make_break(std::time::Duration::from_millis(50));
    let link = recorder.open(&connections, target);
    let first = meet(&link, &device).await;
    device.send(b"answer", first).await;
    recorder.received(6).await;
    recorder.until("idle", |record| (record.states.last() == Some(&State::Idle)).then_some(())).await;
    meet(&link, &device).await;
    assert_eq!(connections.metrics().connects, 2);
}

#[test]
fn settings_are_read_and_refused_with_their_name() {
    use super::super::Settings as All;
    let read = |json: serde_json::Value| All::read(Some(json)).map(|all| all.udp);
    let all = serde_json::json!({"udp": {"connected": false, "local_port": 6454, "broadcast": true,
        "multicast": {"group": "239.1.2.3", "interface": "eth0", "ttl": 4, "loop": true}}});
    let read_all = read(all).expect("good");
    assert_eq!(read_all.local_port.map(u16::from), Some(6454));
    assert!(read_all.multicast.is_some_and(|multicast| multicast.ttl == 4 && multicast.loopback));
    assert_eq!(read(serde_json::json!({})), Ok(Settings::default()));
    for (json, names) in [
        (serde_json::json!({"udp": {"local_prt": 1}}), "udp.local_prt"),
        (serde_json::json!({"udp": {"local_port": 0}}), "udp.local_port"),
        (
            serde_json::json!({"udp": {"multicast": {"group": "10.0.0.1"}}}),
            "10.0.0.1 is no multicast address",
        ),
    ] {
        let error = read(json).expect_err(names);
        assert!(error.contains(names), "{error}");
    }
}
