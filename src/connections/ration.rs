//! The retry ration: one budget of connection attempts per second, shared out among the links that are down.
//!
//! A waiting link becomes *ready* a little after its last attempt (1–2 s, sooner after the loss of a good connection),
//! jittered. Whenever the budget has an attempt to give, the ready link that has waited longest **in proportion to its own
//! interval** gets it; the interval doubles with every failure, to a cap. So
//! - while the budget suffices, every link is tried as soon as it is ready, however often it has failed;
//! - when it does not, long-dead links share what recently lost ones leave, and a link that was just lost waits for about
//!   its own short interval, not behind thousands of dead ones;
//! - no link starves: whoever waits climbs.
//!
//! The number of failures makes a *class*; within a class all intervals are equal, so the longest wait is the front of an
//! ordered map, and choosing costs one look per class (eight by default).
//!
//! [`Ration`] is pure: it is told the time. One task owns it; links hold a [`Ticket`] while they wait.

use super::options::{Options, ms};
use parking_lot::Mutex;
use rand::{Rng as _, rngs::StdRng};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

#[cfg(test)]
mod tests;

/// `since` already holds the jitter: a ticket of a class is ready at `since + class.delay`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    class: usize,
    since: Instant,
    number: u64,
}

struct Class<T> {
    /// From `since` to ready.
    delay: Duration,
    /// The unit in which this class's waiting is measured.
    interval: Duration,
    waiting: BTreeMap<(Instant, u64), T>,
}

struct Ration<T> {
    classes: Vec<Class<T>>,
    tokens: Tokens,
}

enum Next<T> {
    Grant(T),
    Wait(Instant),
    Empty,
}

/// At most `budget` in any second: `burst` at once, the rest evenly.
struct Tokens {
    burst: u32,
    spacing: Duration,
    spare: u32,
    counted: Instant,
}

// === impl Tokens ===

impl Tokens {
    fn new(budget: u32, now: Instant) -> Self {
        let budget = budget.max(1);
        let burst = (budget / 10).max(1);
        // Any second sees the burst, and then one per spacing: burst + (budget - burst + 1) - 1 = budget.
        let spacing = Duration::from_nanos(1_000_000_000_u64.div_ceil(u64::from(budget - burst + 1)));
        Self { burst, spacing, spare: burst, counted: now }
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.counted);
        let earned = u32::try_from(passed.as_nanos() / self.spacing.as_nanos()).unwrap_or(u32::MAX);
        self.spare = self.spare.saturating_add(earned);
        if self.spare >= self.burst {
            self.spare = self.burst;
            self.counted = now;
        } else {
            self.counted += self.spacing * earned;
        }
    }

    fn next(&self) -> Instant {
        self.counted + self.spacing
    }
}

// === impl Ration ===

impl<T> Ration<T> {
    fn new(options: &Options, now: Instant) -> Self {
        let first = ms(options.retry_first_ms);
        let cap = ms(options.retry_cap_ms.max(1));
        let delay = ms(options.retry_min_ms);
        let mut classes =
            vec![Class { delay: first, interval: at_least_1ms(first.min(cap)), waiting: BTreeMap::new() }];
        let mut interval = at_least_1ms(delay.min(cap));
        loop {
            classes.push(Class { delay, interval, waiting: BTreeMap::new() });
            if interval >= cap {
                break;
            }
            interval = (interval * 2).min(cap);
        }
        Self { classes, tokens: Tokens::new(options.retry_budget_per_second, now) }
    }

    fn enter(&mut self, key: Key, ticket: T) {
        if let Some(class) = self.classes.get_mut(key.class) {
            class.waiting.insert((key.since, key.number), ticket);
        }
    }

    fn leave(&mut self, key: Key) {
        if let Some(class) = self.classes.get_mut(key.class) {
            class.waiting.remove(&(key.since, key.number));
        }
    }

