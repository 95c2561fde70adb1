//! A sink that remembers, and waiting for conditions with a generous deadline.

use super::super::{
    Connections, Error, Form, Link, Options, Payload, Receipt, Sink, State, Target, recorder,
};
use parking_lot::Mutex;
use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};
use tokio::sync::{Notify, Semaphore};

/// Only a hang takes this long.
pub(super) const DEADLINE: Duration = Duration::from_secs(120);

#[derive(Clone)]
pub(super) struct Recorder(Arc<Inner>);

struct Inner {
    record: Mutex<Record>,
    changed: Notify,
    /// Permits to take one read each; closed: takes everything.
    reads: Semaphore,
    /// Every link of these tests is recorded.
    tape: Arc<recorder::Recorder>,
}

#[derive(Default)]
pub(super) struct Record {
    pub(super) states: Vec<State>,
    /// Everything received, unless `discard`.
    pub(super) bytes: Vec<u8>,
    /// The same, as it was handed over: on a link of messages, each of them.
    pub(super) pieces: Vec<Vec<u8>>,
    pub(super) received: usize,
    /// The form of each.
    pub(super) forms: Vec<Form>,
    /// Keep no bytes, but check that they are the pattern.
    pub(super) pattern: bool,
    pub(super) violations: usize,
    pub(super) dropped: bool,
}

struct Drops(Recorder);

impl Drop for Drops {
    fn drop(&mut self) {
        self.0.change(|record| record.dropped = true);
    }
}

/// What the link gets: tells the recorder when it is dropped.
pub(super) struct Ear(Drops);

impl Recorder {
    pub(super) fn new() -> Self {
        let recorder = Self::slow();
        recorder.0.reads.close();
        recorder
    }

    /// Takes nothing until it is let.
    pub(super) fn slow() -> Self {
        let tape = recorder::Recorder::new(1024 * 1024).expect("a recorder");
        let inner =
            Inner { record: Mutex::default(), changed: Notify::new(), reads: Semaphore::new(0), tape };
        Self(Arc::new(inner))
    }

    pub(super) fn tape(&self) -> Arc<recorder::Recorder> {
        self.0.tape.clone()
    }

    pub(super) fn open_up(&self) {
        self.0.reads.close();
    }

    pub(super) fn expect_pattern(self) -> Self {
        self.0.record.lock().pattern = true;
        self
    }

    pub(super) fn sink(&self) -> Ear {
        Ear(Drops(self.clone()))
    }

    pub(super) fn open(&self, connections: &Connections, target: Target) -> Link {
        connections.open(target, self.sink())
    }

    fn change(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.0.record.lock());
        self.0.changed.notify_waiters();
    }

    /// What was received so far.
    pub(super) fn forget(&self) {
        self.0.record.lock().bytes.clear();
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&Record) -> T) -> T {
        look(&self.0.record.lock())
    }

    /// Waits until `condition` gives something.
    pub(super) async fn until<T>(&self, what: &str, condition: impl Fn(&Record) -> Option<T>) -> T {
        let wait = async {
            loop {
                let changed = self.0.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(found) = condition(&self.0.record.lock()) {
                    return found;
                }
                changed.await;
            }
        };
        match tokio::time::timeout(DEADLINE, wait).await {
            Ok(found) => found,
            Err(_) => panic!("never: {what}; states: {:?}", self.look(|record| record.states.clone())),
        }
    }

    /// The next connection after `after`.
    pub(super) async fn up_after(&self, after: u64) -> u64 {
        let newer = |state: &State| matches!(state, State::Up { connection, .. } if *connection > after);
        self.until("up", |record| match record.states.iter().rev().find(|state| newer(state)) {
            Some(State::Up { connection, .. }) => Some(*connection),
            _ => None,
        })
        .await
    }

    /// The state that ended a connection: there may be newer ones already.
    pub(super) async fn ended(&self, connection: u64) -> State {
        let that = |state: &State| matches!(state, State::Up { connection: c, .. } if *c == connection);
        let end = |record: &Record| {
            let up = record.states.iter().position(that)?;
            record.states.get(up + 1).cloned()
        };
        self.until("the end of the connection", end).await
    }

    pub(super) async fn down(&self) -> State {
        self.until("down", |r| r.states.iter().rev().find(|s| matches!(s, State::Down { .. })).cloned()).await
    }

    pub(super) async fn received(&self, count: usize) {
        self.until(&format!("{count} bytes"), |record| (record.received >= count).then_some(())).await;
    }
}

