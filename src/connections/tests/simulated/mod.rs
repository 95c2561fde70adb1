//! The contract again, in simulated time over a simulated network: thousands of interleavings of packets, timers and tasks, each
//! from a seed that reproduces it, but for the keys of TLS and WebSocket, which are new each time.
//!
//! `HEADEND_SEEDS=5000` runs that many of each instead of the usual number; `HEADEND_SEED=17` runs that one alone.

mod network;
mod sockets;

pub(in crate::connections) use network::{Network, current, random};
pub(super) use sockets::{Listener, Stream};

use super::{
    super::{Connections, Options, Reason},
    contract,
    harness::{Receipts, Recorder, quick},
    kinds::{
        Bus, BusMakeBreak, Kind, Rfc2217, Rfc2217MakeBreak, Tcp, TcpMakeBreak, Tls, TlsMakeBreak, WebSocket,
        WebSocketMakeBreak,
    },
    stress,
};
use network::simulate;
use proptest::{
    strategy::{Strategy as _, ValueTree as _},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::{fmt::Write as _, panic::AssertUnwindSafe, time::Duration};
use tokio::{io::AsyncWriteExt as _, time::Instant};

/// Runs a story with many seeds; a failure names the seed.
fn seeds<T>(usual: u64, story: impl Fn(u64) -> T)
where
    T: Future<Output = ()>,
{
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let range = match number("HEADEND_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("HEADEND_SEEDS").unwrap_or(usual),
    };
    for seed in range {
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| simulate(seed, story(seed))));
        if let Err(panic) = outcome {
            eprintln!("to see it again: HEADEND_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

macro_rules! simulated {
    ($($kind:ident as $name:ident),*: $tests:tt) => { $(simulated!(@kind $kind $name $tests);)* };
    (@kind $kind:ident $name:ident { $($test:ident),* $(,)? }) => {
        mod $name {
            $(#[test]
            fn $test() {
                super::seeds(30, |_| super::contract::$test::<super::$kind>());
            })*
        }
    };
}

simulated!(
    Tcp as tcp, TcpMakeBreak as tcp_make_break, Tls as tls, TlsMakeBreak as tls_make_break,
    WebSocket as websocket, WebSocketMakeBreak as websocket_make_break,
    Rfc2217 as rfc2217, Rfc2217MakeBreak as rfc2217_make_break, Bus as bus, BusMakeBreak as bus_make_break: {
    refused_is_told,
    comes_back,
    attempt_does_not_wait_for_the_retry,
    closed_by_the_peer,
    one_byte_at_a_time,
    transmits_and_closes_while_the_sink_waits,
    close_answers_everything,
    dropping_the_link_closes_it,
    retarget,
    disconnect,
});

macro_rules! stories {
    ($($kind:ident as $name:ident: $usual:literal),* $(,)?) => { $(
        #[test]
        fn $name() {
            seeds($usual, story::<$kind>);
        }
    )* };
}

// As on real networks, with stories that no clock of this machine has a part in.
stories!(
    Tcp as any_story_ends_well_over_tcp: 250,
    Tls as any_story_ends_well_over_tls: 150,
    WebSocket as any_story_ends_well_over_websocket: 150,
    Rfc2217 as any_story_ends_well_over_rfc2217: 150,
    Bus as any_story_ends_well_on_a_bus: 150,
);

fn story<K: Kind>(seed: u64) -> impl Future<Output = ()> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let steps = stress::steps().new_tree(&mut runner).expect("steps").current();
    stress::story::<K>(steps)
}

/// How long after its return a device is connected again, which was away for some seconds, refusing or without a sign of life.
/// Simulated time is exact: the aim is a figure that holds on every machine.
fn return_to_connected(seed: u64, silent: bool) -> Duration {
    simulate(seed, async {
        let away = Duration::from_millis(StdRng::seed_from_u64(seed).random_range(500..4000));
        let network = current().expect("a simulation");
        let mut device = Tcp::make();
        let recorder = Recorder::new();
        let connections = Connections::new(Options::default());
        if silent {
            network.cut(away);
            device.appear().await;
        }
        let link = recorder.open(&connections, device.target());
        tokio::time::sleep(away).await;
        if !silent {
            assert_eq!(link.state().reason(), Some(Reason::Refused));
            device.appear().await;
        }
        let back = Instant::now();
        let _stream = device.accept().await;
        recorder.up_after(0).await;
        back.elapsed()
    })
}

#[test]
fn a_device_that_comes_back_is_soon_connected() {
    let mut times: Vec<_> = (0..100).map(|seed| return_to_connected(seed, false)).collect();
    times.sort();
    let (median, p99) = (times[50], times[98]);
    assert!(median <= Duration::from_secs(1) && p99 <= Duration::from_millis(2500), "{median:?} {p99:?}");
}

/// An attempt may have begun just before: its time-out is the bound, unless the system's own repeats get through first.
#[test]
fn a_device_that_was_silent_is_connected_after_one_time_out_at_most() {
    let Options { connect_timeout_ms, retry_min_ms, retry_jitter_ms, .. } = Options::default();
    let bound = Duration::from_millis(connect_timeout_ms + retry_min_ms + retry_jitter_ms);
    let slowest = (0..50).map(|seed| return_to_connected(seed, true)).max();
    assert!(slowest.is_some_and(|slowest| slowest <= bound), "{slowest:?}");
}

/// The same seed is the same story, to the last byte and millisecond.
#[test]
fn a_seed_reproduces() {
    fn told<K: Kind>(seed: u64) -> String {
        let mut told = String::new();
        simulate(seed, async {
            let start = Instant::now();
            let mut device = K::make();
            let recorder = Recorder::new();
            let connections = Connections::new(quick());
            let link = recorder.open(&connections, device.target());
            for round in 1..=5 {
                tokio::time::sleep(Duration::from_millis(40)).await;
                device.appear().await;
                let mut stream = device.accept().await;
                recorder.up_after(round - 1).await;
                Receipts::transmit(&link, "x").await.expect("sent");
                device.disappear();
                stream.shutdown().await.expect("shutdown");
                drop(stream);
                assert_eq!(recorder.ended(round).await.reason(), Some(Reason::Closed));
                writeln!(told, "{:?} {:?}", start.elapsed(), connections.metrics()).expect("text");
            }
        });
        told
    }
    assert_eq!(told::<Tcp>(1), told::<Tcp>(1));
    assert_eq!(told::<Tls>(1), told::<Tls>(1));
    assert_eq!(told::<WebSocket>(1), told::<WebSocket>(1));
    assert_ne!(told::<Tcp>(1), told::<Tcp>(2), "the seed has no part in it");
}
