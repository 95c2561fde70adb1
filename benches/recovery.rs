//! How soon a device that comes back is connected again. Prints; asserts nothing.
//!
//!     cargo bench --bench recovery
//!
//! A few devices: a hundred returns, ten devices at a time, each away (refusing) for 2 to 8 s. Then a thousand absent devices of
//! which a hundred return, and how many attempts were made in any second.

#![allow(clippy::expect_used, clippy::indexing_slicing)] // a bench that cannot go on says so and ends

use headend::connections::{Connections, Form, Link, Options, Sink, State, Target};
use rand::Rng as _;
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};

struct Ups(mpsc::UnboundedSender<Instant>);

impl Sink for Ups {
    fn state(&self, state: &State) {
        if state.is_up() {
            let _ = self.0.send(Instant::now());
        }
    }

    async fn received(&self, _: &[u8], _: Form) {}
}

/// A device with an address of its own, that refuses until it is there.
struct Device {
    address: SocketAddr,
    ups: mpsc::UnboundedReceiver<Instant>,
    _link: Link,
}

impl Device {
    fn absent(connections: &Connections, number: u8, port: u16) -> Self {
        let address = SocketAddr::from((Ipv4Addr::new(127, 77, 0, number), port));
        let (sender, ups) = mpsc::unbounded_channel();
        let target = Target::tcp(address.ip().to_string(), address.port());
        Self { address, ups, _link: connections.open(target, Ups(sender)) }
    }

    /// From now on it is there: how long until it is connected.
    async fn returns(mut self) -> Duration {
        let _listener = TcpListener::bind(self.address).await.expect("bind");
        let back = Instant::now();
        self.ups.recv().await.expect("the link").duration_since(back)
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let connections = Connections::new(Options::default());
    let mut times = Vec::new();
    for round in 0..10 {
        let trials: JoinSet<_> = (0..10)
            .map(|number| {
                let device = Device::absent(&connections, number + 1, 20_000 + round);
                async move {
                    tokio::time::sleep(away()).await;
                    device.returns().await
                }
            })
            .collect();
        times.extend(trials.join_all().await);
    }
    report("few absent devices", times);

    let connections = Connections::new(Options::default());
    let over = Arc::new(AtomicBool::new(false));
    let most = tokio::spawn(most_in_a_second(connections.clone(), over.clone()));
    let mut devices: Vec<_> = (0..1000)
        .map(|number: u16| Device::absent(&connections, (number % 250 + 1) as u8, 21_000 + number / 250))
        .collect();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let rest = devices.split_off(100);
    let trials: JoinSet<_> = devices
        .into_iter()
        .map(|device| async move {
            tokio::time::sleep(away()).await;
            device.returns().await
        })
        .collect();
    report("100 of 1 000 absent devices, absent for a minute", trials.join_all().await);
    over.store(true, Relaxed);
    let budget = Options::default().retry_budget_per_second;
    let (first, later) = most.await.expect("counted");
    println!(
        "attempts in any second: at most {later} (budget {budget}); in the first two, when all are tried at once, {first}"
    );
    drop(rest);
}

fn away() -> Duration {
    Duration::from_millis(rand::rng().random_range(2000..8000))
}

/// The most attempts in any window of a second: in the first two seconds, and later.
async fn most_in_a_second(connections: Connections, over: Arc<AtomicBool>) -> (u64, u64) {
    let mut counts = Vec::new();
    while !over.load(Relaxed) {
        counts.push(connections.metrics().attempts);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let most = |counts: &[u64]| counts.windows(51).map(|window| window[50] - window[0]).max().unwrap_or(0);
    let (first, later) = counts.split_at(100.min(counts.len()));
    (most(first), most(later))
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    println!(
        "{what}: {} returns: median {:.2?}, p99 {:.2?}, worst {:.2?}",
        times.len(),
        at(50),
        at(99),
        at(100)
    );
}
