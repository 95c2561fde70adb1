//! What a module does by itself, later or again and again.
//!
//! A schedule is a task. It ends with its module; with its connection, if it was made in `#[connected]` or
//! [`while_connected`](Schedule::while_connected) says so; with [`Cx::clear_schedules`], or the next run of the `#[follow]` that
//! made it, unless [`keep`](Schedule::keep) says otherwise. A settings update by itself ends none.

pub(crate) mod clock;
#[cfg(feature = "cron")]
mod cron;
mod period;

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep, sleep_until};

use crate::context::Cx;
use crate::driver::{Driver, Outcome};
use crate::module::Core;
use crate::module::instance::Instance;
use crate::module::tasks::Scope;
use crate::module::trouble::Trouble;

/// Shortest period of a schedule: shorter ones would hardly let anything else run.
const SHORTEST: Duration = Duration::from_millis(1);
/// Longest period, delay or time-out: a hundred years, because longer ones overflow clocks.
pub(crate) const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

pub use clock::set as set_wall_clock;
pub use period::period;

/// The clock is looked at this often, as it may be set while a schedule waits.
const LOOK: Duration = Duration::from_secs(60);
/// A mark of a cron schedule that is missed by more than this is skipped: the machine slept, or its clock was wrong.
#[cfg(feature = "cron")]
const LATE: Duration = Duration::from_secs(3600);

/// A schedule, to cancel it or to say how long it lives. Dropping this changes nothing: a schedule ends with its module, or
/// with the connection in whose `#[connected]` it was made.
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

    /// [`Cx::clear_schedules`] leaves it alone, and so does the next run of the `#[follow]` that made it.
    pub fn keep(self) -> Schedule {
        self.core.tasks.change(self.task, |task| task.cleared = false);
        self
    }

    /// It ends with the connection, as if it had been made in `#[connected]`; at once if there is none.
    pub fn while_connected(self) -> Schedule {
        match self.core.link.is_up() {
            // Made in `#[connected]` it does so already, and if that runs again, then before that.
            true => self.core.tasks.change(self.task, |task| match task.scope {
                Scope::Meeting => {}
                _ => task.scope = Scope::Connection,
            }),
            false => self.cancel(),
        }
        self
    }
}

