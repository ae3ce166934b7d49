//! A compact histogram of durations.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "buckets and percentiles are far from the bounds of their types"
)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts durations by size, with an error below a sixteenth. Threads may record concurrently.
pub(super) struct Latencies {
    counts: Vec<AtomicU64>,
    longest: AtomicU64,
}

/// The number of buckets between two powers of two, as a power of two.
const FINENESS: u32 = 4;
const STEPS: u64 = 1 << FINENESS;

impl Latencies {
    pub(super) fn new() -> Self {
        let buckets = bucket(u64::MAX).saturating_add(1);
        Self { counts: (0..buckets).map(|_| AtomicU64::new(0)).collect(), longest: AtomicU64::new(0) }
    }

    pub(super) fn record(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get(bucket(micros)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.longest.fetch_max(micros, Ordering::Relaxed);
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// The usual percentiles and the longest, in microseconds.
    pub(super) fn summary(&self) -> [(&'static str, u64); 5] {
        [
            ("p50", self.percentile(500)),
            ("p90", self.percentile(900)),
            ("p99", self.percentile(990)),
            ("p99.9", self.percentile(999)),
            ("max", self.longest.load(Ordering::Relaxed)),
        ]
    }

    /// The duration that this many of a thousand do not exceed; 0 without durations.
    fn percentile(&self, per_mille: u128) -> u64 {
        let wanted = (u128::from(self.count()) * per_mille).div_ceil(1000);
        let longest = self.longest.load(Ordering::Relaxed);
        let mut passed = 0_u128;
        for (bucket, count) in self.counts.iter().enumerate() {
            passed += u128::from(count.load(Ordering::Relaxed));
            if passed >= wanted && passed > 0 {
                return top(bucket).min(longest);
            }
        }
        0
    }
}

/// Small numbers have buckets of their own; larger ones share them by their highest bits.
fn bucket(micros: u64) -> usize {
    let shift = (u64::BITS - micros.leading_zeros()).saturating_sub(FINENESS + 1);
    (u64::from(shift) * STEPS + (micros >> shift)) as usize
}

/// The largest number in a bucket.
fn top(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket / STEPS).saturating_sub(1);
    let first = u128::from(bucket - shift * STEPS);
    u64::try_from(((first + 1) << shift) - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_in_a_bucket_with_a_small_error() {
        let powers = (0..64).map(|shift| 1_u64 << shift);
        let numbers =
            (0..5000).chain(powers.flat_map(|power| [power - 1, power, power + power / 3])).chain([u64::MAX]);
        for number in numbers {
            let top = top(bucket(number));
            assert!(top >= number, "{number} is above {top}");
            assert!(u128::from(top) <= u128::from(number) + u128::from(number) / 16, "{number} and {top}");
        }
    }

    #[test]
    fn percentiles_match_the_recorded_durations() {
        let latencies = Latencies::new();
        assert_eq!(latencies.summary().map(|(_, micros)| micros), [0; 5]);
        for micros in 1..=10_000 {
            latencies.record(Duration::from_micros(micros));
        }
        assert_eq!(latencies.count(), 10_000);
        for ((_, found), exact) in latencies.summary().into_iter().zip([5000, 9000, 9900, 9990, 10_000]) {
            assert!((exact..=exact + exact / 16).contains(&found), "{found} for {exact}");
        }
    }
}
