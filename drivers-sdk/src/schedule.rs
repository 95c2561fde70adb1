//! What a module does by itself, later or again and again.

use std::rc::Rc;
use std::time::Duration;

use drivers_sdk_protocol::message::Level;
use tokio::time::{Instant, sleep, sleep_until};

use crate::context::Cx;
use crate::driver::{Driver, Outcome};
use crate::error::Error;
use crate::module::Core;
use crate::module::instance::Instance;

/// Shortest period of a schedule: one of no time at all would never let anything else run.
const SHORTEST: Duration = Duration::from_millis(1);
/// Longest period, delay or time-out: a hundred years, because longer ones overflow clocks.
pub(crate) const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A schedule, to cancel it. Dropping this does not: a schedule ends with its module, or with the connection in whose
/// `#[connected]` it was made.
#[derive(Clone, Debug)]
pub struct Schedule {
    core: Rc<Core>,
    task: u32,
}

impl Schedule {
    /// Ends it; a run that is under way is dropped.
    pub fn cancel(&self) {
        self.core.tasks.abort(self.task);
    }
}

impl<D: Driver> Cx<D> {
    /// Runs `work` every `period`, first after one period: `cx.every(secs(30), Self::refresh)`.
    ///
    /// A run that takes longer than the period makes the next ones wait for a full period's mark: runs never overlap
    /// and never catch up in a burst. Made in `#[connected]`, the schedule lasts as long as the connection, so there is
    /// no need to cancel it in `#[disconnected]`. An error is logged when it is not the one of the run before.
    pub fn every<F, R>(&self, period: Duration, work: F) -> Schedule
    where
        F: AsyncFn(&D, &Cx<D>) -> R + 'static,
        R: Outcome,
    {
        let period = period.clamp(SHORTEST, LONGEST);
        self.schedule(async move |instance: Rc<Instance<D>>| {
            let mut next = Instant::now() + period;
            let mut last = None;
            loop {
                sleep_until(next).await;
                let result = work(&instance.driver, &instance.cx).await.outcome();
                report(&instance, result.err(), &mut last);
                next += period;
                let now = Instant::now();
                if next <= now {
                    let missed = (now - next).as_nanos() / period.as_nanos() + 1;
                    next += period.saturating_mul(u32::try_from(missed).unwrap_or(u32::MAX));
                }
            }
        })
    }

    /// Runs `work` once, after `delay`: `cx.after(secs(5), Self::check)`. Made in `#[connected]`, it is dropped with the
    /// connection.
    pub fn after<F, R>(&self, delay: Duration, work: F) -> Schedule
    where
        F: AsyncFnOnce(&D, &Cx<D>) -> R + 'static,
        R: Outcome,
    {
        self.schedule(async move |instance: Rc<Instance<D>>| {
            sleep(delay.min(LONGEST)).await;
            let result = work(&instance.driver, &instance.cx).await.outcome();
            report(&instance, result.err(), &mut None);
        })
    }

    fn schedule(&self, run: impl AsyncFnOnce(Rc<Instance<D>>) + 'static) -> Schedule {
        let core = self.core.clone();
        // Gone only while the module is dropped.
        let task = match self.instance.upgrade() {
            Some(instance) if !core.is_over() => {
                let this = instance.clone();
                instance.spawn(core.tasks.scope(), async move { run(this).await })
            }
            _ => 0,
        };
        Schedule { core, task }
    }
}

/// Logs an error once, not at every run.
fn report<D: Driver>(instance: &Instance<D>, error: Option<Error>, last: &mut Option<Error>) {
    match &error {
        Some(error) if last.as_ref() != Some(error) => instance.failed("schedule", error),
        None if last.as_ref().is_some_and(|last| !last.is_offline()) => {
            instance.core.log(Level::Info, "schedule: works again");
        }
        _ => {}
    }
    *last = error;
}
