//! Multicast and broadcast, between two network namespaces joined by a pair of virtual interfaces. Needs root, like `silent`.

use super::{
    super::{Connections, Link, Reason, State, Target, udp},
    harness::{DEADLINE, Receipts, Recorder, eventually, never_retry, quick},
    silent::{Network, run},
};
use std::{
    net::{SocketAddr, UdpSocket},
    process::Command,
};
use udp::{Multicast, Settings};

/// The daemon's network and the device's. Two cables: `a` is 10.77.1.0/24, `b` is 10.77.2.0/24; the daemon is .1, the device .2.
pub(super) struct Pair {
    pub(super) daemon: Network,
    pub(super) device: Network,
}

impl Pair {
    pub(super) fn make(name: &str) -> Option<Self> {
        let (daemon, device) = (Network::make(&format!("{name}1"))?, Network::make(&format!("{name}2"))?);
        for (cable, net) in [("a", "10.77.1"), ("b", "10.77.2")] {
            let (one, two) = (daemon.name(), device.name());
            let made = [
                "-n", one, "link", "add", "name", cable, "type", "veth", "peer", "name", cable, "netns", two,
            ];
            assert!(run(&made), "a pair of interfaces");
            for (network, number) in [(one, 1), (two, 2)] {
                let address = format!("{net}.{number}/24");
                assert!(run(&["-n", network, "addr", "add", &address, "brd", "+", "dev", cable]));
                let six = format!("fd77:{cable}::{number}/64");
                assert!(run(&["-n", network, "addr", "add", &six, "nodad", "dev", cable]));
            }
            for network in [&daemon, &device] {
                // Nobody else has the address that the interface makes for itself; to find that out can take long under load.
                let setting = format!("/proc/sys/net/ipv6/conf/{cable}/accept_dad");
                network.inside(|| async { std::fs::write(setting, "0").expect("setting") });
                assert!(run(&["-n", network.name(), "link", "set", "dev", cable, "up"]));
            }
        }
        for network in [&daemon, &device] {
            network.inside(|| settled(network.name()));
        }
        Some(Self { daemon, device })
    }

    /// A socket of the device, to be used from anywhere.
    pub(super) fn socket(&self, local: &str, set: impl FnOnce(&socket2::Socket) + Send) -> Peer {
        let local: SocketAddr = local.parse().expect("an address");
        let socket = self.device.inside(|| async move {
            let domain = socket2::Domain::for_address(local);
            let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, None).expect("socket");
            socket.set_reuse_address(true).expect("reuse");
            socket.bind(&local.into()).expect("bind");
            set(&socket);
            socket.set_nonblocking(true).expect("non-blocking");
            UdpSocket::from(socket)
        });
        Peer(socket)
    }
}

/// Waits until IPv6 is ready at the interfaces of this network: until then datagrams to groups go nowhere.
async fn settled(network: &str) {
    let show = ["-n", network, "-6", "addr", "show", "scope", "link", "-tentative"];
    let ready = || {
        let shown = Command::new("ip").args(show).output().expect("ip");
        String::from_utf8_lossy(&shown.stdout).matches("fe80:").count() == 2
    };
    eventually("IPv6 is ready", ready).await;
}

/// A socket that becomes the runtime's when it is used.
pub(super) struct Peer(UdpSocket);

impl Peer {
    fn tokio(&self) -> tokio::net::UdpSocket {
        tokio::net::UdpSocket::from_std(self.0.try_clone().expect("clone")).expect("within a runtime")
    }

    pub(super) async fn receive(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = vec![0; 1 << 16];
        let socket = self.tokio();
        let received = tokio::time::timeout(DEADLINE, socket.recv_from(&mut buffer)).await;
        let (length, from) = received.expect("a datagram in time").expect("receive");
        buffer.truncate(length);
        (buffer, from)
    }

    pub(super) async fn send(&self, bytes: &[u8], to: &str) {
        let to: SocketAddr = to.parse().expect("an address");
        self.tokio().send_to(bytes, to).await.expect("send");
    }
}

