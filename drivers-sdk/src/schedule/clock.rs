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
