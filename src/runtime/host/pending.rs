//! Requests to a driver process that wait for their answer, by correlation.
//!
//! Every request has a deadline. One sweep per channel finds those that are over; it runs only while there are any.
//! When the process ends all are answered at once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use drivers_sdk_protocol::message::Failure;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::connections::recorder::{self, Recorder};

/// How exactly deadlines are kept.
const SWEEP: Duration = Duration::from_millis(20);

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// JSON text.
    Done(Bytes),
    Failed(Failure),
    /// The deadline passed.
    Late,
    /// The module stopped or the process ended: why.
    Gone(Arc<str>),
}

/// Who is told.
pub(crate) enum Waiter {
    Caller(oneshot::Sender<Outcome>),
    /// Must not block.
    Then(Box<dyn FnOnce(Outcome) + Send>),
}

/// What a request is, for judging who was busy when a process died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The module works on it.
    Work,
    /// The module has bytes of its device to take.
    Received,
}

#[derive(Default)]
pub(crate) struct Pending {
    table: Mutex<Table>,
    sweeping: AtomicBool,
    begin: Notify,
}

#[derive(Default)]
struct Table {
    last: u32,
    requests: HashMap<u32, Request>,
    closed: Option<Arc<str>>,
}

struct Request {
    module: u32,
    purpose: Purpose,
    deadline: Instant,
    /// Whom a call is made for.
    user: Option<Arc<str>>,
    waiter: Waiter,
    /// For the record of the module's wire: that it is over is told by dropping this.
    recorded: Option<recorder::Call>,
}

/// Where a call is recorded, and the number of its function there.
pub(crate) type Recorded<'a> = Option<(&'a Arc<Recorder>, u16)>;

impl Waiter {
    pub(crate) fn tell(self, outcome: Outcome) {
        match self {
            Waiter::Caller(caller) => drop(caller.send(outcome)),
            Waiter::Then(then) => then(outcome),
        }
    }
}

impl Pending {
    /// Registers a request and gives it its correlation. If the channel is closed the waiter is told so: `None`.
    pub(crate) fn insert(
        &self,
        module: u32,
        purpose: Purpose,
        deadline: Instant,
        waiter: Waiter,
    ) -> Option<u32> {
        self.add(waiter, |waiter, _| Request {
            module,
            purpose,
            deadline,
            user: None,
            waiter,
            recorded: None,
        })
    }

    /// As [`Pending::insert`], for a call of a function.
    pub(crate) fn insert_call(
        &self,
        module: u32,
        recorded: Recorded<'_>,
        deadline: Instant,
        user: Option<Arc<str>>,
        waiter: Waiter,
    ) -> Option<u32> {
        self.add(waiter, |waiter, correlation| Request {
            recorded: recorded
                .and_then(|(recorder, number)| recorder::Call::new(recorder, number, correlation)),
            purpose: Purpose::Work,
            module,
            deadline,
            user,
            waiter,
        })
    }

    fn add(&self, waiter: Waiter, request: impl FnOnce(Waiter, u32) -> Request) -> Option<u32> {
        let mut table = self.table.lock();
        if let Some(why) = table.closed.clone() {
            drop(table);
            waiter.tell(Outcome::Gone(why));
            return None;
        }
        let correlation = loop {
            table.last = table.last.wrapping_add(1);
            if table.last != 0 && !table.requests.contains_key(&table.last) {
                break table.last;
            }
        };
        table.requests.insert(correlation, request(waiter, correlation));
        drop(table);
        if !self.sweeping.swap(true, Ordering::AcqRel) {
            self.begin.notify_one();
        }
        Some(correlation)
    }

    /// Requests that wait for their answer.
    pub(crate) fn len(&self) -> usize {
        self.table.lock().requests.len()
    }

    /// Until when a module may work on a request, and for whom; none if it does not work on it any more.
    pub(crate) fn work(&self, module: u32, correlation: u32) -> Option<(Instant, Option<Arc<str>>)> {
        let table = self.table.lock();
        let request = table.requests.get(&correlation).filter(|request| request.module == module);
        request.map(|request| (request.deadline, request.user.clone()))
    }

    /// The answer has come. One that nobody waits for is ignored.
    pub(crate) fn answer(&self, correlation: u32, outcome: Outcome) {
        let request = self.table.lock().requests.remove(&correlation);
        if let Some(request) = request {
            request.waiter.tell(outcome);
        }
    }

    /// What is sent for a call is recorded with this; 0 if it is none, or over.
    pub(crate) fn tag(&self, correlation: u32) -> u32 {
        let table = self.table.lock();
        let recorded = table.requests.get(&correlation).and_then(|request| request.recorded.as_ref());
        recorded.map_or(0, recorder::Call::tag)
    }

    /// Nobody waits any more. Returns whether it was still unanswered.
    pub(crate) fn withdraw(&self, correlation: u32) -> bool {
        self.table.lock().requests.remove(&correlation).is_some()
    }

    /// Answers everything that waits for a module.
    pub(crate) fn fail_module(&self, module: u32, why: &Arc<str>) {
        let failed: Vec<_> =
            self.table.lock().requests.extract_if(|_, request| request.module == module).collect();
        for (_, request) in failed {
            request.waiter.tell(Outcome::Gone(why.clone()));
        }
    }

    /// Modules that work on something at this moment.
    pub(crate) fn busy(&self) -> HashSet<u32> {
        let table = self.table.lock();
        table.requests.values().map(|request| request.module).filter(|module| *module != 0).collect()
    }

    /// Whether this module works on a request.
    pub(crate) fn is_busy(&self, module: u32) -> bool {
        let table = self.table.lock();
        table.requests.values().any(|request| request.module == module && request.purpose == Purpose::Work)
    }

    /// Answers everything, and refuses whatever comes later.
    pub(crate) fn close(&self, why: &Arc<str>) {
        let requests = {
            let mut table = self.table.lock();
            table.closed = Some(why.clone());
            std::mem::take(&mut table.requests)
        };
        for request in requests.into_values() {
            request.waiter.tell(Outcome::Gone(why.clone()));
        }
    }

    /// Answers what is late, and tells `late(module, correlation)` of each call.
    pub(crate) async fn sweep(&self, late: impl Fn(u32, u32)) {
        loop {
            self.begin.notified().await;
            loop {
                tokio::time::sleep(SWEEP).await;
                let now = Instant::now();
                let (over, empty) = {
                    let mut table = self.table.lock();
                    let over: Vec<_> =
                        table.requests.extract_if(|_, request| request.deadline <= now).collect();
                    if table.requests.is_empty() {
                        self.sweeping.store(false, Ordering::Release);
                    }
                    (over, table.requests.is_empty())
                };
                for (correlation, request) in over {
                    if request.purpose == Purpose::Work {
                        late(request.module, correlation);
                    }
                    request.waiter.tell(Outcome::Late);
                }
                if empty {
                    break;
                }
            }
        }
    }
}
