//! Growing, jittered pauses before something that failed is tried again.

use std::time::Duration;

/// Counts failures in a row.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Counts a failure; how long to wait: `first`, doubled with every failure, at most `longest`, ± 20 %.
    pub(crate) fn next(&mut self, first: Duration, longest: Duration) -> Duration {
        let doubled = first.saturating_mul(2_u32.saturating_pow(self.failures)).min(longest);
        self.failures = self.failures.saturating_add(1);
        doubled.mul_f64(rand::random_range(0.8..1.2))
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_with_jitter_and_start_over() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut backoff = Backoff::default();
        for expected in [100, 200, 400, 800, 1000, 1000] {
            let wait = backoff.next(first, longest).as_millis();
            assert!((expected * 8 / 10..=expected * 12 / 10).contains(&wait), "{wait} for {expected}");
        }
        assert_eq!(backoff.failures(), 6);
        backoff.reset();
        assert!(backoff.next(first, longest) <= Duration::from_millis(120));
    }
}