impl Sink for Ear {
    fn recorder(&self) -> Option<Arc<recorder::Recorder>> {
        Some(self.0.0.tape())
    }

    fn state(&self, state: &State) {
        self.0.0.change(|record| record.states.push(state.clone()));
    }

    async fn received(&self, bytes: &[u8], form: Form) {
        let recorder = &self.0.0;
        if let Ok(permit) = recorder.0.reads.acquire().await {
            permit.forget();
        }
        recorder.change(|record| {
            if record.pattern {
                record.violations += usize::from(bytes != pattern(record.received, bytes.len()));
            } else {
                record.bytes.extend_from_slice(bytes);
                record.pieces.push(bytes.to_vec());
            }
            record.received += bytes.len();
            record.forms.push(form);
        });
    }

    fn label(&self) -> std::borrow::Cow<'_, str> {
        "test".into()
    }
}

/// That part of the endless pattern `0, 1, 2 … 250, 0 …`; at most 1 MiB of it.
pub(super) fn pattern(position: usize, length: usize) -> &'static [u8] {
    static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| (0..=250).cycle().take((1 << 20) + 251).collect());
    &PATTERN[position % 251..][..length]
}

/// As the defaults, but with little waiting, and short enough for a test that needs a time-out to happen.
pub(super) fn quick() -> Options {
    Options {
        retry_min_ms: 10,
        retry_jitter_ms: 10,
        retry_first_ms: 1,
        retry_first_jitter_ms: 5,
        retry_cap_ms: 100,
        asked_min_ms: 1,
        refused_pause_ms: 1,
        stable_ms: 50,
        ..Options::default()
    }
}

/// Options under which nothing is retried by itself within the life of a test.
pub(super) fn never_retry() -> Options {
    Options { retry_min_ms: 3_600_000, retry_first_ms: 3_600_000, retry_cap_ms: 3_600_000, ..quick() }
}

/// Receipts, counted; one that is dropped without being called is counted too.
#[derive(Clone, Default)]
pub(super) struct Receipts(Arc<(Mutex<Answers>, Notify)>);

#[derive(Default, Debug)]
pub(super) struct Answers {
    pub(super) given_out: usize,
    pub(super) ok: usize,
    pub(super) errors: Vec<Error>,
    pub(super) unanswered: usize,
}

struct Guard(Receipts, bool);

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.1 {
            self.0.0.0.lock().unanswered += 1;
            self.0.0.1.notify_waiters();
        }
    }
}

impl Receipts {
    pub(super) fn make(&self) -> Option<Receipt> {
        self.0.0.lock().given_out += 1;
        let mut guard = Guard(self.clone(), false);
        Some(Box::new(move |outcome| {
            guard.1 = true;
            {
                let mut answers = guard.0.0.0.lock();
                match outcome {
                    Ok(()) => answers.ok += 1,
                    Err(error) => answers.errors.push(error),
                }
            }
            guard.0.0.1.notify_waiters();
        }))
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&Answers) -> T) -> T {
        look(&self.0.0.lock())
    }

    pub(super) async fn all_answered(&self) {
        let wait = async {
            loop {
                let changed = self.0.1.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                {
                    let answers = self.0.0.lock();
                    assert_eq!(answers.unanswered, 0, "receipts dropped without an answer");
                    if answers.ok + answers.errors.len() == answers.given_out {
                        return;
                    }
                }
                changed.await;
            }
        };
        if tokio::time::timeout(DEADLINE, wait).await.is_err() {
            self.look(|answers| panic!("unanswered receipts: {answers:?}"));
        }
    }

    /// Transmits and waits for the answer.
    pub(super) async fn transmit(link: &Link, bytes: impl Into<Payload>) -> Result<(), Error> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        link.transmit(bytes.into(), Some(Box::new(move |outcome| drop(answer.send(outcome)))));
        tokio::time::timeout(DEADLINE, answered).await.expect("an answer in time").expect("an answer")
    }
}

/// Waits until `condition` holds, looking every few milliseconds.
pub(super) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = tokio::time::Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
