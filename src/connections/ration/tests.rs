//! Recovery under simulated time: nothing here waits for a real clock.

use super::*;
use crate::connections::Options;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::time::sleep;

/// The same dice every time.
fn start(options: &Options) -> Handle {
    Handle::start(options, rand::SeedableRng::seed_from_u64(1))
}

fn seconds(from: Instant, to: Instant) -> f64 {
    to.duration_since(from).as_secs_f64()
}

/// Links that are down for good: every attempt takes `attempt` and fails. Gives back when which link tried.
async fn absent(
    options: &Options,
    links: usize,
    failures: u32,
    attempt: Duration,
    run: Duration,
) -> Vec<(Instant, usize)> {
    let ration = Arc::new(start(options));
    let log = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = tokio::task::JoinSet::new();
    for link in 0..links {
        let (ration, log) = (ration.clone(), log.clone());
        tasks.spawn(async move {
            let (mut failures, mut last) = (failures, Instant::now());
            loop {
                ration.enter(failures, last).turn().await;
                last = Instant::now();
                log.lock().push((last, link));
                sleep(attempt).await;
                failures += 1;
            }
        });
    }
    sleep(run).await;
    drop(tasks);
    let log = log.lock();
    log.clone()
}

/// The most attempts in any one second.
fn busiest_second(log: &[(Instant, usize)]) -> usize {
    let mut most = 0;
    let mut first = 0;
    for (i, (time, _)) in log.iter().enumerate() {
        while seconds(log[first].0, *time) >= 1.0 {
            first += 1;
        }
        most = most.max(i - first + 1);
    }
    most
}

#[tokio::test(start_paused = true)]
async fn thousands_share_the_budget_evenly() {
    let options = Options::default();
    let run = Duration::from_secs(300);
    let log = absent(&options, 5000, 0, Duration::from_secs(5), run).await;
    let budget = options.retry_budget_per_second as usize;
    assert!(busiest_second(&log) <= budget, "{} attempts in one second", busiest_second(&log));
    let possible = budget * run.as_secs() as usize;
    assert!(log.len() > possible * 85 / 100, "only {} of {possible} attempts were used", log.len());
    let mut each = vec![0; 5000];
    for (_, link) in &log {
        each[*link] += 1;
    }
    let (least, most) = (each.iter().min().unwrap(), each.iter().max().unwrap());
    assert!(*least >= 4 && *most <= 8, "between {least} and {most} attempts, 5.4 on average");
}

#[tokio::test(start_paused = true)]
async fn any_budget_holds_in_every_second() {
    for budget in [0, 1, 2, 3, 9, 10, 11, 64, 1000] {
        let options = Options { retry_budget_per_second: budget, ..Options::default() };
        let log = absent(&options, 3000, 3, Duration::from_millis(3), Duration::from_secs(20)).await;
        let allowed = budget.max(1) as usize;
        assert!(
            busiest_second(&log) <= allowed,
            "{} attempts in a second of {allowed}",
            busiest_second(&log)
        );
        assert!(log.len() >= allowed * 15, "{} attempts in 20 s with a budget of {allowed}", log.len());
    }
}

/// How long a device that is back waits for the next attempt: median 1 s, p99 2.5 s are promised.
#[tokio::test(start_paused = true)]
async fn a_few_absent_devices_are_tried_every_second_or_two() {
    // A refusal takes no time; a silent address takes until the connect time-out.
    for (attempt, longest) in [(Duration::ZERO, 1.81), (Duration::from_secs(5), 5.01)] {
        let log = absent(&Options::default(), 5, 0, attempt, Duration::from_secs(4000)).await;
        let mut waits = Vec::new();
        for link in 0..5 {
            let tries: Vec<_> = log.iter().filter(|(_, l)| *l == link).map(|(time, _)| *time).collect();
            for pair in tries.windows(2) {
                let gap = seconds(pair[0], pair[1]);
                assert!((1.0..=longest).contains(&gap), "{gap} s between attempts");
                // The device comes back at any time in between.
                waits.extend((0..10).map(|tenth| gap * f64::from(tenth) / 10.0));
            }
        }
        waits.sort_by(f64::total_cmp);
        if attempt.is_zero() {
            assert!(waits[waits.len() / 2] <= 1.0 && waits[waits.len() * 99 / 100] <= 2.5);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_recent_loss_is_not_queued_behind_thousands_of_dead_links() {
    for dead in [5_000, 20_000] {
        let options = Options::default();
        let ration = Arc::new(start(&options));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..dead {
            let ration = ration.clone();
            tasks.spawn(async move {
                let mut last = Instant::now();
                loop {
                    ration.enter(12, last).turn().await;
                    last = Instant::now();
                }
            });
        }
        sleep(Duration::from_secs(600)).await;
        let lost = Instant::now();
        ration.enter(0, lost).turn().await;
        let waited = seconds(lost, Instant::now());
        assert!(waited < 1.0, "{waited} s for the first retry among {dead} dead links");
        // It does not succeed: its next tries also come well before the turn of a dead one (50 or 200 s). How much later
        // than they would without the dead ones follows from how far those exceed what the budget can serve in time.
        let excess = (f64::from(dead) / (60.0 * 91.0)).max(1.0);
        let mut last = Instant::now();
        for (failures, interval) in [(1, 1.0), (2, 2.0), (3, 4.0)] {
            let within = interval * excess + 1.0;
            ration.enter(failures, last).turn().await;
            let waited = seconds(last, Instant::now());
            assert!(waited < within, "{waited} s after {failures} failures among {dead} dead links");
            last = Instant::now();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn flapping_links_do_not_starve_dead_ones() {
    let options = Options { retry_budget_per_second: 50, ..Options::default() };
    let ration = Arc::new(start(&options));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..300 {
        let ration = ration.clone();
        tasks.spawn(async move {
            loop {
                ration.enter(1, Instant::now()).turn().await;
            }
        });
    }
    let turns = Arc::new(Mutex::new(vec![0; 100]));
    for link in 0..100 {
        let (ration, turns) = (ration.clone(), turns.clone());
        tasks.spawn(async move {
            let mut last = Instant::now();
            loop {
                ration.enter(12, last).turn().await;
                last = Instant::now();
                turns.lock()[link] += 1;
            }
        });
    }
    sleep(Duration::from_secs(1800)).await;
    let least = turns.lock().iter().copied().min().unwrap();
    assert!(least >= 4, "a dead link had {least} attempts in half an hour");
}

#[tokio::test(start_paused = true)]
async fn given_up_places_cost_nothing() {
    let options = Options { retry_budget_per_second: 1, ..Options::default() };
    let ration = start(&options);
    let long_ago = Instant::now();
    sleep(Duration::from_secs(10)).await;
    for _ in 0..1000 {
        drop(ration.enter(5, long_ago));
    }
    let start = Instant::now();
    ration.enter(5, long_ago).turn().await;
    assert!(seconds(start, Instant::now()) < 0.1, "waited behind places that were given up");
}

#[tokio::test(start_paused = true)]
async fn the_first_retry_comes_soon_and_the_others_do_not() {
    let ration = start(&Options::default());
    for _ in 0..100 {
        let lost = Instant::now();
        ration.enter(0, lost).turn().await;
        let waited = seconds(lost, Instant::now());
        assert!((0.1..0.31).contains(&waited), "{waited} s");
        let failed = Instant::now();
        ration.enter(1, failed).turn().await;
        let waited = seconds(failed, Instant::now());
        assert!((1.0..1.81).contains(&waited), "{waited} s");
        sleep(Duration::from_secs(1)).await;
    }
}
