//! Latencies, and the lines that are printed.

use std::time::Duration;

/// The latencies of one scenario.
pub struct Latencies {
    span: Duration,
    took: Vec<Duration>,
}

impl Latencies {
    /// None yet, of a scenario that lasts `span`.
    pub fn new(span: Duration) -> Self {
        Latencies { span, took: Vec::new() }
    }

    pub fn extend(&mut self, took: Vec<Duration>) {
        self.took.extend(took);
        self.took.sort_unstable();
    }

    /// The latency that `share` (0 to 1) of the round trips stay under, in microseconds.
    pub fn quantile(&self, share: f64) -> f64 {
        let at = ((self.took.len() as f64 * share) as usize).min(self.took.len().saturating_sub(1));
        self.took.get(at).map_or(f64::NAN, |took| took.as_secs_f64() * 1e6)
    }

    /// Round trips per second.
    pub fn rate(&self) -> f64 {
        self.took.len() as f64 / self.span.as_secs_f64()
    }
}

/// Prints a figure that others are held against.
pub fn figure(name: &str, figure: String) {
    println!("{name:<56} {figure:>32}");
}

/// Prints a figure, what it should be, and whether it is.
pub fn report(name: &str, figure: String, aim: &str, met: bool) {
    println!("{name:<56} {figure:>32}   {aim:<20} {}", if met { "met" } else { "MISSED" });
}
