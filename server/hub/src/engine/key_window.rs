//! The clock of idempotency keys, and the period for which they are remembered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wirehub_common::frame::Idempotency;

use crate::unix_time::milliseconds_in;

/// Announces for how long keys are remembered.
///
/// A memory of keys has a bound. When it has to forget keys before their time it [says so](Self::forget_early), and the
/// announced period shrinks: a client that connects from then on does not repeat a publish whose key may be forgotten. The
/// period grows again as time passes, and the scope stays.
#[derive(Debug)]
pub struct KeyWindow {
    scope: String,
    /// The clock time before which keys may be forgotten, in milliseconds.
    forgotten: AtomicU64,
}

impl KeyWindow {
    /// The longest period that is announced.
    pub const LONGEST: Duration = Duration::from_secs(120);

    /// The time for which a key must be remembered if there is room: the longest period, and a minute for a repeat on its way.
    pub const KEPT: Duration = Duration::from_secs(180);

    /// A window for the keys of one memory. `scope` distinguishes this memory from every other one, also from the one before a
    /// restart if that one is lost.
    pub fn new(scope: impl Into<String>) -> Self {
        Self { scope: scope.into(), forgotten: AtomicU64::new(0) }
    }

    /// Keys from before the clock time `remembered_at` may be forgotten.
    pub fn forget_early(&self, remembered_at: u64) {
        self.forgotten.fetch_max(remembered_at.saturating_add(1), Ordering::Relaxed);
    }

    /// The period at the clock time `clock`, as clients receive it.
    ///
    /// While keys are forgotten early, only half of the remembered time is announced: a repeat may take the other half to
    /// arrive.
    pub fn idempotency(&self, clock: u64) -> Idempotency {
        let longest = milliseconds_in(Self::LONGEST);
        let window = match self.forgotten.load(Ordering::Relaxed) {
            0 => longest,
            forgotten => longest.min(clock.saturating_sub(forgotten) / 2),
        };
        Idempotency { scope: self.scope.clone(), window: Duration::from_millis(window), clock }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(keys: &KeyWindow, clock: u64) -> u64 {
        u64::try_from(keys.idempotency(clock).window.as_millis()).unwrap()
    }

    #[test]
    fn the_period_shrinks_when_keys_are_forgotten_early_and_grows_again() {
        let keys = KeyWindow::new("store");
        assert_eq!((window(&keys, 0), window(&keys, 5)), (120_000, 120_000));
        keys.forget_early(9_999);
        assert_eq!(window(&keys, 10_000), 0);
        assert_eq!(window(&keys, 70_000), 30_000);
        keys.forget_early(5_000);
        assert_eq!(window(&keys, 70_000), 30_000, "an older key changes nothing");
        assert_eq!(window(&keys, 1_000_000), 120_000);
        assert_eq!(keys.idempotency(7).scope, "store");
    }
}
