//! Ids: `<prefix>-<time-sortable number>`; opaque to everyone else.
//!
//! The number is (seconds since 2014-01-01 UTC) × 2³⁰ + 30 random bits, in base 65. Two ids made by one process are
//! never the same, also when thousands are made within a second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

const DIGITS: &[u8; 65] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_~";
/// 2014-01-01 UTC in Unix seconds.
const EPOCH: u64 = 1_388_534_400;
const RANDOM_BITS: u32 = 30;

/// A new id: `new("sys")` is something like `sys-F-4oVvXnm5`.
pub fn new(prefix: &str) -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let random: u32 = rand::random();
    let number = at(seconds, random);
    let mut given = number;
    // In a second that already gave an id, count on from it: random numbers alone would meet at some point.
    let _ = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
        given = if number >> RANDOM_BITS > last >> RANDOM_BITS {
            number
        } else {
            last + 1 + u64::from(random & 0x7fff)
        };
        Some(given)
    });
    format!("{prefix}-{}", encode(given))
}

/// The number of a moment (Unix seconds) and random bits, of which the lowest 30 are used.
fn at(seconds: u64, random: u32) -> u64 {
    let random = u64::from(random) & ((1 << RANDOM_BITS) - 1);
    seconds.saturating_sub(EPOCH) << RANDOM_BITS | random
}

fn encode(mut number: u64) -> String {
    let mut digits = Vec::with_capacity(11);
    loop {
        let digit = usize::try_from(number % 65).unwrap_or_default();
        digits.push(DIGITS.get(digit).copied().unwrap_or_default());
        number /= 65;
        if number == 0 {
            break;
        }
    }
    digits.iter().rev().map(|digit| char::from(*digit)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn is_a_prefix_and_a_number_in_base_65() {
        let id = new("sys");
        let number = id.strip_prefix("sys-").unwrap();
        assert_eq!(number.len(), 10, "{id}");
        assert!(number.bytes().all(|digit| DIGITS.contains(&digit)), "{id}");
    }

    #[test]
    fn counts_seconds_since_2014_and_random_bits() {
        assert_eq!(encode(at(EPOCH, 0)), "0");
        assert_eq!(encode(at(EPOCH, 64)), "~");
        assert_eq!(encode(at(EPOCH, 65)), "10");
        assert_eq!(at(EPOCH + 1, u32::MAX), (1 << 31) - 1);
    }

    #[test]
    fn is_never_given_twice() {
        let threads: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(|| (0..20_000).map(|_| new("mod")).collect::<Vec<_>>()))
            .collect();
        let ids: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 80_000);
    }
}
