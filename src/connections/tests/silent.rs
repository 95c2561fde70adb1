//! A peer that falls silent: no FIN, no RST, no answer. Needs a network of its own to cut, hence root; elsewhere it says that
//! it was skipped, unless `CI=true`.

use super::{
    super::{Connections, Options, Reason, State},
    contract::connected,
    harness::{DEADLINE, Receipts, Recorder},
    kinds::{Bus, Kind, Rfc2217, Ssh, Tcp, Tls, WebSocket},
};
use futures_util::future::join_all;
use std::{
    process::Command,
    time::{Duration, Instant},
};

/// A network namespace with a loopback interface that can be cut.
pub(super) struct Network(String);

impl Network {
    pub(super) fn make(name: &str) -> Option<Self> {
        let name = format!("hc-{name}-{}", std::process::id());
        if !run(&["netns", "add", &name]) {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "`ip netns add` must work under CI=true");
            eprintln!("skipped: this test needs root and `ip netns`");
            return None;
        }
        let network = Self(name);
        network.lo("up");
        Some(network)
    }

    fn lo(&self, state: &str) {
        assert!(run(&["-n", &self.0, "link", "set", "lo", state]), "lo {state}");
    }

    /// As `ip netns` knows it.
    pub(super) fn name(&self) -> &str {
        &self.0
    }

    /// Runs `test` on a thread, and a runtime, of their own inside the network.
    pub(super) fn inside<F: Future<Output = T>, T: Send>(&self, test: impl FnOnce() -> F + Send) -> T {
        let namespace = std::fs::File::open(format!("/run/netns/{}", self.0)).expect("namespace");
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                let kind = Some(rustix::thread::LinkNameSpaceType::Network);
                rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), kind)
                    .expect("setns");
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
                runtime.block_on(test())
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        run(&["netns", "del", &self.0]);
    }
}

pub(super) fn run(args: &[&str]) -> bool {
    Command::new("ip").args(args).output().is_ok_and(|output| output.status.success())
}

fn options() -> Options {
    Options {
        keepalive_idle_ms: 1000,
        keepalive_interval_ms: 1000,
        keepalive_count: 2,
        user_timeout_ms: 1500,
        ..super::harness::never_retry()
    }
}

async fn falls_silent(network: &Network, options: Options, traffic: bool) {
    let connections = Connections::new(options);
    let mut kind = Tcp::make();
    kind.appear().await;
    let recorder = Recorder::new();
    let link = recorder.open(&connections, kind.target());
    let _stream = kind.accept().await;
    recorder.up_after(0).await;
    network.lo("down");
    let receipts = Receipts::default();
    if traffic {
        // The system takes it, and has it still when the peer is given up; what it did not take is in flight.
        for _ in 0..16 {
            link.transmit(vec![0; 1 << 20], receipts.make());
        }
    }
    let State::Down { reason, detail, .. } = recorder.down().await else { unreachable!() };
    assert_eq!(reason, Reason::Silent, "{detail}");
    receipts.all_answered().await;
    network.lo("up");
}

#[test]
fn a_silent_peer_is_found_without_traffic() {
    let Some(network) = Network::make("idle") else { return };
    network.inside(|| falls_silent(&network, options(), false));
}

#[test]
fn a_silent_peer_is_found_by_the_keep_alive_alone() {
    let Some(network) = Network::make("probe") else { return };
    network.inside(|| falls_silent(&network, Options { user_timeout_ms: 0, ..options() }, false));
}

#[test]
fn a_silent_peer_is_found_by_unacknowledged_data() {
    let Some(network) = Network::make("data") else { return };
    network.inside(|| falls_silent(&network, Options { keepalive_idle_ms: 0, ..options() }, true));
}

/// Whatever is spoken on it, a TCP connection is found dead; what the kind itself would notice later has no part in it.
#[test]
fn a_silent_peer_is_found_under_every_kind_over_tcp() {
    async fn up<K: Kind>(
        connections: &Connections,
        name: &'static str,
    ) -> (&'static str, Recorder, impl Sized) {
        let recorder = Recorder::new();
        let held = connected::<K>(connections, &recorder).await;
        (name, recorder, held)
    }
    let Some(network) = Network::make("kinds") else { return };
    network.inside(|| async {
        // Five handshakes take their time, and nothing is to be missed of them.
        let connections = Connections::new(Options { user_timeout_ms: 4000, ..options() });
        let tls = up::<Tls>(&connections, "tls").await;
        let websocket = up::<WebSocket>(&connections, "websocket").await;
        let rfc2217 = up::<Rfc2217>(&connections, "rfc2217").await;
        let bus = up::<Bus>(&connections, "bus").await;
        let ssh = up::<Ssh>(&connections, "ssh").await;
        network.lo("down");
        for (name, recorder) in [
            (tls.0, &tls.1),
            (websocket.0, &websocket.1),
            (rfc2217.0, &rfc2217.1),
            (bus.0, &bus.1),
            (ssh.0, &ssh.1),
        ] {
            let State::Down { reason, detail, .. } = recorder.ended(1).await else { unreachable!() };
            assert_eq!(reason, Reason::Silent, "{name}: {detail}");
        }
    });
}