pub(super) async fn up(connections: &Connections, recorder: &Recorder, target: Target) -> Link {
    let link = recorder.open(connections, target);
    let settled = |record: &super::harness::Record| match record.states.last() {
        Some(State::Up { .. }) => Some(Ok(())),
        Some(State::Down { detail, .. }) => Some(Err(detail.clone())),
        _ => None,
    };
    recorder.until("an outcome", settled).await.expect("up");
    link
}

fn groups(multicast: Multicast) -> Settings {
    Settings { multicast: Some(multicast), ..Settings::default() }
}

async fn text(recorder: &Recorder) -> String {
    recorder.until("something", |record| (!record.bytes.is_empty()).then_some(())).await;
    recorder.look(|record| String::from_utf8(record.bytes.clone()).expect("text"))
}

/// Both ways between a link and a device in the group.
async fn both_ways(group: &str, interface: &str, peer: &Peer) {
    let (connections, recorder) = (Connections::new(quick()), Recorder::new());
    let multicast = Multicast { interface: Some(interface.into()), ttl: 3, ..Multicast::default() };
    let link = up(&connections, &recorder, Target::udp(group, 5500, groups(multicast))).await;
    Receipts::transmit(&link, "to the group").await.expect("sent");
    let (bytes, from) = peer.receive().await;
    assert_eq!(bytes, b"to the group");
    // An answer to where it came from, and one to all.
    peer.send(b"to you ", &from.to_string()).await;
    recorder.received(7).await;
    let all = if group.contains(':') { format!("[{group}]:5500") } else { format!("{group}:5500") };
    peer.send(b"to all", &all).await;
    recorder.received(13).await;
    assert_eq!(text(&recorder).await, "to you to all");
}

#[test]
fn groups_of_both_families_are_joined_by_name_and_by_address_of_the_interface() {
    let Some(pair) = Pair::make("grp") else { return };
    let four: std::net::Ipv4Addr = "239.77.0.1".parse().expect("group");
    let six: std::net::Ipv6Addr = "ff15::77".parse().expect("group");
    let peer4 = pair.socket("0.0.0.0:5500", |socket| {
        socket.join_multicast_v4(&four, &"10.77.1.2".parse().expect("address")).expect("join");
        socket.set_multicast_if_v4(&"10.77.1.2".parse().expect("address")).expect("interface");
        socket.set_multicast_loop_v4(false).expect("loop");
    });
    let peer6 = pair.socket("[::]:5500", |socket| {
        let index = rustix::net::netdevice::name_to_index(socket, "a").expect("index");
        socket.join_multicast_v6(&six, index).expect("join");
        socket.set_multicast_if_v6(index).expect("interface");
        socket.set_multicast_loop_v6(false).expect("loop");
    });
    pair.daemon.inside(|| async {
        for interface in ["a", "10.77.1.1"] {
            both_ways("239.77.0.1", interface, &peer4).await;
        }
        for interface in ["a", "fd77:a::1"] {
            both_ways("ff15::77", interface, &peer6).await;
        }
    });
}

#[test]
fn each_group_and_each_interface_is_its_own() {
    let Some(pair) = Pair::make("own") else { return };
    let sender = |address: &str| {
        let address = address.parse().expect("address");
        pair.socket("0.0.0.0:0", move |socket| socket.set_multicast_if_v4(&address).expect("interface"))
    };
    let (on_a, on_b) = (sender("10.77.1.2"), sender("10.77.2.2"));
    pair.daemon.inside(|| async {
        let connections = Connections::new(quick());
        let recorders: Vec<Recorder> = (0..4).map(|_| Recorder::new()).collect();
        let mut links = Vec::new();
        let join = |group: &str, interface: &str| {
            Target::udp(
                group,
                5500,
                groups(Multicast { interface: Some(interface.into()), ..Multicast::default() }),
            )
        };
        // A device that also speaks in a group: what others say there is not its own.
        let device = Multicast {
            group: Some("239.77.0.1".parse().expect("group")),
            interface: Some("a".into()),
            ..Multicast::default()
        };
        let device = Target::udp("10.77.1.2", 5500, Settings { connected: false, ..groups(device) });
        for (recorder, target) in recorders.iter().zip([
            join("239.77.0.1", "a"),
            join("239.77.0.1", "b"),
            join("239.77.0.2", "a"),
            device,
        ]) {
            links.push(up(&connections, recorder, target).await);
        }
        on_a.send(b"1a ", "239.77.0.1:5500").await;
        on_b.send(b"1b ", "239.77.0.1:5500").await;
        on_a.send(b"2a ", "239.77.0.2:5500").await;
        on_a.send(b"end", "239.77.0.1:5500").await;
        on_b.send(b"end", "239.77.0.1:5500").await;
        on_a.send(b"end", "239.77.0.2:5500").await;
        for (recorder, expected) in recorders.iter().zip(["1a end", "1b end", "2a end", "1a end"]) {
            recorder.received(6).await;
            assert_eq!(text(recorder).await, expected);
        }
    });
}