impl<D: Driver> Cx<D> {
    /// Runs `work` every `period`, first after one period: `cx.every(secs(30), Self::refresh)`.
    ///
    /// A run that takes longer than the period makes the next ones wait for a full period's mark: runs never overlap
    /// and never catch up in a burst. Made in `#[connected]`, the schedule lasts as long as the connection, so there is
    /// no need to cancel it in `#[disconnected]`. The log says when runs begin to fail, and when they work again.
    ///
    /// A period of 0, which settings say to switch something off, is never.
    pub fn every<F, R>(&self, period: Duration, work: F) -> Schedule
    where
        F: AsyncFn(&D, &Cx<D>) -> R + 'static,
        R: Outcome,
    {
        let Some(period) = self::period(period) else {
            return Schedule { core: self.core.clone(), task: 0 };
        };
        self.schedule(async move |instance: Rc<Instance<D>>| {
            let mut next = Instant::now() + period;
            let mut trouble = Trouble::default();
            loop {
                sleep_until(next).await;
                let result = work(&instance.driver, &instance.cx).await.outcome();
                trouble.report(&instance.core, "schedule", result);
                next = mark_after(next, period);
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
            Trouble::default().report(&instance.core, "schedule", result);
        })
    }

    /// Runs `work` once, at this time of the system's clock: `cx.at(booking.ends, Self::power_off)`. At once if that is
    /// over; and when it comes also if the clock is set meanwhile, a minute late at most.
    ///
    /// `when` is a [`SystemTime`], or what becomes one: the times of jiff and of chrono do.
    pub fn at<F, R>(&self, when: impl Into<SystemTime>, work: F) -> Schedule
    where
        F: AsyncFnOnce(&D, &Cx<D>) -> R + 'static,
        R: Outcome,
    {
        let when = when.into();
        self.schedule(async move |instance: Rc<Instance<D>>| {
            while let Some(rest) = until(when) {
                sleep(rest.min(LOOK)).await;
            }
            let result = work(&instance.driver, &instance.cx).await.outcome();
            Trouble::default().report(&instance.core, "schedule", result);
        })
    }

    /// Runs `work` by the clock of the module's system: `cx.cron("0 7 * * MON-FRI", Self::wake)?`. Needs `features = ["cron"]` for
    /// `drivers-sdk` in `Cargo.toml`.
    ///
    /// The time zone is that of the system which a logic module is in, or of its zones, also when it is changed. There is UTC where
    /// none is configured, and for modules with a device, which may be in several systems: see [`cron_in`](Self::cron_in).
    ///
    /// The five fields are minute, hour, day of the month, month and day of the week, each `*` or a list of numbers, names and
    /// ranges with steps: `*/15 8-18 1,15 * *`. If both days are given, either will do. `@hourly`, `@daily`, `@weekly`,
    /// `@monthly` and `@yearly` are known. What is wrong is a `bad_request` that says so, for it is often a setting.
    ///
    /// Where the hour is given, a time that the clock skips in spring runs an hour later, and one that comes twice in autumn
    /// runs once; with `*` for the hour, time goes on evenly. Runs never overlap: a mark that comes during a run is skipped, and
    /// so is one that the machine slept through by more than an hour.
    #[cfg(feature = "cron")]
    pub fn cron<F, R>(&self, expression: &str, work: F) -> crate::Result<Schedule>
    where
        F: AsyncFn(&D, &Cx<D>) -> R + 'static,
        R: Outcome,
    {
        self.cron_of(expression, None, work)
    }

    /// As [`cron`](Self::cron), by the clock of a place: `cx.cron_in("0 7 * * MON-FRI", "Europe/London", Self::wake)?`. The zone is a
    /// name of the IANA database, or `UTC`.
    #[cfg(feature = "cron")]
    pub fn cron_in<F, R>(&self, expression: &str, zone: &str, work: F) -> crate::Result<Schedule>
    where
        F: AsyncFn(&D, &Cx<D>) -> R + 'static,
        R: Outcome,
    {
        self.cron_of(expression, Some(zone), work)
    }

    #[cfg(feature = "cron")]
    fn cron_of<F, R>(&self, expression: &str, zone: Option<&str>, work: F) -> crate::Result<Schedule>
    where
        F: AsyncFn(&D, &Cx<D>) -> R + 'static,
        R: Outcome,
    {
        let mut done = clock::now();
        let (follows, zone) = (zone.is_none(), zone.map_or_else(|| self.core.timezone(), str::to_owned));
        let mut cron = cron::Cron::new(expression, &zone, done)?;
        Ok(self.schedule(async move |instance: Rc<Instance<D>>| {
            let mut trouble = Trouble::default();
            loop {
                if follows {
                    cron.follow(&instance.core.timezone());
                }
                let now = clock::now();
                if done.duration_since(now).is_ok_and(|ahead| ahead > LATE) {
                    // The clock was set back.
                    done = now;
                }
                let Some(next) = cron.next(done) else { return };
                if let Some(rest) = until(next) {
                    sleep(rest.min(LOOK)).await;
                    continue;
                }
                if now.duration_since(next).is_ok_and(|late| late > LATE) {
                    // Of what was missed, only what is not too late counts.
                    done = now.checked_sub(LATE).unwrap_or(now);
                    continue;
                }
                let result = work(&instance.driver, &instance.cx).await.outcome();
                trouble.report(&instance.core, "schedule", result);
                done = now.max(clock::now());
            }
        }))
    }

    /// Ends the module's schedules, but for those that are to be [kept](Schedule::keep). In `#[settings_changed]`, before they
    /// are made anew from the new settings.
    pub fn clear_schedules(&self) {
        self.core.tasks.clear();
    }

    fn schedule(&self, run: impl AsyncFnOnce(Rc<Instance<D>>) + 'static) -> Schedule {
        let core = self.core.clone();
        // Gone only while the module is dropped.
        let task = match self.instance.upgrade() {
            Some(instance) if !core.is_over() => {
                let this = instance.clone();
                let task = instance.spawn(core.tasks.scope(), async move { run(this).await });
                core.tasks.change(task, |task| task.cleared = true);
                task
            }
            _ => 0,
        };
        Schedule { core, task }
    }
}

/// How long it is until then, by the clock; `None` if that is over.
fn until(when: SystemTime) -> Option<Duration> {
    when.duration_since(clock::now()).ok().filter(|rest| !rest.is_zero())
}

/// The next of the marks that are a period apart; those that are over are skipped.
pub(crate) fn mark_after(mark: Instant, period: Duration) -> Instant {
    let (next, now) = (mark + period, Instant::now());
    if next > now {
        return next;
    }
    let missed = (now - next).as_nanos() / period.as_nanos() + 1;
    next + period.saturating_mul(u32::try_from(missed).unwrap_or(u32::MAX))
}