/// With the options that users have. Prints how long after the cut each kind was found dead, and how long after the network was
/// back it was up again.
#[test]
#[ignore = "measures for five minutes"]
fn half_open_for_minutes() {
    const CUT: Duration = Duration::from_secs(300);
    async fn up<K: Kind>(connections: &Connections) -> (Recorder, impl Sized) {
        let recorder = Recorder::new();
        let held = connected::<K>(connections, &recorder).await;
        (recorder, held)
    }
    /// Seconds from `start` until its state is so.
    async fn until(start: Instant, recorder: &Recorder, is: impl Fn(&State) -> bool) -> f64 {
        while !recorder.look(|record| record.states.last().is_some_and(&is)) {
            assert!(start.elapsed() < CUT, "{:?}", recorder.look(|record| record.states.clone()));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        start.elapsed().as_secs_f64()
    }
    let Some(network) = Network::make("minutes") else { return };
    network.inside(|| async {
        let connections = Connections::new(Options::default());
        let tcp = up::<Tcp>(&connections).await;
        let tls = up::<Tls>(&connections).await;
        let websocket = up::<WebSocket>(&connections).await;
        let rfc2217 = up::<Rfc2217>(&connections).await;
        let bus = up::<Bus>(&connections).await;
        let ssh = up::<Ssh>(&connections).await;
        let kinds = [
            ("tcp", &tcp.0),
            ("tls", &tls.0),
            ("websocket", &websocket.0),
            ("rfc2217", &rfc2217.0),
            ("bus", &bus.0),
            ("ssh", &ssh.0),
        ];
        network.lo("down");
        let cut = Instant::now();
        let silent = |state: &State| matches!(state, State::Down { .. });
        let found = join_all(kinds.map(|(_, recorder)| until(cut, recorder, silent))).await;
        for (_, recorder) in kinds {
            let State::Down { reason, detail, .. } = recorder.ended(1).await else { unreachable!() };
            assert_eq!(reason, Reason::Silent, "{detail}");
        }
        tokio::time::sleep_until((cut + CUT).into()).await;
        network.lo("up");
        let healed = Instant::now();
        let back = join_all(kinds.map(|(_, recorder)| until(healed, recorder, State::is_up))).await;
        for ((name, _), (found, back)) in kinds.iter().zip(found.iter().zip(back)) {
            println!("{name:<10} found dead after {found:5.1} s, up again after {back:4.1} s");
        }
    });
}

/// The reset with which it ended the connection was lost.
#[test]
fn a_host_that_has_forgotten_the_connection_says_so_when_it_is_asked_for_a_sign_of_life() {
    let Some(network) = Network::make("half") else { return };
    network.inside(|| async {
        let connections = Connections::new(Options { user_timeout_ms: 20_000, ..options() });
        let recorder = Recorder::new();
        let (_kind, _link, stream) = connected::<Tcp>(&connections, &recorder).await;
        network.lo("down");
        stream.reset().await;
        network.lo("up");
        let State::Down { reason, detail, .. } = recorder.ended(1).await else { unreachable!() };
        assert_eq!(reason, Reason::Reset, "{detail}");
    });
}

#[test]
fn a_peer_that_was_away_without_a_word_and_comes_back_in_time_is_not_lost() {
    let Some(network) = Network::make("back") else { return };
    network.inside(|| async {
        let connections = Connections::new(Options { user_timeout_ms: 20_000, ..options() });
        let mut kind = Tcp::make();
        kind.appear().await;
        let recorder = Recorder::new();
        let link = recorder.open(&connections, kind.target());
        let mut stream = kind.accept().await;
        recorder.up_after(0).await;
        network.lo("down");
        Receipts::transmit(&link, "into the void").await.expect("the system takes it");
        tokio::time::sleep(Duration::from_millis(700)).await;
        network.lo("up");
        let mut got = [0; 13];
        let read = tokio::io::AsyncReadExt::read_exact(&mut stream, &mut got);
        tokio::time::timeout(DEADLINE, read).await.expect("in time").expect("read");
        assert_eq!(&got, b"into the void");
        assert_eq!(connections.metrics().connects, 1);
    });
}

#[test]
fn a_network_without_a_way_to_the_address_is_unreachable() {
    let Some(network) = Network::make("none") else { return };
    network.inside(|| async {
        let recorder = Recorder::new();
        let connections = Connections::new(options());
        let _link = recorder.open(&connections, super::super::Target::tcp("192.0.2.1", 23));
        let State::Down { reason, detail, .. } = recorder.down().await else { unreachable!() };
        assert_eq!(reason, Reason::Unreachable, "{detail}");
    });
}
