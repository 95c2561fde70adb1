//! The system's clock, which follows tokio's where that is paused and moved, as in tests.

use std::cell::Cell;
use std::time::SystemTime;

use tokio::time::Instant;

thread_local! {
    /// A test's time of day, and when it was set.
    static SET: Cell<Option<(SystemTime, Instant)>> = const { Cell::new(None) };
}

/// What time it is.
pub(crate) fn now() -> SystemTime {
    if let Some((time, since)) = SET.get() {
        return time + since.elapsed();
    }
    // Nothing, unless tokio's clock is not the system's.
    let (paused, real) = (Instant::now().into_std(), std::time::Instant::now());
    SystemTime::now() + paused.saturating_duration_since(real) - real.saturating_duration_since(paused)
}

/// For tests: from now on it is this time on this thread, and goes on as tokio's clock does.
pub fn set(time: SystemTime) {
    SET.set(Some((time, Instant::now())));
}

/// Reads `2026-11-22T06:59:30Z`.
#[cfg(feature = "testing")]
pub(crate) fn read(utc: &str) -> Option<SystemTime> {
    use std::time::Duration;

    let (date, time) = utc.strip_suffix('Z')?.split_once('T')?;
    let numbers =
        |text: &str, mark| text.split(mark).map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>();
    let (&[year @ (1970..), month @ 1..=12, day @ 1..=31], &[hour @ ..=23, minute @ ..=59, second @ ..=59]) =
        (&numbers(date, '-')?[..], &numbers(time, ':')?[..])
    else {
        return None;
    };
    // Days since 1970: a year begins in March, so that what is leap is at its end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 719_469;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(((days * 24 + hour) * 60 + minute) * 60 + second))
}
