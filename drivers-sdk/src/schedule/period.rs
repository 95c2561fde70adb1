//! How often a `#[poll]` runs: so many seconds, or a [`Duration`].

use std::time::Duration;

use super::{LONGEST, SHORTEST};

/// What says how often: a number of seconds or a [`Duration`]. What is nothing, or less, is never.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no period",
    label = "neither a number nor a `Duration`",
    note = "a period is a number of seconds, or a `Duration` such as `millis(500)`"
)]
pub trait Period: Copy {
    /// As a duration.
    fn duration(self) -> Duration;
}

impl Period for Duration {
    fn duration(self) -> Duration {
        self
    }
}

macro_rules! seconds {
    ($($number:ty)*) => {$(
        impl Period for $number {
            fn duration(self) -> Duration {
                Duration::from_secs(self.into())
            }
        }
    )*};
}

seconds! { u8 u16 u32 u64 }

impl Period for f64 {
    fn duration(self) -> Duration {
        // What is too long for a `Duration` is longer than the longest period; what is no number is no period.
        Duration::try_from_secs_f64(self).unwrap_or(if self > 0.0 { Duration::MAX } else { Duration::ZERO })
    }
}

impl Period for f32 {
    fn duration(self) -> Duration {
        f64::from(self).duration()
    }
}

/// How long that is; `None` if it is never.
pub fn period(every: impl Period) -> Option<Duration> {
    let every = every.duration();
    (!every.is_zero()).then(|| every.clamp(SHORTEST, LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_in_whatever_number() {
        let half = Some(Duration::from_millis(500));
        assert_eq!((period(0.5), period(0.5_f32), period(Duration::from_millis(500))), (half, half, half));
        assert_eq!(
            (period(3_u8), period(3_u64)),
            (Some(Duration::from_secs(3)), Some(Duration::from_secs(3)))
        );
        assert_eq!((period(0_u32), period(-1.0), period(f64::NAN)), (None, None, None));
        assert_eq!((period(1e300), period(1e-6)), (Some(LONGEST), Some(SHORTEST)));
    }
}
