//! Token buckets: limits on the rate of commands, connections, joins and leaves.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;

/// A token bucket: it fills at a steady rate, and each event takes a token. It holds the tokens of two seconds, so this many
/// events may come at once after a pause.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    interval: Duration,
    room: Duration,
    /// The time at which it will be full again, if no event comes.
    full_at: Instant,
}

/// The level of a [`TokenBucket`] without its rate. Each session has one, and all have the same rate.
#[derive(Debug, Default)]
pub(crate) struct TokenBucketLevel {
    /// In nanoseconds since the first use. The lowest byte is an [independent number](Self::extra_byte), to save memory in each
    /// session.
    full_at: u64,
}

const EXTRA_BYTE: u64 = 0xff;

impl TokenBucketLevel {
    /// Takes `count` tokens at a rate of `per_second`. Returns `false` if there are too few.
    pub(crate) fn take(&mut self, count: u32, per_second: u32, now: Instant) -> bool {
        let mut rate = TokenBucket::new(per_second, self.full_at(now));
        let may = rate.take_many(count, now);
        let passed = rate.full_at.saturating_duration_since(origin(now)).as_nanos();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        self.full_at = passed & !EXTRA_BYTE | self.full_at & EXTRA_BYTE;
        may
    }

    /// `true` if it is full, as at the beginning.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.full_at(now) <= now
    }

    /// An independent number, 0 at first.
    pub(crate) fn extra_byte(&self) -> u8 {
        let [extra_byte, ..] = self.full_at.to_le_bytes();
        extra_byte
    }

    pub(crate) fn set_extra_byte(&mut self, extra_byte: u8) {
        self.full_at = self.full_at & !EXTRA_BYTE | u64::from(extra_byte);
    }

    fn full_at(&self, now: Instant) -> Instant {
        origin(now).checked_add(Duration::from_nanos(self.full_at & !EXTRA_BYTE)).unwrap_or(now)
    }
}

/// The time of the first use.
fn origin(now: Instant) -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(|| now)
}

impl TokenBucket {
    /// A full bucket with `per_second` tokens a second, at least one.
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        let interval = Duration::from_secs(1).checked_div(per_second.max(1)).unwrap_or_default();
        Self { interval, room: BURST.max(interval), full_at: now }
    }

    /// Takes a token. Returns `false` if there is none.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.take_many(1, now)
    }

    /// Takes `count` tokens. More than the bucket holds may be taken when it is full.
    pub(crate) fn take_many(&mut self, count: u32, now: Instant) -> bool {
        let from = self.full_at.max(now);
        let cost = self.interval.saturating_mul(count);
        let Some(after) = from.checked_add(cost) else { return false };
        let is_in_room = after.saturating_duration_since(now) <= self.room.max(cost);
        if is_in_room {
            self.full_at = after;
        }
        is_in_room
    }

    /// `true` if the bucket is full, as at the beginning.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }
}

const BURST: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use super::*;

    fn taken(rate: &mut TokenBucket, now: Instant, tries: usize) -> usize {
        (0..tries).filter(|_| rate.take(now)).count()
    }

    #[test]
    fn after_a_pause_two_seconds_worth_may_come_at_once() {
        let start = Instant::now();
        let mut rate = TokenBucket::new(10, start);
        assert_eq!(taken(&mut rate, start, 100), 20);
        assert_eq!(taken(&mut rate, start + Duration::from_millis(99), 100), 0);
        assert_eq!(taken(&mut rate, start + Duration::from_millis(100), 100), 1);
        assert_eq!(taken(&mut rate, start + Duration::from_millis(600), 100), 5);
        assert_eq!(taken(&mut rate, start + Duration::from_secs(60), 100), 20);
    }

    #[test]
    fn the_compact_level_equals_the_full_bucket() {
        let start = Instant::now();
        let (mut rate, mut filling) = (TokenBucket::new(10, start), TokenBucketLevel::default());
        for step in 0..1000_u64 {
            let now = start + Duration::from_millis(step * step % 97 * step);
            let count = u32::try_from(step % 5).unwrap() + 1;
            assert_eq!(filling.take(count, 10, now), rate.take_many(count, now), "{step}");
            assert_eq!(filling.is_full(now), rate.is_full(now), "{step}");
            assert_eq!(filling.extra_byte(), u8::try_from(step % 256).unwrap());
            filling.set_extra_byte(filling.extra_byte().wrapping_add(1));
        }
    }

    #[test]
    fn many_at_once_cost_as_much_as_one_by_one() {
        let start = Instant::now();
        let mut rate = TokenBucket::new(10, start);
        assert!(rate.take_many(15, start) && !rate.take_many(6, start) && rate.take_many(5, start));
        assert!(!rate.take_many(100, start + Duration::from_secs(1)), "more than it holds");
        assert!(rate.take_many(100, start + Duration::from_secs(2)), "when it is full");
        assert!(!rate.take(start + Duration::from_secs(10)));
    }

    #[test]
    fn the_smallest_rate_lets_commands_through_too() {
        let start = Instant::now();
        let mut rate = TokenBucket::new(0, start);
        assert_eq!(taken(&mut rate, start, 10), 2);
        assert_eq!(taken(&mut rate, start + Duration::from_secs(1), 10), 1);
    }
}