    fn next(&mut self, now: Instant) -> Next<T> {
        self.tokens.refill(now);
        let mut best: Option<(f64, usize)> = None;
        let mut soonest: Option<Instant> = None;
        for (number, class) in self.classes.iter().enumerate() {
            let Some(((since, _), _)) = class.waiting.first_key_value() else { continue };
            let ready = *since + class.delay;
            if ready > now {
                soonest = Some(soonest.map_or(ready, |other| other.min(ready)));
                continue;
            }
            let claim = now.saturating_duration_since(*since).as_secs_f64() / class.interval.as_secs_f64();
            if best.is_none_or(|(other, _)| claim > other) {
                best = Some((claim, number));
            }
        }
        let Some((_, number)) = best else { return soonest.map_or(Next::Empty, Next::Wait) };
        if self.tokens.spare == 0 {
            return Next::Wait(self.tokens.next());
        }
        match self.classes.get_mut(number).and_then(|class| class.waiting.pop_first()) {
            Some((_, ticket)) => {
                self.tokens.spare -= 1;
                Next::Grant(ticket)
            }
            None => Next::Empty,
        }
    }
}

fn at_least_1ms(duration: Duration) -> Duration {
    duration.max(Duration::from_millis(1))
}

// === the task and its handle ===

enum Request {
    Enter(Key, oneshot::Sender<()>),
    Leave(Key),
}

/// Where links queue for a retry. The task ends when the handle and all tickets are gone.
pub(super) struct Handle {
    requests: mpsc::UnboundedSender<Request>,
    numbers: AtomicU64,
    classes: usize,
    options: Options,
    /// For the jitter.
    random: Mutex<StdRng>,
}

/// A link's place in the queue; dropping it gives the place up.
pub(super) struct Ticket {
    key: Key,
    turn: oneshot::Receiver<()>,
    requests: mpsc::UnboundedSender<Request>,
    /// Not granted before then.
    pub(super) ready: Instant,
}

impl Handle {
    pub(super) fn start(options: &Options, random: StdRng) -> Self {
        // Unbounded, yet each link has at most one ticket, and entering and leaving are its only requests.
        let (requests, receiver) = mpsc::unbounded_channel();
        let ration = Ration::new(options, Instant::now());
        let classes = ration.classes.len();
        tokio::spawn(run(ration, receiver));
        Self {
            requests,
            numbers: AtomicU64::new(0),
            classes,
            options: options.clone(),
            random: Mutex::new(random),
        }
    }

    /// After `failures` in a row, the last attempt having begun at `last`; `failures` 0: a good connection was lost at `last`.
    pub(super) fn enter(&self, failures: u32, last: Instant) -> Ticket {
        let options = &self.options;
        let class = usize::try_from(failures).unwrap_or(usize::MAX).min(self.classes.saturating_sub(1));
        let (delay, jitter) = match class {
            0 => (options.retry_first_ms, options.retry_first_jitter_ms),
            _ => (options.retry_min_ms, options.retry_jitter_ms),
        };
        let since = last + ms(jitter).mul_f64(self.random.lock().random());
        let key = Key { class, since, number: self.numbers.fetch_add(1, Relaxed) };
        let (grant, turn) = oneshot::channel();
        // A send fails only while the tokio runtime is going down: then nobody waits for the turn either.
        let _ = self.requests.send(Request::Enter(key, grant));
        Ticket { key, turn, requests: self.requests.clone(), ready: since + ms(delay) }
    }
}

impl Ticket {
    /// Done when it is this link's turn to try.
    pub(super) async fn turn(&mut self) {
        if (&mut self.turn).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let _ = self.requests.send(Request::Leave(self.key));
    }
}

async fn run(mut ration: Ration<oneshot::Sender<()>>, mut requests: mpsc::UnboundedReceiver<Request>) {
    loop {
        let wake = loop {
            match ration.next(Instant::now()) {
                Next::Grant(ticket) => {
                    if ticket.send(()).is_err() {
                        // Its link went away a moment ago: the attempt is not made.
                        ration.tokens.spare += 1;
                    }
                }
                Next::Wait(until) => break Some(until),
                Next::Empty => break None,
            }
        };
        let timer = async {
            match wake {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let request = tokio::select! {
            biased;
            request = requests.recv() => request,
            () = timer => continue,
        };
        match request {
            Some(Request::Enter(key, ticket)) => ration.enter(key, ticket),
            Some(Request::Leave(key)) => ration.leave(key),
            None => return,
        }
    }
}
