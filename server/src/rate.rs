//! How often something may happen in a time.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;

/// A bucket that fills at a steady rate and pays for each thing that happens. It holds what comes in two seconds: so much may come at
/// once, after a pause.
#[derive(Debug)]
pub(crate) struct Rate {
    interval: Duration,
    room: Duration,
    /// When it would be full again, if nothing came.
    full_at: Instant,
}

/// A [`Rate`] of which nothing is kept but when it would be full again: there is one for each session, and all have the same
/// rate.
#[derive(Debug, Default)]
pub(crate) struct Filling {
    /// In nanoseconds since the first moment that was looked at.
    full_at: u64,
}

impl Filling {
    /// Something happens now that may so often in a second; `false` where that is too often.
    pub(crate) fn take(&mut self, per_second: u32, now: Instant) -> bool {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        let origin = *ORIGIN.get_or_init(|| now);
        let full_at = origin.checked_add(Duration::from_nanos(self.full_at)).unwrap_or(now);
        let mut rate = Rate::new(per_second, full_at);
        let may = rate.take(now);
        let passed = rate.full_at.saturating_duration_since(origin).as_nanos();
        self.full_at = u64::try_from(passed).unwrap_or(u64::MAX);
        may
    }
}

impl Rate {
    /// So often in a second, at least once; full now.
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        let interval = Duration::from_secs(1).checked_div(per_second.max(1)).unwrap_or_default();
        Self { interval, room: HELD.max(interval), full_at: now }
    }

    /// It happens now; `false` where that is too often.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let from = self.full_at.max(now);
        let Some(after) = from.checked_add(self.interval) else { return false };
        let is_in_room = after.saturating_duration_since(now) <= self.room;
        if is_in_room {
            self.full_at = after;
        }
        is_in_room
    }

    /// Whether the bucket is full: as if nothing had happened yet.
    pub(crate) fn is_rested(&self, now: Instant) -> bool {
        self.full_at <= now
    }
}

const HELD: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use super::*;

    fn taken(rate: &mut Rate, now: Instant, tries: usize) -> usize {
        (0..tries).filter(|_| rate.take(now)).count()
    }

    #[test]
    fn after_a_pause_two_seconds_worth_may_come_at_once() {
        let start = Instant::now();
        let mut rate = Rate::new(10, start);
        assert_eq!(taken(&mut rate, start, 100), 20);
        assert_eq!(taken(&mut rate, start + Duration::from_millis(99), 100), 0);
        assert_eq!(taken(&mut rate, start + Duration::from_millis(100), 100), 1);
        assert_eq!(taken(&mut rate, start + Duration::from_millis(600), 100), 5);
        assert_eq!(taken(&mut rate, start + Duration::from_secs(60), 100), 20);
    }

    #[test]
    fn what_is_kept_of_a_rate_is_enough() {
        let start = Instant::now();
        let (mut rate, mut filling) = (Rate::new(10, start), Filling::default());
        for step in 0..1000_u64 {
            let now = start + Duration::from_millis(step * step % 97 * step);
            assert_eq!(filling.take(10, now), rate.take(now), "{step}");
        }
    }

    #[test]
    fn the_smallest_rate_lets_commands_through_too() {
        let start = Instant::now();
        let mut rate = Rate::new(0, start);
        assert_eq!(taken(&mut rate, start, 10), 2);
        assert_eq!(taken(&mut rate, start + Duration::from_secs(1), 10), 1);
    }
}