#[test]
fn what_is_sent_to_a_group_comes_back_only_if_wanted() {
    let Some(pair) = Pair::make("loop") else { return };
    let peer = pair.socket("0.0.0.0:0", |socket| {
        socket.set_multicast_if_v4(&"10.77.1.2".parse().expect("address")).expect("interface");
    });
    pair.daemon.inside(|| async {
        for (loopback, expected) in [(false, "end"), (true, "mine end")] {
            let (connections, recorder) = (Connections::new(quick()), Recorder::new());
            let multicast = Multicast { interface: Some("a".into()), loopback, ..Multicast::default() };
            let link = up(&connections, &recorder, Target::udp("239.77.0.3", 5500, groups(multicast))).await;
            Receipts::transmit(&link, "mine ").await.expect("sent");
            peer.send(b"end", "239.77.0.3:5500").await;
            recorder.received(expected.len()).await;
            assert_eq!(text(&recorder).await, expected);
        }
    });
}

#[test]
fn a_broadcast_is_wanted_in_so_many_words_and_whoever_answers_is_the_device() {
    let Some(pair) = Pair::make("bc") else { return };
    let one = pair.socket("0.0.0.0:5600", |socket| socket.set_broadcast(true).expect("broadcast"));
    let other = pair.socket("10.77.1.2:0", |_| ());
    pair.daemon.inside(|| async {
        let (connections, recorder) = (Connections::new(never_retry()), Recorder::new());
        let _link = recorder.open(&connections, Target::udp("10.77.1.255", 5600, Settings::default()));
        let State::Down { reason, detail, .. } = recorder.down().await else { unreachable!() };
        assert_eq!(reason, Reason::Unreachable);
        assert!(detail.contains("connection.udp.broadcast"), "{detail}");

        let recorder = Recorder::new();
        let settings = Settings { broadcast: true, local_port: 5601.try_into().ok(), ..Settings::default() };
        let link = up(&connections, &recorder, Target::udp("10.77.1.255", 5600, settings)).await;
        Receipts::transmit(&link, "who is there?").await.expect("sent");
        let (bytes, from) = one.receive().await;
        assert_eq!((bytes.as_slice(), from.to_string().as_str()), (&b"who is there?"[..], "10.77.1.1:5601"));
        one.send(b"I ", "10.77.1.1:5601").await;
        recorder.received(2).await;
        other.send(b"I too ", "10.77.1.1:5601").await;
        recorder.received(8).await;
        // Broadcasts of others come as well.
        one.send(b"all", "10.77.1.255:5601").await;
        recorder.received(11).await;
        assert_eq!(text(&recorder).await, "I I too all");
    });
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    let Some(pair) = Pair::make("none") else { return };
    pair.daemon.inside(|| async {
        let (connections, recorder) = (Connections::new(never_retry()), Recorder::new());
        let multicast = Multicast { interface: Some("eth77".into()), ..Multicast::default() };
        let _link = recorder.open(&connections, Target::udp("239.77.0.4", 5500, groups(multicast)));
        let State::Down { reason, detail, .. } = recorder.down().await else { unreachable!() };
        assert_eq!(reason, Reason::Unreachable);
        assert!(detail.contains("eth77"), "{detail}");
    });
}
